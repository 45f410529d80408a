"""One run in progress, whatever its command: its folder is locked, the store knows it, a stop is
noticed, and however the work ends, the run's record says so.

`begin_run` makes a new folder, `open_run` locks an existing one; both lead to `work_on_run`, the
block in which `train`, `decide`, `evaluate` and `resume` do their work. Because of the order of its
parts a kill is harmless at any moment:

    lock            taken first and held to the end: no other process works on the folder
    hidden folder   until the inputs are complete: a run is whole or absent
    exit status     from the first visible moment on, a failure is recorded in the run
    signals         handled inside that, so that an interruption is recorded as well
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from tunesmith.atomic_io import hash_folder
from tunesmith.errors import Interrupted, RunError, TunesmithError, format_command_line
from tunesmith.progress_listener import ProgressListener
from tunesmith.records import Run, RunStatus, TestSet
from tunesmith.runs.interruption import (
    build_interruption,
    is_interruption,
    is_resumable,
    reporting_saved_work,
)
from tunesmith.runs.run_folder import RunFolder
from tunesmith.runs.signals import StopSignal, stop_on_signals
from tunesmith.runs.store_index import StoreIndex
from tunesmith.temporary_files import make_private_folder


class RunSession:
    """A run whose folder this process has locked; `run` is its record as last saved."""

    def __init__(
        self,
        run: Run,
        folder: RunFolder,
        index: StoreIndex,
        listener: ProgressListener,
        stop: StopSignal,
    ) -> None:
        self.run = run
        self.folder = folder
        self.index = index
        self.listener = listener
        self.stop = stop

    def record(self) -> None:
        """Enter the run in the store, unless its folder is hidden: that will be removed."""
        if not self.folder.is_hidden:
            self.index.record_run(self.folder)

    def finish(self, status: RunStatus, **changes: Any) -> Run:
        """Save how the work ended, with the SHA-256 of the trained weights; `changes` are further
        fields of the run.
        """
        folder = self.folder
        # Full fine-tuning writes a whole model, every other kind an adapter, an evaluation neither.
        files = hash_folder(folder.model if folder.model.is_dir() else folder.adapter)
        # The user is waiting for the process to end.
        if status == "interrupted":
            self.index.shorten_lock_wait()
        run = self.save(self.run.replace(status=status, adapter_files=files, **changes))
        self.record()
        return run

    def save(self, run: Run) -> Run:
        """Write the run's record to its folder; the store gets it with `record`."""
        self.folder.write(run)
        self.run = run
        return run

    def report_progress(self, label: str, done: float, total: float) -> None:
        """Show progress. Errors: `Interrupted` if a stop was requested."""
        self.listener.update_progress(label, done, total)
        self.raise_if_stopped()

    def raise_if_stopped(self) -> None:
        """Errors: `Interrupted` if a stop was requested."""
        if self.stop.is_requested():
            raise self.build_interruption()

    def build_interruption(self) -> Interrupted:
        """The error that states what the interrupted command leaves and how to resume it."""
        return build_interruption(self.folder, self.stop.exit_code)


@contextmanager
def begin_run(
    out: Path | None,
    name: str,
    index: StoreIndex,
    listener: ProgressListener,
    write_inputs: Callable[[RunFolder], Run],
) -> Iterator[RunSession]:
    """A new run below `out`; `write_inputs` writes everything known before the work begins, and
    returns the run's record.

    Without `out` the folder is a temporary one, removed with the block: it stays hidden, is not
    entered in the store, and cannot be resumed.
    """
    with make_private_folder(name) if out is None else nullcontext(out) as parent:
        folder = RunFolder.create_hidden(parent, name)
        with folder.lock():
            try:
                run = write_inputs(folder)
                folder.write(run)
                if out is not None:
                    # Only now is the folder visible: an observer never sees half of a run.
                    folder.publish()
            except BaseException:
                folder.discard()
                raise
            with work_on_run(run, folder, index, listener) as session:
                yield session


@contextmanager
def open_run(folder: RunFolder, listener: ProgressListener) -> Iterator[tuple[Run, StoreIndex]]:
    """An existing run, locked, and the store. Errors: `RunError` if it is in use or damaged."""
    command = read_run(folder).command
    with (
        folder.lock(),
        reporting_saved_work(folder, command),
        StoreIndex.open(listener) as index,
    ):
        # Read again under the lock: another process may have finished the run meanwhile.
        run = read_run(folder)
        folder.remove_temporaries()
        yield run, index


def read_run(folder: RunFolder) -> Run:
    """The run's record with its command, which older versions did not record. Errors:
    `RunError`.
    """
    run = folder.read(Run)
    is_old_decision = run.command == "train" and folder.has(TestSet)
    return run.replace(command="decide") if is_old_decision else run


@contextmanager
def work_on_run(
    run: Run, folder: RunFolder, index: StoreIndex, listener: ProgressListener
) -> Iterator[RunSession]:
    """The block in which the work is done, with `run` written to the folder already. If it fails
    while the run is marked as running, the run's record says how, and the error names the next
    command.
    """
    session = RunSession(run, folder, index, listener, StopSignal())
    with reporting_saved_work(folder, run.command):
        try:
            session.record()
            with stop_on_signals() as session.stop:
                listener.start_run(
                    run.command, folder.read_recipe(), None if folder.is_hidden else folder.path
                )
                yield session
        except BaseException as error:
            if session.run.status == "running":
                with suppress(RunError):  # on a full disk: the original error is more informative
                    session.finish("interrupted" if is_interruption(error) else "failed")
            if not is_interruption(error) and is_resumable(folder):
                command = format_command_line("resume", folder.path)
                error.add_note(f"resume with {command}")
                if isinstance(error, TunesmithError):
                    hint = f"{error.hint}; then resume with {command}".removeprefix("; then ")
                    raise error.replace(hint=hint) from error
            raise
