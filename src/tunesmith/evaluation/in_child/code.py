"""Python code and its tests, run together: {"solution", "tests"} in, {"passed", "why"} out.

Before the code runs, the network is taken away (a network namespace of its own where the system allows one) and an
audit hook (PEP 578) refuses sockets, other programs, foreign functions, and writing outside the empty folder. That
holds back accidents and idle malice; code that fights its interpreter needs a container around tunesmith.

The tests have passed when they ran to their end: leaving early (`sys.exit`, `os._exit`) is failing them.
"""

import ctypes
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

NEW_USER, NEW_NETWORK = 0x10000000, 0x40000000  # CLONE_NEWUSER, CLONE_NEWNET of linux/sched.h
REFUSED = ("socket.", "subprocess.", "ctypes.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.kill", "pty.")
WRITING = (
    "shutil.rmtree",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.mkdir",
    "os.chmod",
    "os.chown",
    "os.link",
    "os.symlink",
    "os.trunc",
)


def open_work(setup: Any) -> Callable[[Any], Any]:
    """The runner; from here on this process can do little else."""
    _leave_network()
    sys.addaudithook(_guard(Path.cwd().resolve()))
    return run


def run(piece: Any) -> dict[str, Any]:
    """Run the solution, then the tests in the same names."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for part in ("solution", "tests"):
        try:
            exec(compile(piece[part], f"<{part}>", "exec"), names)
        except (
            BaseException
        ) as error:  # whatever the code raises is its failure: SystemExit, RecursionError, MemoryError
            return {"passed": False, "why": f"{part}: {type(error).__name__}"}
    if threading.active_count() > 1:
        return {"passed": False, "why": "threads were left running"}
    return {"passed": True, "why": ""}


def _leave_network() -> None:
    """Best effort: systems that are no Linux, or forbid it, have the audit hook alone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).unshare(NEW_USER | NEW_NETWORK)


def _guard(folder: Path) -> Callable[[str, tuple[Any, ...]], None]:
    inside = str(folder) + os.sep

    def is_outside(path: Any) -> bool:
        if isinstance(path, int):  # a file that is open already
            return False
        return not (os.path.realpath(os.fsdecode(path)) + os.sep).startswith(inside)

    def hook(event: str, details: tuple[Any, ...]) -> None:
        if event.startswith(REFUSED):
            raise PermissionError(f"{event} is not allowed here")
        writes = event == "open" and details[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        if writes and is_outside(details[0]):
            raise PermissionError("writing outside the working folder is not allowed here")
        if event.startswith(WRITING) and any(
            is_outside(one) for one in details if isinstance(one, str | bytes | os.PathLike)
        ):
            raise PermissionError(f"{event} outside the working folder is not allowed here")

    return hook
