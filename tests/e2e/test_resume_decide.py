"""A decision that was cut short goes on to the verdict of the one left alone; nobody is asked, nothing chosen twice."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from door import Door

from tunesmith import faults
from tunesmith.cli.main import run
from tunesmith.files import sha256_of
from tunesmith.records import Evaluation, Run, Split
from tunesmith.records.look import name_of_test_set
from tunesmith.runs.folder import RunFolder
from tunesmith.store.store import Store
from tunesmith.workflow import contest

CONTENDERS = (
    "zero-shot", "zero-shot-constrained", "few-shot", "searched", "rag", "tuned", "tuned-constrained", "tuned+rag",
)  # fmt: skip
QUICK = ("--set", "training.checkpoint_minutes=0", "--set", "evaluation.trials=2")
Failing = Callable[[str], RunFolder]


@pytest.fixture(scope="session")
def words(labels_csv: Path, settings: list[str]) -> list[str]:
    return ["decide", str(labels_csv), *settings, *QUICK]


@pytest.fixture
def failed(tunesmith: Door, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Failing]:
    """The folder of a decision that an unforeseen error ended: when a contender has answered, or at a failpoint."""

    def fail(where: str) -> RunFolder:
        with monkeypatch.context() as patch:
            if where in CONTENDERS:
                patch.setattr(contest, "measure_latency", _failing_at(CONTENDERS.index(where)))
            else:
                faults.arm(f"{where}:raise")
            assert tunesmith(*words, "--out", tmp_path).code == 70
        faults.arm(None)
        return only_run(tmp_path)

    yield fail
    faults.arm(None)


def _failing_at(call: int) -> Callable[..., float]:
    calls = iter(range(call + 1))

    def measure(*_: object) -> float:
        if next(calls) == call:
            raise RuntimeError("the test ends it here")
        return 0.1

    return measure


def only_run(out: Path) -> RunFolder:
    (path,) = out.iterdir()
    return RunFolder.open(path)


def told(folder: RunFolder) -> Any:
    """What a decision leaves, without what a clock said."""
    evaluation = folder.read(Evaluation)
    answers = {
        one.name: [answer.model_dump(exclude={"seconds"}) for answer in folder.answers(one.name).records]
        for one in evaluation.contenders
    }
    document = json.loads((folder.path / "report.json").read_text())
    adapter = {path.name: sha256_of(path) for path in folder.adapter.iterdir()}
    choices = {one.what: one.trials for one in folder.choices().records}
    defaults = folder.read(Run).defaults
    measured = [(one.name, one.given, one.metrics, one.retrieval_hits) for one in evaluation.contenders]
    told = [document[name] for name in ("verdict", "winner", "forgetting")]
    return answers, measured, *told, adapter, choices, defaults


@pytest.fixture(scope="session")
def clean(words: list[str], tmp_path_factory: pytest.TempPathFactory) -> Any:
    out = tmp_path_factory.mktemp("clean")
    assert run([*words, "--out", str(out)]) == 0
    return told(only_run(out))


@pytest.mark.parametrize("where", ["zero-shot", "rag", "train.step:2", "tuned", "tuned+rag"])
def test_it_goes_on_to_the_same_verdict(failed: Failing, tunesmith: Door, clean: Any, where: str) -> None:
    folder = failed(where)
    before = folder.contenders()
    shown = tunesmith("show", folder.path)
    assert shown.out.splitlines()[-1] == f"next: tunesmith resume {folder.path}"
    resumed = tunesmith("resume", folder.path)
    assert resumed.code == 0, resumed.err
    assert told(folder) == clean
    assert all(f"{name} has answered already" in resumed.err for name in before)
    assert resumed.out.splitlines()[-4] == f"next: tunesmith chat {folder.path}"
    with Store.open() as store:
        looks = store.looks(name_of_test_set(folder.read(Split).test))
    mine = [look.contender for look in looks if look.run == folder.id]
    assert sorted(mine) == sorted(CONTENDERS), "every contender looked at the test set once"
    again = tunesmith("resume", folder.path)
    assert again.code == 2 and "error[run/finished]" in again.err and "has its verdict" in again.err


def test_twice_cut_short(failed: Failing, tunesmith: Door, clean: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = failed("few-shot")
    with monkeypatch.context() as patch:
        patch.setattr(contest, "measure_latency", _failing_at(4))  # searched, rag, tuned, tuned-constrained, tuned+rag
        assert tunesmith("resume", folder.id).code == 70
    assert folder.read(Run).status == "finished", "its tuning is"
    ended = tunesmith("resume", folder.id, "--json")
    assert ended.document["verdict"] == clean[2] and told(folder) == clean
    assert folder.read(Run).resumed == 2


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
    folder.write(before.model_copy(update={"identity": {**before.identity, "torch": "2.12.1"}}))
    refused = tunesmith("resume", folder.path)
    assert refused.code == 2 and "error[run/drift]" in refused.err and "torch 2.12.1 then" in refused.err
    allowed = tunesmith("resume", folder.path, "--allow-drift")
    assert allowed.code == 0 and "warning: goes on although it differs: torch" in allowed.err
