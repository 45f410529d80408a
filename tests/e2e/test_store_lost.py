"""The store is an index of run folders: whatever happens to it, no work is refused, and the folders
bring it back."""

import json
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from door import Door, Printed

from tunesmith import failpoints
from tunesmith.records import Run, Split
from tunesmith.records.test_set_access import fingerprint_test_set
from tunesmith.runs.run_folder import RunFolder
from tunesmith.store.database import Database
from tunesmith.store.store import Store
from tunesmith.store.tables import VERSION_TABLE
from tunesmith.training import local_trainer
from tunesmith.training.training_callbacks import MetricRecorder
from tunesmith.workflow import training_job

Harm = Callable[[Path], None]


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A store of one's own that is not waited for long."""
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(
        Store,
        "open",
        classmethod(lambda cls, url=None, *, lock_seconds=0.3: cls(Database(url, lock_seconds))),
    )
    monkeypatch.chdir(tmp_path)
    yield tmp_path / "home"
    failpoints.arm(None)
    while HELD:
        HELD.pop().close()


@pytest.fixture(scope="session")
def words(
    labels_csv: Path, settings: list[str], tmp_path_factory: pytest.TempPathFactory
) -> list[str]:
    recipe = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    recipe.write_text(f"data: {{path: {labels_csv}}}\n")
    return ["train", str(recipe), *settings, "--set", "training.checkpoint_minutes=0"]


HELD: list[sqlite3.Connection] = []


def lock(path: Path) -> None:
    HELD.append(sqlite3.connect(path, isolation_level=None, check_same_thread=False))
    HELD[-1].execute("BEGIN IMMEDIATE")


def delete(path: Path) -> None:
    for name in path.parent.glob("store.db*"):
        name.unlink()


def empty(path: Path) -> None:
    delete(path)
    path.write_bytes(b"")


def overwrite(path: Path) -> None:
    delete(path)
    path.write_bytes(b"no database " * 1000)


