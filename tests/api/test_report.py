"""The report of a stored run is written again, without a model."""

import json
from pathlib import Path
from typing import Any

import pytest

import tunesmith
from tunesmith.cli.main import run as run_command


@pytest.fixture(scope="module")
def decided(
    rows: list[dict[str, str]], tiny: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> tunesmith.Result:
    return tunesmith.decide(tiny, rows, out=tmp_path_factory.mktemp("runs"))


def test_the_report_of_a_run_is_the_same_when_it_is_written_again(
    decided: tunesmith.Result, tmp_path: Path
) -> None:
    page, text, numbers = tunesmith.render_report(decided, tmp_path / "again")
    assert text.read_text() == decided.reports[1].read_text()
    before, after = (json.loads(one.read_text()) for one in (decided.reports[2], numbers))
    assert before.pop("report") != after.pop("report") and before == after
    assert decided.decision is not None and decided.decision.verdict in page.read_text()


def test_a_page_that_was_lost_is_written_into_the_run(decided: tunesmith.Result) -> None:
    page = decided.reports[0]
    page.unlink()
    assert run_command(["report", str(decided.path)]) == 0
    assert page.is_file()
    assert decided.folder is not None and decided.folder.find_damage() == ()


def test_a_run_without_a_verdict_has_no_report(
    rows: list[dict[str, str]], tiny: dict[str, Any], tmp_path: Path
) -> None:
    trained = tunesmith.train(tiny, rows, out=tmp_path)
    with pytest.raises(tunesmith.TunesmithError, match="no-verdict"):
        tunesmith.render_report(trained)
