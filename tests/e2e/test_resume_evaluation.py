"""An evaluation that was stopped or killed is continued: nothing is asked twice, and it ends as one
that was left alone."""

import json
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from door import Door

from tunesmith import failpoints
from tunesmith.contenders import evaluation_runner
from tunesmith.records import Evaluation, Run, Split, TestSet
from tunesmith.records.test_set_access import fingerprint_test_set
from tunesmith.runs.run_folder import RunFolder
from tunesmith.store.store import Store
from tunesmith.testing.fake_openai import FakeOpenAI, Reply, make_chat_completion

Start = Callable[..., "subprocess.Popen[str]"]
NAMES = ("tiny", "second", "today")


@pytest.fixture(scope="session")
def words(
    tiny_model: Path, labels_csv: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[str]:
    """Two models and the answers of another system, on 12 of 96 examples."""
    place = tmp_path_factory.mktemp("more")
    second = shutil.copytree(tiny_model, place / "second")
    rows = [line.split(",") for line in labels_csv.read_text().splitlines()[1:]]
    answers = "\n".join(f"{question},{answer}!" for question, answer in rows)
    (today := place / "today.csv").write_text(f"question,answer\n{answers}\n")
    return [
        *("evaluate", str(tiny_model), str(second), "--data", str(labels_csv)),
        *("--set", "evaluation.max_test_examples=12", "--set", "evaluation.max_new_tokens=4"),
        *("--set", "training.dtype=float32", "--external-answers", str(today)),
    ]


def only_run(out: Path) -> RunFolder:
    (path,) = (path for path in out.iterdir() if not path.name.startswith(".tmp-"))
    return RunFolder.open(path)


def get_outcome(folder: RunFolder) -> Any:
    """What an evaluation leaves, without what a clock said."""
    evaluation = folder.read(Evaluation)
    answers = {
        name: [one.model_dump(exclude={"seconds"}) for one in folder.read_answers(name).records]
        for name in folder.list_contenders()
    }
    metrics = [(one.name, one.description, one.metrics) for one in evaluation.contenders]
    return answers, metrics, evaluation.comparisons, folder.read(TestSet)


@pytest.fixture(scope="session")
def clean(words: list[str], tmp_path_factory: pytest.TempPathFactory, home: Path) -> Any:
    from tunesmith.cli.main import run

    out = tmp_path_factory.mktemp("clean")
    assert run([*words, "--out", str(out)]) == 0
    return get_outcome(only_run(out))


@pytest.mark.parametrize("failing_call", [0, 1])
def test_it_continues_to_the_same_comparison(
    tunesmith: Door,
    words: list[str],
    clean: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    failing_call: int,
) -> None:
    calls = iter(range(10))
    measure = evaluation_runner.measure_latency

    def fail_once(*given: Any) -> Any:
        if next(calls) == failing_call:
            raise RuntimeError("the test ends it here")
        return measure(*given)

    with monkeypatch.context() as patch:
        patch.setattr(evaluation_runner, "measure_latency", fail_once)
        failed = tunesmith(*words, "--out", tmp_path)
    folder = only_run(tmp_path)
    assert failed.code == 70 and f"resume with tunesmith resume {folder.path}" in failed.err
    assert list(folder.list_contenders()) == ["tiny"][:failing_call]
    assert folder.unscored() == (NAMES[failing_call],)
    assert folder.read(Run).status == "failed"
    resumed = tunesmith("resume", folder.path)
    assert resumed.code == 0, resumed.err
    for name in ("tiny", "second")[: failing_call + 1]:
        assert f"{name}: " in resumed.err
    assert get_outcome(folder) == clean
    assert folder.read(Run).status == "finished" and folder.read(Run).resume_count == 1
    assert not folder.find_damage()
    again = tunesmith("resume", folder.id)
    assert again.code == 2 and "error[run/finished]" in again.err


def test_killed_while_it_asks_it_continues_to_the_same_comparison(
    start: Start, tunesmith: Door, words: list[str], clean: Any, tmp_path: Path
) -> None:
    from tunesmith.runs.run_folder import RECORD_FILES

    process = start(
        *words, "--out", tmp_path, env={failpoints.ENV_VARIABLE: "files.renamed:16:kill9"}
    )
    process.communicate(timeout=300)
    assert process.returncode == -signal.SIGKILL
    folder = only_run(tmp_path)
    assert not (folder.path / RECORD_FILES[Evaluation]).exists()
    listed = tunesmith("runs", "--all", "--json").document["runs"]
    assert next(row["status"] for row in listed if row["id"] == folder.id) == "killed"
    resumed = tunesmith("resume", folder.path)
    assert resumed.code == 0, resumed.err
    assert get_outcome(folder) == clean
    assert not list(folder.path.rglob(".tmp-*")) and not folder.find_damage()


def test_it_is_a_run_of_the_store_and_every_contender_used_the_test_set_once(
    tunesmith: Door, words: list[str], tmp_path: Path
) -> None:
    assert tunesmith(*words, "--out", tmp_path).code == 0
    folder = only_run(tmp_path)
    rows = tunesmith("runs", "--all", "--json").document["runs"]
    row = next(row for row in rows if row["id"] == folder.id)
    assert (row["status"], row["model"], row["command"]) == ("finished", "tiny, second", "evaluate")
    with Store.open() as store:
        test = fingerprint_test_set(folder.read(Split).test)
        accesses = [one for one in store.list_test_set_accesses(test) if one.run == folder.id]
        assert store.list_evaluations(folder.id) == [folder.read(Evaluation)]
    assert sorted(one.contender for one in accesses) == sorted(NAMES)
    assert {one.purpose for one in accesses} == {"evaluate"}
    shown = tunesmith("show", folder.id)
    assert shown.code == 0 and "models tiny, second" in shown.out
    assert shown.out.splitlines()[-1] == "next: tunesmith runs"


def test_without_a_folder_nothing_is_left_and_no_run_is_named(
    tunesmith: Door, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    before = [row["id"] for row in tunesmith("runs", "--all", "--json").document["runs"]]
    assert tunesmith(*words).code == 0
    assert list(tmp_path.iterdir()) == []
    assert [row["id"] for row in tunesmith("runs", "--all", "--json").document["runs"]] == before


def test_latency_of_single_requests_and_the_usage_of_each_contender_are_stored(
    tunesmith: Door, words: list[str], tmp_path: Path
) -> None:
    assert tunesmith(*words, "--out", tmp_path).code == 0
    folder = only_run(tmp_path)
    usage = folder.read_contender("tiny").usage
    assert usage is not None and usage.requests == 12 + evaluation_runner.MAX_LATENCY_REQUESTS
    assert usage.latency_seconds is not None and usage.latency_seconds > 0
    assert folder.read(Evaluation).get_contender("tiny").usage == usage
    assert folder.read(TestSet).labels == ("red", "green", "blue")


def test_other_data_and_another_model_are_refused(
    tunesmith: Door, words: list[str], labels_csv: Path, tmp_path: Path
) -> None:
    failpoints.arm("files.renamed:16:raise")
    try:
        assert tunesmith(*words, "--out", tmp_path).code == 70
    finally:
        failpoints.arm(None)
    folder = only_run(tmp_path)
    text = labels_csv.read_text()
    try:
        labels_csv.write_text(text.replace("is painted", "was painted"))
        refused = tunesmith("resume", folder.path, "--allow-drift")
    finally:
        labels_csv.write_text(text)
    assert refused.code == 2 and "error[run/other-data]" in refused.err
    before = folder.read(Run)
    folder.write(
        before.replace(reproducibility_key={**before.reproducibility_key, "model tiny": "0" * 64})
    )
    refused = tunesmith("resume", folder.path)
    assert refused.code == 2 and "error[run/drift]" in refused.err
    assert "model tiny: 000000000000 -> " in refused.err
    assert tunesmith("resume", folder.path, "--allow-drift").code == 0


def test_a_paid_answer_is_not_asked_for_again(
    tunesmith: Door, words: list[str], tmp_path: Path
) -> None:
    """A service stops one evaluation in its second model; the first has been paid for."""
    asked: list[str] = []

    def reply(request: dict[str, Any]) -> Reply:
        asked.append(request["model"])
        return Reply(body={**make_chat_completion("red"), "model": request["model"]})

    with FakeOpenAI(lambda question: "red", reply=reply) as service:
        remotes = [
            {
                "name": name,
                "base_url": service.url,
                "model": name,
                "usd_per_million_in": 1,
                "usd_per_million_out": 1,
            }
            for name in ("first", "later")
        ]
        changes = ("--set", f"evaluation.remote={json.dumps(remotes)}")
        data = [words[words.index("--data") + 1], "--set", "evaluation.max_test_examples=12"]
        failpoints.arm("files.renamed:16:raise")
        try:
            tunesmith("evaluate", "--data", *data, *changes, "--out", tmp_path)
        finally:
            failpoints.arm(None)
        folder = only_run(tmp_path)
        assert "first" in folder.list_contenders()
        before = asked.count("first")
        resumed = tunesmith("resume", folder.path)
        assert resumed.code == 0, resumed.err
        assert asked.count("first") == before == 12 + evaluation_runner.MAX_LATENCY_REQUESTS
    assert [one.name for one in folder.read(Evaluation).contenders] == ["first", "later"]
