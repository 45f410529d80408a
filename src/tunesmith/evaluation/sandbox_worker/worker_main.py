"""The child's main program: set limits, set up the work, then do one task after the other.

    python -I -m tunesmith.evaluation.sandbox_worker.worker_main ORDER.json

ORDER.json holds {"work": module, "setup": ..., "pieces": [...], "limits": {...}, "token": ...} and
is deleted once it is read, so that the work cannot read it. One JSON line per task goes to what was
standard output at the start: {"done": value, "token": ...} or {"failed": why, "token": ...}; before
them {"ready": true} or {"broken": why}. A line without the token is ignored, because code that
finds the descriptor can write to it. Output of the work itself is discarded, and its standard input
is empty.
"""

import importlib
import json
import os
import resource
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any


def main() -> None:
    """Execute the order file named on the command line."""
    paper = Path(sys.argv[1])
    order = json.loads(paper.read_bytes())
    paper.unlink()
    channel = _ResultChannel(order["token"])  # before any work is imported, which might print
    _set_limits(**order["limits"])
    try:
        work = importlib.import_module(
            f"tunesmith.evaluation.sandbox_worker.{order['work']}"
        ).make_worker(order["setup"])
    except BaseException as error:
        channel({"broken": str(error) or type(error).__name__})
        return
    channel({"ready": True})
    for piece in order["pieces"]:
        try:
            message = {"done": work(piece)}
        # The outermost seam: user code may raise SystemExit and KeyboardInterrupt, too.
        except BaseException as error:
            message = {"failed": _format_error(error)}
        channel(message)
    os._exit(0)  # does not wait for threads that the work left running


class _ResultChannel:
    """The only way out: a copy of standard output that no other code writes to."""

    def __init__(self, token: str) -> None:
        self._token = token
        self._descriptor = os.dup(1)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(nowhere, standard)

    def __call__(self, value: dict[str, Any]) -> None:
        line = json.dumps({**value, "token": self._token}).encode() + b"\n"
        # `os.write` may write only a part of a long line.
        while line:
            line = line[os.write(self._descriptor, line) :]


def _set_limits(memory_bytes: int, cpu_seconds: int, file_bytes: int) -> None:
    """Limits enforced by the operating system; where it lacks one, the parent's timeout remains."""
    for name, most in (
        ("RLIMIT_AS", memory_bytes),
        ("RLIMIT_CPU", cpu_seconds),
        ("RLIMIT_FSIZE", file_bytes),
        ("RLIMIT_CORE", 0),
    ):
        with suppress(ValueError, OSError, AttributeError):
            resource.setrlimit(getattr(resource, name), (most, most))


def _format_error(error: BaseException) -> str:
    """The error in bounded length, such as `ZeroDivisionError: division by zero`."""
    try:
        text = str(error)[:500]
    except Exception:  # user-defined errors may fail in `__str__`
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


if __name__ == "__main__":
    main()
