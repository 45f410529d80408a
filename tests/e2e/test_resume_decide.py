"""A decision that was cut short goes on to the verdict of the one left alone; nobody is asked,
nothing chosen twice."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from door import Door

from tunesmith import failpoints
from tunesmith.atomic_io import compute_sha256
from tunesmith.cli.main import run
from tunesmith.contenders import evaluation_runner
from tunesmith.evaluation.usage_meter import SingleRequestLatency
from tunesmith.records import Decision, Evaluation, Run, Split, Usage
from tunesmith.records.test_set_access import fingerprint_test_set
from tunesmith.runs.run_folder import RunFolder
from tunesmith.store.store import Store
from tunesmith.workflow import conclusion, training_job

CONTENDERS = (
    "zero-shot",
    "zero-shot-constrained",
    "zero-shot+labels",
    "few-shot",
    "searched",
    "rag",
    "tuned",
    "tuned-constrained",
    "tuned+rag",
)
QUICK = ("--set", "training.checkpoint_minutes=0", "--set", "evaluation.prompt_trials=2")
Failing = Callable[[str], RunFolder]


@pytest.fixture(scope="session")
def words(labels_csv: Path, settings: list[str]) -> list[str]:
    return ["decide", str(labels_csv), *settings, *QUICK]


@pytest.fixture
def failed(
    tunesmith: Door, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Failing]:
    """The folder of a decision that an unforeseen error ended: when a contender has answered, or at
    a failpoint."""

    def fail(where: str) -> RunFolder:
        with monkeypatch.context() as patch:
            if where in CONTENDERS:
                patch.setattr(
                    evaluation_runner, "measure_latency", _failing_at(CONTENDERS.index(where))
                )
            else:
                failpoints.arm(f"{where}:raise")
            assert tunesmith(*words, "--out", tmp_path).code == 70
        failpoints.arm(None)
        return only_run(tmp_path)

    yield fail
    failpoints.arm(None)


def _failing_at(call: int) -> Callable[..., SingleRequestLatency]:
    calls = iter(range(call + 1))

    def measure(*_: object) -> SingleRequestLatency:
        if next(calls) == call:
            raise RuntimeError("the test ends it here")
        return SingleRequestLatency(0.1, Usage(requests=0, tokens_in=0, tokens_out=0, seconds=0.0))

    return measure


def only_run(out: Path) -> RunFolder:
    (path,) = out.iterdir()
    return RunFolder.open(path)


def told(folder: RunFolder) -> Any:
    """What a decision leaves, without what a clock said."""
    evaluation = folder.read(Evaluation)
    answers = {
        one.name: [
            answer.model_dump(exclude={"seconds"})
            for answer in folder.read_answers(one.name).records
        ]
        for one in evaluation.contenders
    }
    document = json.loads((folder.path / "report.json").read_text())
    adapter = {path.name: compute_sha256(path) for path in folder.adapter.iterdir()}
    choices = {one.purpose: one.trials for one in folder.read_selections().records}
    defaults = folder.read(Run).defaults
    measured = [
        (one.name, one.description, one.metrics, one.retrieval_hit_rate)
        for one in evaluation.contenders
    ]
    told = [document[name] for name in ("verdict", "winner", "forgetting")]
    return answers, measured, *told, adapter, choices, defaults


@pytest.fixture(scope="session")
def clean(words: list[str], tmp_path_factory: pytest.TempPathFactory) -> Any:
    out = tmp_path_factory.mktemp("clean")
    assert run([*words, "--out", str(out)]) == 0
    return told(only_run(out))


@pytest.mark.parametrize("where", ["zero-shot", "rag", "train.step:2", "tuned", "tuned+rag"])
def test_it_goes_on_to_the_same_verdict(
    failed: Failing, tunesmith: Door, clean: Any, where: str
) -> None:
    folder = failed(where)
    before = folder.list_contenders()
    shown = tunesmith("show", folder.path)
    assert shown.out.splitlines()[-1] == f"next: tunesmith resume {folder.path}"
    resumed = tunesmith("resume", folder.path)
    assert resumed.code == 0, resumed.err
    assert told(folder) == clean
    assert all(f"{name}: reusing stored answers" in resumed.err for name in before)
    assert resumed.out.splitlines()[-4] == f"next: tunesmith chat {folder.path}"
    with Store.open() as store:
        looks = store.list_test_set_accesses(fingerprint_test_set(folder.read(Split).test))
    mine = [look.contender for look in looks if look.run == folder.id]
    assert sorted(mine) == sorted(CONTENDERS), "every contender looked at the test set once"
    again = tunesmith("resume", folder.path)
    assert again.code == 2 and "error[run/finished]" in again.err and "has its verdict" in again.err


def test_twice_cut_short(
    failed: Failing, tunesmith: Door, clean: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = failed("few-shot")
    with monkeypatch.context() as patch:
        patch.setattr(
            evaluation_runner, "measure_latency", _failing_at(4)
        )  # searched, rag, tuned, tuned-constrained, tuned+rag
        assert tunesmith("resume", folder.id).code == 70
    assert folder.read(Run).status == "finished", "its tuning is"
    ended = tunesmith("resume", folder.id, "--json")
    assert ended.document["verdict"] == clean[2] and told(folder) == clean
    assert folder.read(Run).resume_count == 2


def test_other_data_are_refused(failed: Failing, tunesmith: Door, labels_csv: Path) -> None:
    folder = failed("rag")
    text = labels_csv.read_text()
    try:
        labels_csv.write_text(text.replace("is painted", "was painted"))
        refused = tunesmith("resume", folder.path, "--allow-drift")
    finally:
        labels_csv.write_text(text)
    assert refused.code == 2 and "error[run/other-data]" in refused.err
    assert not folder.has(Evaluation)


def test_what_differs_is_named(failed: Failing, tunesmith: Door) -> None:
    folder = failed("rag")
    before = folder.read(Run)
    folder.write(
        before.model_copy(
            update={"reproducibility_key": {**before.reproducibility_key, "torch": "2.12.1"}}
        )
    )
    refused = tunesmith("resume", folder.path)
    assert (
        refused.code == 2
        and "error[run/drift]" in refused.err
        and "torch: 2.12.1 -> " in refused.err
    )
    allowed = tunesmith("resume", folder.path, "--allow-drift")
    assert allowed.code == 0 and "resuming despite a difference: torch" in allowed.err


def test_a_report_that_could_not_be_written_is_written(
    tunesmith: Door, words: list[str], clean: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decision is the last that is written: until then the run is not finished."""
    with monkeypatch.context() as patch:
        patch.setattr(conclusion, "write_report", _full_disk)
        assert tunesmith(*words, "--out", tmp_path).code == 2
    folder = only_run(tmp_path)
    assert not folder.has(Decision)
    listed = tunesmith("runs", "--all", "--json").document["runs"]
    assert next(row["status"] for row in listed if row["id"] == folder.id) == "interrupted"
    assert tunesmith("resume", folder.path).code == 0
    assert (
        told(folder) == clean
        and not folder.checkpoints.exists()
        and not (folder.path / "lesson").exists()
    )


