"""What is served is what was measured: every contender of a run answers as its stored answers say,
after the data and the documents have gone."""

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from door import Door

from tunesmith.cli.main import run
from tunesmith.contenders.contender_loading import LoadedContender, choose_contender, open_contender
from tunesmith.errors import GateFailed, RunError, UsageError
from tunesmith.export.answers_proof import AnswersProof
from tunesmith.records import Decision, Message, TestSet
from tunesmith.runs.run_folder import RunFolder
from tunesmith.workflow.export import export

FREE = [
    "zero-shot",
    "few-shot",
    "searched",
    "rag",
    "rag-documents",
    "tuned",
    "tuned+rag",
    "tuned+rag-documents",
    "mine",
    "role",
]


ALONE = """
import json, os, runpy, sys
sys.modules["tunesmith"] = None
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM  # once: it takes long
for line in sys.stdin:
    place, questions, answers = json.loads(line)
    if child := os.fork():
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    sys.stdin, sys.stdout = open(questions), open(answers, "w")
    sys.path.insert(0, place)
    sys.argv = ["answer.py", "--json"]
    runpy.run_path(place + "/answer.py", run_name="__main__")
    sys.stdout.close()
    os._exit(0)
"""  # noqa: E501
"""Runs the answer.py of each folder named on a line, in a fork of a process that cannot import
tunesmith."""


def decide_and_forget(data: Path, settings: list[str], folder: Path, *more: str) -> RunFolder:
    """A decided run whose data and documents are not there any more."""
    files = folder / "files"
    (files / "documents").mkdir(parents=True)
    (files / "documents" / "boats.md").write_text(
        "A boat is painted red.\n\nA cloud is painted blue or green.\n"
    )
    (files / "documents" / "doors.txt").write_text("Every door is green, each lamp is red.\n")
    prompts = [
        {"name": "mine", "prompt": "Colour of: {input}"},
        {"name": "role", "system": "You name colours."},
    ]
    (files / "prompts.json").write_text(json.dumps(prompts))
    mine = files / data.name
    shutil.copy(data, mine)
    told = io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
        code = run(
            [
                "decide",
                str(mine),
                "--documents",
                str(files / "documents"),
                "--out",
                str(folder / "runs"),
                "--json",
                *settings,
                "--system-prompt",
                "Say it briefly.",
                "--prompts",
                str(files / "prompts.json"),
                *more,
            ]
        )
    assert code == 0, told.getvalue()
    shutil.rmtree(files)
    (made,) = (folder / "runs").iterdir()
    return RunFolder.open(made)


@pytest.fixture(scope="module")
def labels(
    labels_csv: Path, settings: list[str], tmp_path_factory: pytest.TempPathFactory
) -> RunFolder:
    return decide_and_forget(labels_csv, settings, tmp_path_factory.mktemp("labels"))


@pytest.fixture(scope="module")
def fields(
    fields_jsonl: Path, settings: list[str], tmp_path_factory: pytest.TempPathFactory
) -> RunFolder:
    more = ("--set", "retrieval.search=bm25")
    return decide_and_forget(fields_jsonl, settings, tmp_path_factory.mktemp("fields"), *more)


def answers_again(folder: RunFolder, served: LoadedContender) -> list[tuple[str, int]]:
    asked = [
        one.prompt or (Message("user", one.question),) for one in folder.read(TestSet).examples
    ]
    return [(one.text, one.tokens_out) for one in served.complete(asked)]


@pytest.mark.parametrize("kind", ["labels", "fields"])
@pytest.mark.parametrize(
    "contender", [*FREE, "zero-shot-constrained", "zero-shot+form", "tuned-constrained"]
)
def test_a_served_contender_answers_as_it_was_measured(
    contender: str, kind: str, request: pytest.FixtureRequest
) -> None:
    folder: RunFolder = request.getfixturevalue(kind)
    contender = contender.replace("+form", "+labels" if kind == "labels" else "+schema")
    measured = [(one.text, one.tokens_out) for one in folder.read_answers(contender).records]
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
    assert chosen.inference_config.contender == "rag" and chosen.inference_config.k == 2
    assert chosen.reason == "Using rag, the winner (verdict: rag)."


def test_without_a_winner_the_best_answers_and_that_is_said(
    labels: RunFolder, tmp_path: Path
) -> None:
    decided = write_verdict(labels, "stop", None, tmp_path)
    chosen = choose_contender(decided)
    assert chosen.reason.startswith("The verdict is 'stop', no contender is good enough; ")


def test_a_contender_that_a_run_does_not_have_is_refused_by_name(labels: RunFolder) -> None:
    with pytest.raises(
        UsageError, match=r"(?s)no-such-contender.*use one of few-shot, mine, rag, "
    ):
        choose_contender(labels, "rga")


