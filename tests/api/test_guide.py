"""The scripts of docs/guide/python.md run as they stand, on the tiny model."""

import re
import shutil
from pathlib import Path
from typing import Any

import pandas
import pytest

import tunesmith

GUIDE = Path(__file__).parents[2] / "docs/guide/python.md"
SCRIPTS = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def place(
    rows: list[dict[str, str]],
    tiny: dict[str, Any],
    tiny_model: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A folder with tickets.jsonl, a preset of its own, and runs/mine."""
    folder = tmp_path_factory.mktemp("guide")
    shutil.copy(tunesmith.Dataset.from_list(rows).save(), folder / "tickets.jsonl")
    decided = tunesmith.decide(tiny, rows, out=folder / "runs")
    decided.path.rename(folder / "runs/mine")
    return folder


@pytest.mark.parametrize("number", range(5))
def test_a_script_of_the_guide_runs(
    number: int,
    place: Path,
    rows: list[dict[str, str]],
    tiny: dict[str, Any],
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    script = SCRIPTS[number]
    assert sum(bool(line.strip()) for line in script.splitlines()) < 15
    monkeypatch.chdir(place)
    # the guide names a model and a preset that take minutes: here they are tiny
    script = script.replace('"smollm2-135m-instruct"', repr(str(tiny_model)))
    script = script.replace('"quick"', "TINY")
    names: dict[str, Any] = {
        "TINY": tiny,
        "tickets": [{"question": row["prompt"], "label": row["completion"]} for row in rows],
        "frame": pandas.DataFrame(rows),
    }
    exec(script, names)
    assert capsys.readouterr().out.strip()


def test_there_are_five_scripts() -> None:
    assert len(SCRIPTS) == 5