def corrupt_pages(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(bytes(range(256)) * ((path.stat().st_size - 4096) // 256))


def make_newer(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    connection.close()


def block_the_place(path: Path) -> None:
    """As a folder that cannot be written; root may write any."""
    shutil.rmtree(path.parent)
    path.parent.write_text("no folder")


def make_well(path: Path) -> None:
    """What a user is advised to do: wait, or move the file away."""
    while HELD:
        HELD.pop().close()
    with suppress(FileNotFoundError, NotADirectoryError):
        path.parent.unlink() if path.parent.is_file() else delete(path)


HARMS = [lock, delete, empty, overwrite, corrupt_pages, make_newer, block_the_place]
WARNED = [lock, overwrite, corrupt_pages, make_newer, block_the_place]


@pytest.fixture
def harmed_at_the_first_line(
    monkeypatch: pytest.MonkeyPatch, own_home: Path
) -> Callable[[Harm], None]:
    """The store is harmed when training has told its first line."""

    def arrange(harm: Harm) -> None:
        once = [harm]

        class Harming(MetricRecorder):
            def __call__(self, line: Any) -> None:
                super().__call__(line)
                if once:
                    once.pop()(own_home / "store.db")

        monkeypatch.setattr(local_trainer, "MetricRecorder", Harming)

    return arrange


def only_run(out: Path) -> RunFolder:
    (path,) = (path for path in out.iterdir() if path.is_dir())
    return RunFolder.open(path)


def is_entered(tunesmith: Door, folder: RunFolder) -> bool:
    listed = tunesmith("runs", "--all", "--json")
    assert listed.code == 0, listed.err
    statuses = [(row["id"], row["status"]) for row in listed.document["runs"]]
    shown = tunesmith("show", folder.id, "--json")
    assert shown.code == 0, shown.err
    artifacts = [one["kind"] for one in shown.document["artifacts"]]
    return (
        statuses == [(folder.id, "finished")]
        and artifacts[0] == "adapter"
        and len(set(artifacts)) <= 2
    )


@pytest.mark.parametrize("harm", HARMS)
def test_a_store_lost_while_training_is_a_warning_and_comes_back(
    tunesmith: Door,
    words: list[str],
    tmp_path: Path,
    own_home: Path,
    harmed_at_the_first_line: Callable[[Harm], None],
    harm: Harm,
) -> None:
    """The training ended with 2, `resume` refused it for ever, and `runs` called it killed."""
    harmed_at_the_first_line(harm)
    trained = tunesmith(*words, "--out", tmp_path / "runs")
    assert trained.code == 0, trained.err
    is_noticed = (
        harm in WARNED and harm is not make_newer
    )  # the schema is looked at when the store is opened
    assert ("run not recorded in the store" in trained.err) == is_noticed, trained.err
    folder = only_run(tmp_path / "runs")
    assert folder.read(Run).status == "finished" and not folder.checkpoints.exists()
    make_well(own_home / "store.db") if harm in WARNED else None
    assert is_entered(tunesmith, folder)
    assert tunesmith("resume", folder.path).code == 2, "nothing to resume"


@pytest.mark.parametrize("harm", WARNED)
def test_a_store_that_cannot_be_used_from_the_beginning_refuses_no_work(
    tunesmith: Door, words: list[str], tmp_path: Path, own_home: Path, harm: Harm
) -> None:
    Store.open().close()
    harm(own_home / "store.db")
    trained = tunesmith(*words, "--out", tmp_path / "runs")
    assert trained.code == 0 and trained.err.count("run not recorded in the store") == 1, (
        trained.err
    )
    folder = only_run(tmp_path / "runs")
    assert tunesmith("show", folder.path).code == 0
    make_well(own_home / "store.db")
    assert is_entered(tunesmith, folder)


def test_killed_between_the_folder_and_the_store_resume_puts_it_right(
    tunesmith: Door, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(training_job, "remove_training_files", lambda *_: None)
        harm_of_record(patch)
        assert tunesmith(*words, "--out", tmp_path / "elsewhere").code == 70
    folder = only_run(tmp_path / "elsewhere")
    assert folder.read(Run).status == "finished" and (folder.path / "lesson").exists()
    resumed = tunesmith("resume", folder.path)
    assert resumed.code == 0, resumed.err
    assert "repaired: leftover training files removed, store updated" in resumed.err
    assert resumed.out.splitlines()[-1] == f"next: tunesmith chat {folder.path}"
    assert (
        not folder.checkpoints.exists()
        and not (folder.path / "lesson").exists()
        and not folder.find_damage()
    )
    again = tunesmith("resume", folder.path)
    assert again.code == 2 and "error[run/finished]" in again.err
    assert is_entered(tunesmith, folder)


def harm_of_record(patch: pytest.MonkeyPatch) -> None:
    """The process ends when a finished run is to be entered in the store."""
    from tunesmith.runs.store_index import StoreIndex

    record = StoreIndex.record_run

    def until_finished(index: StoreIndex, folder: RunFolder) -> bool:
        if folder.read(Run).status == "finished":
            raise RuntimeError("the test ends it here")
        return record(index, folder)

    patch.setattr(StoreIndex, "record_run", until_finished)


@pytest.mark.parametrize("harm", [delete, lock])
def test_a_decision_whose_store_is_lost_keeps_every_look(
    tunesmith: Door,
    labels_csv: Path,
    settings: list[str],
    tmp_path: Path,
    own_home: Path,
    harmed_at_the_first_line: Callable[[Harm], None],
    harm: Harm,
) -> None:
    harmed_at_the_first_line(harm)
    decided = tunesmith(
        "decide",
        labels_csv,
        *settings,
        "--set",
        "evaluation.prompt_trials=0",
        "--out",
        tmp_path / "runs",
    )
    assert decided.code == 0, decided.err
    folder = only_run(tmp_path / "runs")
    make_well(own_home / "store.db") if harm in WARNED else None
    assert is_entered(tunesmith, folder)
    with Store.open() as store:
        looks = store.list_test_set_accesses(fingerprint_test_set(folder.read(Split).test))
        evaluations = store.list_evaluations(folder.id)
    assert sorted(look.contender for look in looks) == sorted(folder.list_contenders())
    assert len(evaluations) == 1


def test_a_locked_store_is_waited_for(
    tunesmith: Door, words: list[str], tmp_path: Path, own_home: Path
) -> None:
    Store.open().close()
    lock(own_home / "store.db")
    timer = threading.Timer(0.1, HELD[-1].close)
    timer.start()
    trained = tunesmith(*words, "--out", tmp_path / "runs")
    timer.join()
    assert trained.code == 0 and "run not recorded in the store" not in trained.err
    HELD.clear()


def test_a_copy_of_a_run_is_not_taken_for_the_run_and_a_moved_one_is(
    tunesmith: Door, words: list[str], tmp_path: Path
) -> None:
    assert tunesmith(*words, "--out", tmp_path / "runs").code == 0
    folder = only_run(tmp_path / "runs")
    shutil.copytree(folder.path, copy := tmp_path / "copies" / folder.id)
    assert tunesmith("show", copy).code == 0
    assert folder_in_the_list(tunesmith("runs", "--all", "--json")) == str(folder.path)
    shutil.rmtree(folder.path)
    assert tunesmith("show", copy).code == 0
    assert folder_in_the_list(tunesmith("runs", "--all", "--json")) == str(copy)


def folder_in_the_list(printed: Printed) -> str:
    (row,) = printed.document["runs"]
    return str(row["folder"])


def test_a_run_that_cannot_be_read_does_not_hide_the_others(
    tunesmith: Door, words: list[str], tmp_path: Path, own_home: Path
) -> None:
    """One damaged row, and one folder of a newer version."""
    for _ in range(3):
        assert tunesmith(*words, "--out", tmp_path / "runs").code == 0
    rows = tunesmith("runs", "--all", "--json").document["runs"]
    damaged, newer, whole = (row["id"] for row in rows)
    with sqlite3.connect(own_home / "store.db") as connection:
        connection.execute("UPDATE runs SET record = '{\"id' WHERE id IN (?, ?)", (damaged, newer))
    connection.close()
    path = tmp_path / "runs" / newer / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "swarm": 3}))
    listed = tunesmith("runs", "--all", "--json")
    assert listed.code == 0
    assert {row["id"]: row["status"] for row in listed.document["runs"]} == {
        damaged: "finished",
        newer: "unreadable",
        whole: "finished",
    }
    assert tunesmith("show", newer).code == 2 and tunesmith("show", damaged).code == 0
