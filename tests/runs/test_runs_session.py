"""The block in which every command works on its run: what is recorded however it is left."""

from pathlib import Path

import pytest

from tunesmith.errors import Interrupted, RunError, TrainingError
from tunesmith.progress_listener import NULL_LISTENER
from tunesmith.records import Command, Machine, Recipe, Run
from tunesmith.runs.interruption import describe_run_state
from tunesmith.runs.run_folder import RunFolder
from tunesmith.runs.session import RunSession, begin_run, open_run, work_on_run
from tunesmith.runs.signals import NOTHING_SAVED, StopRequested
from tunesmith.runs.store_index import StoreIndex
from tunesmith.store.store import Store


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TUNESMITH_STORE", raising=False)


def build_run(folder: RunFolder, command: Command = "evaluate") -> Run:
    folder.write_recipe(Recipe())
    machine = Machine(platform="x", processor="x", cores=1, memory_bytes=1, accelerator=None)
    return Run(
        id=folder.id,
        created="2026-11-30T10:00:00.000",
        status="running",
        recipe="r",
        dataset="d",
        split="s",
        machine=machine,
        versions={},
        seeds={},
        command=command,
        evaluated_models={"tiny": "/models/tiny"},
    )


def list_stored_statuses() -> list[str]:
    with Store.open() as store:
        return [one.run.status for one in store.list_runs() if hasattr(one, "run")]


def test_a_run_is_locked_and_in_the_store_while_it_works_and_finished_after_it(
    tmp_path: Path,
) -> None:
    with (
        StoreIndex.open() as index,
        begin_run(tmp_path / "runs", "words", index, NULL_LISTENER, build_run) as session,
    ):
        assert not session.folder.is_hidden and session.folder.is_in_use()
        assert list_stored_statuses() == ["running"]
        session.finish("finished", resume_count=3)
    assert list_stored_statuses() == ["finished"]
    assert session.folder.read(Run).resume_count == 3 and not session.folder.is_in_use()


def test_inputs_that_cannot_be_written_leave_no_folder(tmp_path: Path) -> None:
    def fail(folder: RunFolder) -> Run:
        folder.write_mask("half")
        raise RunError("unwritable", "no space")

    with (
        StoreIndex.open() as index,
        pytest.raises(RunError),
        begin_run(tmp_path / "runs", "words", index, NULL_LISTENER, fail),
    ):
        pass
    assert list((tmp_path / "runs").iterdir()) == [] and list_stored_statuses() == []


def begin_and_raise(out: Path, error: BaseException) -> RunSession:
    with (
        StoreIndex.open() as index,
        begin_run(out, "words", index, NULL_LISTENER, build_run) as session,
    ):
        raise error
    return session


def only_run(out: Path) -> RunFolder:
    (path,) = out.iterdir()
    return RunFolder.open(path)


def test_a_failure_is_recorded_and_the_error_names_the_next_command(tmp_path: Path) -> None:
    with pytest.raises(TrainingError) as caught:
        begin_and_raise(tmp_path / "runs", TrainingError("loss-not-finite", "loss is NaN"))
    folder = only_run(tmp_path / "runs")
    assert folder.read(Run).status == "failed" and list_stored_statuses() == ["failed"]
    assert f"resume with tunesmith resume {folder.path}" in str(caught.value)
    assert caught.value.__notes__ == [f"resume with tunesmith resume {folder.path}"]


def test_an_interruption_is_recorded_and_says_what_is_saved(tmp_path: Path) -> None:
    with pytest.raises(Interrupted) as caught:
        begin_and_raise(tmp_path / "runs", StopRequested(143))
    folder = only_run(tmp_path / "runs")
    assert folder.read(Run).status == "interrupted" and caught.value.exit_code == 143
    assert f"Saved in {folder.path}" in str(caught.value)
    assert str(caught.value).endswith(f"Next: tunesmith resume {folder.path}")


def test_a_failure_after_the_end_leaves_the_status_as_it_was(tmp_path: Path) -> None:
    with (
        pytest.raises(OSError, match="report"),
        StoreIndex.open() as index,
        begin_run(tmp_path / "runs", "words", index, NULL_LISTENER, build_run) as session,
    ):
        session.finish("finished")
        raise OSError("the report cannot be written")
    assert only_run(tmp_path / "runs").read(Run).status == "finished"


def test_without_a_place_the_folder_is_hidden_removed_and_not_in_the_store(tmp_path: Path) -> None:
    with (
        StoreIndex.open() as index,
        begin_run(None, "words", index, NULL_LISTENER, build_run) as session,
    ):
        path = session.folder.path
        assert session.folder.is_hidden and path.is_dir()
        assert describe_run_state(session.folder, "evaluate") == NOTHING_SAVED
        assert str(session.build_interruption()) == (
            "Interrupted before anything was written. Next: rerun the command"
        )
        session.finish("finished")
    assert not path.exists() and list_stored_statuses() == []


def test_a_run_is_opened_under_its_lock_and_continued(tmp_path: Path) -> None:
    with pytest.raises(TrainingError):
        begin_and_raise(tmp_path / "runs", TrainingError("loss-not-finite", "loss is NaN"))
    folder = only_run(tmp_path / "runs")
    with open_run(folder, NULL_LISTENER) as (run, index):
        assert run.status == "failed"
        with pytest.raises(RunError, match="run/in-use"), open_run(folder, NULL_LISTENER):
            pass
        folder.write(again := run.replace(status="running", resume_count=1))
        with work_on_run(again, folder, index, NULL_LISTENER) as session:
            session.finish("finished")
    assert folder.read(Run).status == "finished" and list_stored_statuses() == ["finished"]


def test_an_evaluation_has_no_trained_model_and_says_so(tmp_path: Path) -> None:
    run = build_run(RunFolder.create(tmp_path, "words"))
    assert run.model_names == ("tiny",)
    with pytest.raises(Exception, match="record/not-trained"):
        _ = run.trained_model