def _full_disk(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_what_tuning_needed_goes_away_in_the_end(
    tunesmith: Door, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut short between the last step and the clearing up."""
    with monkeypatch.context() as patch:
        patch.setattr(training_job, "remove_training_files", _full_disk)
        assert tunesmith(*words, "--out", tmp_path).code == 2
    folder = only_run(tmp_path)
    assert folder.checkpoints.exists() and folder.read(Run).status == "finished"
    assert tunesmith("resume", folder.path).code == 0
    assert not folder.checkpoints.exists() and not (folder.path / "lesson").exists()


def test_a_lost_look_is_made_up_and_damaged_answers_are_asked_for_again(
    failed: Failing, tunesmith: Door, clean: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(evaluation_runner.EvaluationRunner, "_log_test_set_access", lambda *_: None)
        folder = failed("rag")
    (folder.path / "answers/few-shot.json").unlink()
    (folder.path / "answers/searched.jsonl").write_text("{}\n")
    resumed = tunesmith("resume", folder.path)
    assert resumed.code == 0, resumed.err
    assert "running few-shot again" in resumed.err and "running searched again" in resumed.err
    assert told(folder) == clean
    with Store.open() as store:
        looks = store.list_test_set_accesses(fingerprint_test_set(folder.read(Split).test))
    mine = [look.contender for look in looks if look.run == folder.id]
    assert sorted(mine) == sorted([*CONTENDERS, "few-shot", "searched"]), (
        "whoever was asked twice looked twice"
    )


def test_from_another_folder(
    tunesmith: Door,
    labels_csv: Path,
    settings: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever was named relatively is found again."""
    monkeypatch.chdir(labels_csv.parent)
    failpoints.arm("train.step:1:raise")
    cut = tunesmith("decide", labels_csv.name, *settings, *QUICK, "--out", tmp_path)
    failpoints.arm(None)
    folder = only_run(tmp_path)
    assert cut.code == 70 and f"resume with tunesmith resume {folder.path}" in cut.err
    monkeypatch.chdir("/")
    assert tunesmith("resume", folder.path).code == 0


def test_documents_that_changed_are_named(
    tunesmith: Door, words: list[str], tmp_path: Path
) -> None:
    (documents := tmp_path / "docs").mkdir()
    (documents / "a.txt").write_text("Boats are painted blue.")
    failpoints.arm("train.step:1:raise")
    assert tunesmith(*words, "--documents", documents, "--out", tmp_path / "runs").code == 70
    failpoints.arm(None)
    folder = only_run(tmp_path / "runs")
    (documents / "a.txt").write_text("Boats are painted red.")
    refused = tunesmith("resume", folder.path)
    assert refused.code == 2 and "error[run/drift]" in refused.err and "documents: " in refused.err
