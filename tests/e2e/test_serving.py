"""What is served is what was measured: every contender of a run answers as its stored answers say, after the data and
the documents have gone."""

import contextlib
import io
import shutil
from pathlib import Path

import pytest
from door import Door

from tunesmith.cli.main import run
from tunesmith.errors import RunError, UsageError
from tunesmith.records import Decision, Message, TestSet
from tunesmith.runs.folder import RunFolder
from tunesmith.workflow.serving import Served, choose_contender, open_contender

FREE = ["zero-shot", "few-shot", "searched", "rag", "rag-documents", "tuned", "tuned+rag", "tuned+rag-documents"]


def decide_and_forget(data: Path, settings: list[str], folder: Path, *more: str) -> RunFolder:
    """A decided run whose data and documents are not there any more."""
    files = folder / "files"
    (files / "documents").mkdir(parents=True)
    (files / "documents" / "boats.md").write_text("A boat is painted red.\n\nA cloud is painted blue or green.\n")
    (files / "documents" / "doors.txt").write_text("Every door is green, each lamp is red.\n")
    mine = files / data.name
    shutil.copy(data, mine)
    told = io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
        code = run(["decide", str(mine), "--documents", str(files / "documents"), "--out", str(folder / "runs"),
                    "--json", *settings, "--instruction", "Say it briefly.", *more])  # fmt: skip
    assert code == 0, told.getvalue()
    shutil.rmtree(files)
    (made,) = (folder / "runs").iterdir()
    return RunFolder.open(made)


@pytest.fixture(scope="module")
def labels(labels_csv: Path, settings: list[str], tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return decide_and_forget(labels_csv, settings, tmp_path_factory.mktemp("labels"))


@pytest.fixture(scope="module")
def fields(fields_jsonl: Path, settings: list[str], tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    more = ("--set", "retrieval.search=bm25")
    return decide_and_forget(fields_jsonl, settings, tmp_path_factory.mktemp("fields"), *more)


def answers_again(folder: RunFolder, served: Served) -> list[tuple[str, int]]:
    asked = [one.prompt or (Message("user", one.question),) for one in folder.read(TestSet).examples]
    return [(one.text, one.tokens_out) for one in served.complete(asked)]


@pytest.mark.parametrize("kind", ["labels", "fields"])
@pytest.mark.parametrize("contender", [*FREE, "zero-shot-constrained", "tuned-constrained"])
def test_a_served_contender_answers_as_it_was_measured(
    contender: str, kind: str, request: pytest.FixtureRequest
) -> None:
    folder: RunFolder = request.getfixturevalue(kind)
    measured = [(one.text, one.tokens_out) for one in folder.answers(contender).records]
    served = open_contender(folder, choose_contender(folder, contender))
    assert len(measured) == 12
    assert answers_again(folder, served) == measured


def write_verdict(folder: RunFolder, verdict: str, winner: str | None, to: Path) -> RunFolder:
    """A copy of the run with another verdict."""
    shutil.copytree(folder.path, to / folder.id)
    copy = RunFolder.open(to / folder.id)
    copy.write(copy.read(Decision).model_copy(update={"verdict": verdict, "winner": winner}))
    return copy


def test_the_winner_answers_not_the_tuned_loser(labels: RunFolder, tmp_path: Path) -> None:
    decided = write_verdict(labels, "rag", "rag", tmp_path)
    chosen = choose_contender(decided)
    assert chosen.serving.contender == "rag" and chosen.serving.k == 2
    assert chosen.why == "rag answers: the winner, verdict rag."


def test_without_a_winner_the_best_answers_and_that_is_said(labels: RunFolder, tmp_path: Path) -> None:
    decided = write_verdict(labels, "stop", None, tmp_path)
    chosen = choose_contender(decided)
    assert chosen.why.startswith("The verdict is stop, no contender is good enough; ")


def test_a_contender_that_a_run_does_not_have_is_refused_by_name(labels: RunFolder) -> None:
    with pytest.raises(UsageError, match=r"no-such-contender.*give one of few-shot, rag, "):
        choose_contender(labels, "rga")


def test_a_run_that_does_not_say_how_its_winner_was_asked_is_refused(labels: RunFolder, tmp_path: Path) -> None:
    """Runs of earlier versions; their tuned model can be asked all the same."""
    decided = write_verdict(labels, "rag", "rag", tmp_path)
    shutil.rmtree(decided.path / "prompts")
    with pytest.raises(RunError, match="not-kept"):
        choose_contender(decided)
    assert choose_contender(decided, "tuned").serving.system == "Say it briefly."


def test_chat_with_a_run_tells_who_answers(labels: RunFolder, tmp_path: Path, tunesmith: Door) -> None:
    decided = write_verdict(labels, "prompt", "zero-shot-constrained", tmp_path)
    printed = tunesmith("chat", decided.path, "--message", "a red boat")
    assert printed.code == 0 and printed.out.strip() in ("red", "green", "blue")
    assert printed.err.strip() == "zero-shot-constrained answers: the winner, verdict prompt."
    other = tunesmith("chat", decided.path, "--message", "a red boat", "--contender", "tuned-constrained")
    assert other.code == 0 and other.err == ""


def test_a_contender_is_asked_of_runs_only(tiny_model: Path, tunesmith: Door) -> None:
    printed = tunesmith("chat", tiny_model, "--message", "a", "--contender", "rag")
    assert printed.code == 2 and "Only a run has contenders." in printed.err
