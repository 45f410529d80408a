"""How a run ends before its end: what is said of it, what it kept, and how to go on."""

from tunesmith.errors import Interrupted, command_line
from tunesmith.records import Run
from tunesmith.runs.folder import RunFolder
from tunesmith.runs.stop import AskedTwice, Stop


def is_interruption(error: BaseException) -> bool:
    """Whether somebody asked to stop, as against something going wrong."""
    return isinstance(error, Interrupted | KeyboardInterrupt)


def interrupted(folder: RunFolder | None, stop: Stop) -> Interrupted:
    """Says what an interrupted command leaves behind, and how to go on."""
    error = Interrupted("stopped", "Stopped as you asked.")
    error.exit_code = stop.exit_code
    if folder is None:
        error.what, error.do = "Stopped as you asked; nothing was written.", "run the command again"
        return error
    is_tuned = any(path for place in (folder.adapter, folder.model) for path in place.glob("*.safetensors"))
    has_checkpoint = folder.checkpoints.is_dir()
    answered = ", ".join(folder.contenders())
    kept = [
        *(["the tuned weights and the metrics"] if is_tuned else []),
        *(["a checkpoint"] if has_checkpoint else []),
        *([f"the answers of {answered}"] if answered else []),
        *(["the choices made"] if folder.choices().records else []),
    ]
    error.where, error.found = str(folder.path), " and ".join(kept) or "the checked data and the recipe"
    error.do = command_line("resume", folder.path) if can_go_on(folder) else "run the command again"
    if is_tuned:
        error.do = f"{error.do}, or try what is there: {command_line('chat', folder.path)}"
    return error


def stopped_at_once(folder: RunFolder, asked: KeyboardInterrupt) -> Interrupted:
    """Says the same after a second signal, when there was no time to look."""
    error = Interrupted(
        "stopped", "Stopped at once, as you asked.", where=str(folder.path), found="what was finished before",
        do=command_line("resume", folder.path),
    )  # fmt: skip
    error.exit_code = asked.exit_code if isinstance(asked, AskedTwice) else Interrupted.exit_code
    return error


def can_go_on(folder: RunFolder) -> bool:
    """Whether `resume` has something to go on with: a decision always, a training from its first checkpoint on."""
    return folder.checkpoints.is_dir() or (folder.has(Run) and folder.read(Run).command == "decide")
