"""A tuning of less than one pass over the data, from the line before it to the report: nothing is
said about it."""

import contextlib
import io
import json
from pathlib import Path

import pytest
from door import Door

from tunesmith.cli.main import run
from tunesmith.records import Decision, Run
from tunesmith.runs.run_folder import RunFolder


@pytest.fixture(scope="module")
def told_and_folder(
    labels_csv: Path, settings: list[str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, RunFolder]:
    out, told = tmp_path_factory.mktemp("runs"), io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(told):
        code = run(
            ["decide", str(labels_csv), *settings, "--epochs", "0.4", "--json", "--out", str(out)]
        )
    assert code == 0, told.getvalue()
    (folder,) = out.iterdir()
    return told.getvalue(), RunFolder.open(folder)


def test_it_is_told_before_the_tuning_with_what_would_be_enough(
    told_and_folder: tuple[str, RunFolder],
) -> None:
    told, _ = told_and_folder
    before, _, after = told.partition("== tuning\n")
    assert (
        "epochs (32 of 67 examples, 4 steps), too little for a conclusion about fine-tuning"
        in before
    )
    assert "3 epochs take about" in before and "trained for 0.48 epochs" in after


def test_run_verdict_and_reports_say_how_much_the_tuning_was(
    told_and_folder: tuple[str, RunFolder],
) -> None:
    _, folder = told_and_folder
    result, decision = folder.read(Run).result, folder.read(Decision)
    assert result is not None and result.training_length is not None
    assert (
        result.training_length.steps,
        result.training_length.examples,
        result.training_length.train_examples,
    ) == (
        4,
        32,
        67,
    )
    assert decision.training_length == result.training_length and decision.training_length.is_short
    assert decision.verdict == "cannot tell" or decision.winner in (
        "tuned",
        "tuned-constrained",
        "tuned+rag",
    )
    if decision.winner is None:
        assert decision.warnings[0].startswith(
            "No conclusion about fine-tuning: the model was trained for 0.48 epochs"
        )
    for name in ("report.md", "report.html"):
        assert "0.48 epochs" in (folder.path / name).read_text(encoding="utf-8")
    assert not any("tuned is out" in reason for reason in decision.reasons)


def test_decided_again_it_is_the_same(
    tunesmith: Door, told_and_folder: tuple[str, RunFolder]
) -> None:
    _, folder = told_and_folder
    again = tunesmith("decide", folder.path, "--json")
    assert again.code == 0 and json.loads(again.out)["is_same"]


def test_strict_refuses_before_anything_is_spent(
    tunesmith: Door, labels_csv: Path, settings: list[str], tmp_path: Path
) -> None:
    """A bar that needs no more test examples than there are, so that strictness gets as far as the
    tuning."""
    rows = labels_csv.read_text(encoding="utf-8").splitlines()
    test = tmp_path / "test.csv"
    many = [
        f"{number} {word} at last is coloured red,red"
        for number, word in enumerate(["stone", "leaf"] * 150)
    ]
    test.write_text("\n".join([rows[0], *many]) + "\n", encoding="utf-8")
    printed = tunesmith(
        "decide",
        labels_csv,
        *settings,
        "--set",
        "training.epochs=0.4",
        "--set",
        f"data.test_path={test}",
        "--max-test-examples",
        "300",
        "--min-gain",
        "0.5",
        "--allow-contamination",
        "near",
        "--fail-on-warning",
        "--out",
        tmp_path / "runs",
    )
    assert printed.code == 1, printed.err
    assert "error[gate/too-short-tuning]" in printed.err and "== tuning\n" not in printed.err
    assert not (tmp_path / "runs").exists()
