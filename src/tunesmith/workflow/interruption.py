"""How a run ends before its end: what is said of it, what it kept, and how to go on."""

from collections.abc import Iterator
from contextlib import contextmanager

from tunesmith.errors import Interrupted, format_command_line
from tunesmith.records import Decision, Run
from tunesmith.runs.run_folder import RunFolder
from tunesmith.runs.signals import SecondSignal, StopRequested, set_exit_message


def is_interruption(error: BaseException) -> bool:
    """Whether somebody asked to stop, as against something going wrong."""
    return isinstance(error, Interrupted | KeyboardInterrupt)


@contextmanager
def reporting_saved_work(folder: RunFolder, *, is_decision: bool) -> Iterator[None]:
    """However this process is stopped from now on, its last line names the folder and how to go on.

    Errors: `Interrupted` in the place of `KeyboardInterrupt`.
    """
    set_exit_message(lambda: describe_run_state(folder, is_decision=is_decision))
    try:
        yield
    except KeyboardInterrupt as error:
        exit_code = error.exit_code if isinstance(error, StopRequested) else Interrupted.exit_code
        if isinstance(error, SecondSignal):
            raise build_immediate_stop(folder, exit_code) from None
        raise build_interruption(folder, exit_code) from None


def describe_run_state(folder: RunFolder, *, is_decision: bool) -> str:
    """One line for an end that leaves no time; it reads hardly anything."""
    if folder.has(Decision):
        return f"Kept in {folder.path}: the verdict. Next: {format_command_line('show', folder.path)}"
    if not is_decision and is_tuned(folder) and not folder.checkpoints.is_dir():
        return f"Kept in {folder.path}: the tuned weights. Next: {format_command_line('chat', folder.path)}"
    return f"Kept in {folder.path}: what was finished before. Next: {format_command_line('resume', folder.path)}"


def build_interruption(folder: RunFolder | None, exit_code: int) -> Interrupted:
    """Says what an interrupted command leaves behind, and how to go on."""
    error = Interrupted("stopped", "Stopped as you asked.")
    error.exit_code = exit_code
    if folder is None:
        error.what, error.do = "Stopped as you asked; nothing was written.", "run the command again"
        return error
    has_weights = is_tuned(folder)
    has_checkpoint = folder.checkpoints.is_dir()
    answered = ", ".join(folder.list_contenders())
    unscored = ", ".join(folder.unscored())
    kept = [
        *(["the tuned weights and the metrics"] if has_weights else []),
        *(["a checkpoint"] if has_checkpoint else []),
        *([f"the answers of {answered}"] if answered else []),
        *([f"the answers of {unscored}, not scored yet"] if unscored else []),
        *(["the choices made"] if folder.read_selections().records else []),
    ]
    error.where, error.found = str(folder.path), " and ".join(kept) or "the checked data and the recipe"
    go_on = format_command_line("show" if folder.has(Decision) else "resume", folder.path)
    error.do = go_on if folder.has(Run) else "run the command again"
    if has_weights:
        error.do = f"{error.do}, or try what is there: {format_command_line('chat', folder.path)}"
    return error


def build_immediate_stop(folder: RunFolder, exit_code: int) -> Interrupted:
    """Says the same after a second signal, when there was no time to look."""
    error = Interrupted(
        "stopped", "Stopped at once, as you asked twice.", where=str(folder.path), found="what was finished before",
        do=format_command_line("resume", folder.path),
    )  # fmt: skip
    error.exit_code = exit_code
    return error


def is_tuned(folder: RunFolder) -> bool:
    """Whether the folder holds tuned weights, of the end or of a look before it."""
    return any(path for place in (folder.adapter, folder.model) for path in place.glob("*.safetensors"))


def is_resumable(folder: RunFolder) -> bool:
    """Whether `resume` saves something after a failure: of a decision always, of a training from its first checkpoint
    on."""
    return folder.checkpoints.is_dir() or (folder.has(Run) and folder.read(Run).command == "decide")
