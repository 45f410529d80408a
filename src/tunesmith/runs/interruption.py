"""How a run ends early: what is reported, what was saved, and how to resume."""

from collections.abc import Iterator
from contextlib import contextmanager

from tunesmith.errors import Interrupted, format_command_line
from tunesmith.records import Command, Decision, Run
from tunesmith.runs.run_folder import RunFolder
from tunesmith.runs.signals import (
    NOTHING_SAVED,
    SecondSignal,
    StopRequested,
    set_exit_message,
)


def is_interruption(error: BaseException) -> bool:
    """Whether the user requested the stop, as opposed to a failure."""
    return isinstance(error, Interrupted | KeyboardInterrupt)


@contextmanager
def reporting_saved_work(folder: RunFolder, command: Command) -> Iterator[None]:
    """However this process is stopped within the block, its last line names the folder and the
    command to resume.

    Errors: `Interrupted` in place of `KeyboardInterrupt`.
    """
    set_exit_message(lambda: describe_run_state(folder, command))
    try:
        yield
    except KeyboardInterrupt as error:
        exit_code = error.exit_code if isinstance(error, StopRequested) else Interrupted.exit_code
        # `from None`: the place where the signal arrived says nothing to the user.
        if isinstance(error, SecondSignal):
            raise build_immediate_stop(folder, exit_code) from None
        raise build_interruption(folder, exit_code) from None


def describe_run_state(folder: RunFolder, command: Command) -> str:
    """One line for an abrupt end; it reads as few files as possible."""
    if folder.is_hidden:
        return NOTHING_SAVED
    saved, next_command = "completed work", "resume"
    if folder.has(Decision):
        saved, next_command = "the verdict", "show"
    # Checkpoints are removed when a training is done; while there are some, it can be resumed.
    elif command == "train" and is_tuned(folder) and not folder.checkpoints.is_dir():
        saved, next_command = "the tuned weights", "chat"
    command_line = format_command_line(next_command, folder.path)
    return f"Saved in {folder.path}: {saved}. Next: {command_line}"


def build_interruption(folder: RunFolder, exit_code: int) -> Interrupted:
    """The error that states what an interrupted command leaves behind and how to resume; a hidden
    folder is not left.
    """
    if folder.is_hidden:
        return Interrupted(
            "Interrupted before anything was written.",
            hint="rerun the command",
            exit_code=exit_code,
        )
    has_weights = is_tuned(folder)
    has_checkpoint = folder.checkpoints.is_dir()
    answered = ", ".join(folder.list_contenders())
    unscored = ", ".join(folder.unscored())
    saved = [
        *(["the tuned weights and the metrics"] if has_weights else []),
        *(["a checkpoint"] if has_checkpoint else []),
        *([f"the answers of {answered}"] if answered else []),
        *([f"the answers of {unscored}, not scored yet"] if unscored else []),
        *(["the selections"] if folder.read_selections().records else []),
    ]
    next_command = format_command_line("show" if folder.has(Decision) else "resume", folder.path)
    # Without run.json the folder cannot be resumed: it ended before the run was recorded.
    hint = next_command if folder.has(Run) else "rerun the command"
    if has_weights:
        hint = f"{hint}; or try the tuned weights: {format_command_line('chat', folder.path)}"
    return Interrupted(
        "Interrupted.",
        at=str(folder.path),
        got=" and ".join(saved) or "the checked data and the recipe",
        hint=hint,
        exit_code=exit_code,
    )


def build_immediate_stop(folder: RunFolder, exit_code: int) -> Interrupted:
    """The same after a second signal, without reading the folder."""
    what = "Aborted immediately (second interrupt)."
    if folder.is_hidden:
        return Interrupted(what, hint="rerun the command", exit_code=exit_code)
    return Interrupted(
        what,
        at=str(folder.path),
        got="completed work",
        hint=format_command_line("resume", folder.path),
        exit_code=exit_code,
    )


def is_tuned(folder: RunFolder) -> bool:
    """Whether the folder holds tuned weights, final or from an earlier validation pass."""
    return any(
        path for place in (folder.adapter, folder.model) for path in place.glob("*.safetensors")
    )


def is_resumable(folder: RunFolder) -> bool:
    """Whether `resume` helps after a failure: always for a decision and an evaluation, for a
    training once it has a checkpoint.
    """
    if folder.is_hidden:
        return False
    return folder.checkpoints.is_dir() or (
        folder.has(Run) and folder.read(Run).command in ("decide", "evaluate")
    )
