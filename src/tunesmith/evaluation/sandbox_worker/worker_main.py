"""The child's own program: limits first, then the work is opened, then one piece after the other is done.

    python -I -m tunesmith.evaluation.sandbox_worker.worker_main ORDER.json

ORDER.json holds {"work": module, "setup": ..., "pieces": [...], "limits": {...}, "token": ...} and
is removed once it is read, so that the work cannot read it. One JSON line a piece goes to what was
standard output when the process began: {"done": value, "token": ...} or {"failed": why, "token":
...}; before them {"ready": true} or {"broken": why}. A line without the token is not ours: code that
finds the descriptor and writes to it proves nothing. Whatever the work itself prints goes nowhere,
and it finds nothing on standard input.
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
    """Do what the order says."""
    paper = Path(sys.argv[1])
    order = json.loads(paper.read_bytes())
    paper.unlink()
    tell = _ResultChannel(order["token"])
    _set_limits(**order["limits"])
    try:
        work = importlib.import_module(f"tunesmith.evaluation.sandbox_worker.{order['work']}").make_worker(
            order["setup"]
        )
    except BaseException as error:
        tell({"broken": str(error) or type(error).__name__})
        return
    tell({"ready": True})
    for piece in order["pieces"]:
        try:
            told = {"done": work(piece)}
        except BaseException as error:  # the outermost seam: SystemExit and KeyboardInterrupt of the user's code, too
            told = {"failed": _format_error(error)}
        tell(told)
    os._exit(0)  # threads that the work left behind hold nobody up


class _ResultChannel:
    """The only way out: a copy of standard output that nothing else writes to."""

    def __init__(self, token: str) -> None:
        self._token = token
        self._descriptor = os.dup(1)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(nowhere, standard)

    def __call__(self, value: dict[str, Any]) -> None:
        line = json.dumps({**value, "token": self._token}).encode() + b"\n"
        while line:
            line = line[os.write(self._descriptor, line) :]


def _set_limits(memory_bytes: int, cpu_seconds: int, file_bytes: int) -> None:
    """What the operating system holds this process to; where it knows no such limit, the parent's clock remains."""
    for name, most in (
        ("RLIMIT_AS", memory_bytes),
        ("RLIMIT_CPU", cpu_seconds),
        ("RLIMIT_FSIZE", file_bytes),
        ("RLIMIT_CORE", 0),
    ):
        with suppress(ValueError, OSError, AttributeError):
            resource.setrlimit(getattr(resource, name), (most, most))


def _format_error(error: BaseException) -> str:
    """`ZeroDivisionError: division by zero`, in bounded length."""
    try:
        text = str(error)[:500]
    except Exception:  # an error whose text is an error
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


if __name__ == "__main__":
    main()