def test_a_run_that_does_not_say_how_its_winner_was_asked_is_refused(
    labels: RunFolder, tmp_path: Path
) -> None:
    """Runs of earlier versions; their tuned model can be asked all the same."""
    decided = write_verdict(labels, "rag", "rag", tmp_path)
    shutil.rmtree(decided.path / "prompts")
    with pytest.raises(RunError, match="not-kept"):
        choose_contender(decided)
    assert choose_contender(decided, "tuned").inference_config.system == "Say it briefly."


def test_chat_with_a_run_tells_who_answers(
    labels: RunFolder, tmp_path: Path, tunesmith: Door
) -> None:
    decided = write_verdict(labels, "prompt", "zero-shot-constrained", tmp_path)
    printed = tunesmith("chat", decided.path, "--message", "a red boat")
    assert printed.code == 0 and printed.out.strip() in ("red", "green", "blue")
    assert printed.err.strip() == "Using zero-shot-constrained, the winner (verdict: prompt)."
    other = tunesmith(
        "chat", decided.path, "--message", "a red boat", "--contender", "tuned-constrained"
    )
    assert other.code == 0 and other.err == ""


def test_a_contender_is_asked_of_runs_only(tiny_model: Path, tunesmith: Door) -> None:
    printed = tunesmith("chat", tiny_model, "--message", "a", "--contender", "rag")
    assert printed.code == 2 and "only a run has contenders" in printed.err


@pytest.fixture(scope="module")
def alone(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[Path, RunFolder], list[str]]]:
    """Asks a bundle what a run was tested with."""
    files = tmp_path_factory.mktemp("alone")
    with (
        (files / "errors.txt").open("w") as errors,
        subprocess.Popen(
            [sys.executable, "-c", ALONE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        ) as process,
    ):

        def ask(place: Path, folder: RunFolder) -> list[str]:
            prompts = [
                one.prompt or (Message("user", one.question),)
                for one in folder.read(TestSet).examples
            ]
            lines = [
                json.dumps({"messages": [message.as_dict() for message in prompt]})
                for prompt in prompts
            ]
            (questions := files / "questions.jsonl").write_text("\n".join(lines))
            (answers := files / "answers.jsonl").unlink(missing_ok=True)
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(json.dumps([str(place), str(questions), str(answers)]) + "\n")
            process.stdin.flush()
            assert process.stdout.readline() == "0\n", (files / "errors.txt").read_text()
            return [json.loads(line)["text"] for line in answers.read_text().splitlines()]

        yield ask


@pytest.mark.parametrize(
    ("kind", "contender"),
    [
        ("labels", "zero-shot-constrained"),
        ("labels", "rag"),
        ("labels", "tuned+rag-documents"),
        ("fields", "zero-shot-constrained"),
        ("fields", "mine"),
        ("labels", "zero-shot+labels"),
    ],
)
def test_a_bundle_answers_without_tunesmith_as_the_contender_was_measured(
    kind: str,
    contender: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    alone: Callable[[Path, RunFolder], list[str]],
) -> None:
    folder: RunFolder = request.getfixturevalue(kind)
    nothing = AnswersProof(contender=contender, compared=0, matching=0)
    monkeypatch.setattr(
        "tunesmith.export.bundle.verify_bundle", lambda *_, **__: nothing
    )  # the lines below are one
    export(str(folder.path), tmp_path / "bundle", contender)
    measured = [one.text for one in folder.read_answers(contender).records]
    assert len(measured) == 12
    assert alone(tmp_path / "bundle", folder) == measured


def test_export_writes_the_winner_and_proves_that_it_answers_the_same(
    labels: RunFolder, tmp_path: Path, tunesmith: Door
) -> None:
    decided = write_verdict(labels, "prompt", "few-shot", tmp_path)
    printed = tunesmith("export", decided.path, "--to", tmp_path / "few shot")
    assert printed.code == 0, printed.err
    assert "Using few-shot, the winner (verdict: prompt)." in printed.out
    assert "verified: answer.py reproduces 12 of 12 stored answers of few-shot" in printed.out
    last = printed.out.splitlines()[-1]
    assert last == f"next: echo 'your question' | python '{tmp_path / 'few shot'}/answer.py'"
    names = {path.name for path in (tmp_path / "few shot").iterdir()}
    assert names == {"README.md", "answer.py", "answers_proof.json", "messages.py", "prompt.json"}


def test_a_bundle_that_answers_otherwise_is_not_written(labels: RunFolder, tmp_path: Path) -> None:
    decided = write_verdict(labels, "prompt", "few-shot", tmp_path)
    asking, answers = decided.read_contender("few-shot"), decided.read_answers("few-shot").records
    decided.write_answers(asking, [one.model_copy(update={"text": "other"}) for one in answers])
    with pytest.raises(GateFailed, match=r"(?s)bundle-differs.*0 of 12 stored answers"):
        export(str(decided.path), tmp_path / "bundle")
    assert {path.name for path in tmp_path.iterdir()} == {decided.id}
