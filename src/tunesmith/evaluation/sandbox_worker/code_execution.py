"""Python code and its tests, run together: {"solution", "tests"} in, {"passed", "why"} out.

Before the code runs, the process gives up three things. The network: it moves into a network
namespace of its own if the system allows one. Files: Landlock leaves Python's installation readable
and the process's empty folder writable (`confinement.py`), if the system has it. And an audit hook
(PEP 578) permits only the events of an allow-list: no sockets, no other programs, no foreign
functions, no writing outside the folder. Without Landlock only the hook remains; it stops accidents
and casual misuse, but code that attacks its interpreter needs a container around tunesmith.

The tests have passed if they ran to their end: leaving early (`sys.exit`, `os._exit`) is a failure.
"""

import os
import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tunesmith.evaluation.sandbox_worker.confinement import confine_to, leave_network

ALLOWED_EVENTS = (
    "array.",
    "builtins.",
    "code.",
    "compile",
    "cpython.",
    "exec",
    "function.",
    "gc.",
    "glob.",
    "import",
    "marshal.",
    "mmap.",
    "object.",
    "os.chdir",
    "os.fwalk",
    "os.listdir",
    "os.listdrives",
    "os.listxattr",
    "os.getxattr",
    "os.putenv",
    "os.scandir",
    "os.unsetenv",
    "os.walk",
    "pathlib.",
    "pickle.",
    "random.",
    "re.",
    "shutil.",  # its changes to files raise the events of `os` as well
    "sqlite3.connect/handle",
    "sys.",
    "tempfile.",
    "time.",
    "_thread.",
)
FILE_CHANGE_EVENTS = (
    "os.chmod",
    "os.chown",
    "os.link",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.symlink",
    "os.truncate",
    "os.utime",
)
"""Events that change files: allowed inside the working folder. Their arguments are paths, modes,
and descriptors of folders that a path is relative to."""
WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
LOCAL_SOCKET = 1
"""The value of AF_UNIX."""
UNAUDITED_FUNCTIONS = ("mkfifo", "mknod")
"""Functions that create files without raising an audit event."""


def make_worker(setup: Any) -> Callable[[Any], Any]:
    """The function that runs one task; after this call the process has lost most of its rights."""
    folder = Path.cwd().resolve()
    leave_network()
    is_confined = confine_to(folder)
    _block_unaudited_functions()
    # Last, because a hook cannot be removed and would refuse the steps above.
    sys.addaudithook(_make_audit_hook(folder))
    return lambda piece: {**run_tests(piece), "is_confined": is_confined}


def run_tests(piece: Any) -> dict[str, Any]:
    """Run the solution, then the tests in the same namespace."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for part in ("solution", "tests"):
        try:
            exec(compile(piece[part], f"<{part}>", "exec"), names)
        except BaseException as error:  # SystemExit, RecursionError, MemoryError: the code failed
            return {"passed": False, "why": f"{part}: {type(error).__name__}"}
    if threading.active_count() > 1:
        return {"passed": False, "why": "threads were left running"}
    return {"passed": True, "why": ""}


def _block_unaudited_functions() -> None:
    """Replace functions that change files or start programs without an event that names them."""
    import _posixsubprocess
    import posix

    def refuse(*arguments: Any, **options: Any) -> None:
        raise PermissionError("special files and other programs are not allowed here")

    def open_without_dir_fd(
        path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None
    ) -> int:
        # The audit event has no `dir_fd`, so the hook could not tell where the path leads.
        if dir_fd is not None and flags & WRITE_FLAGS:
            raise PermissionError("writing relative to an open folder is not allowed here")
        return original_open(path, flags, mode, dir_fd=dir_fd)

    original_open = os.open
    for module in (os, posix):
        for name in UNAUDITED_FUNCTIONS:
            if hasattr(module, name):
                setattr(module, name, refuse)
        setattr(module, "open", open_without_dir_fd)  # noqa: B010 (posix is not typed)
    _posixsubprocess.fork_exec = refuse  # type: ignore[assignment]
    # shutil decided at import time to delete by descriptor, which the hook refuses.
    shutil._use_fd_functions = False  # type: ignore[attr-defined]


def _make_audit_hook(folder: Path) -> Callable[[str, tuple[Any, ...]], None]:
    inside = str(folder) + os.sep

    def is_outside(path: Any) -> bool:
        # `realpath`, so that a symbolic link inside the folder cannot point out of it.
        return not (os.path.realpath(os.fsdecode(path)) + os.sep).startswith(inside)

    def check_event(event: str, details: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = details
            # an integer is a file that is already open
            if not isinstance(path, int) and flags & WRITE_FLAGS and is_outside(path):
                raise PermissionError("writing outside the working folder is not allowed here")
        elif event == "sqlite3.connect":
            if details[0] != ":memory:" and is_outside(details[0]):
                raise PermissionError("databases outside the working folder are not allowed here")
        elif event == "socket.__new__":
            # asyncio wakes itself with a pair of sockets inside this process; connecting raises an
            # event of its own
            if details[1] != LOCAL_SOCKET:
                raise PermissionError("the network is not allowed here")
        elif event in FILE_CHANGE_EVENTS:
            _check_change(event, details, is_outside)
        elif not event.startswith(ALLOWED_EVENTS):
            raise PermissionError(f"{event} is not allowed here")

    return check_event


def _check_change(event: str, details: tuple[Any, ...], is_outside: Callable[[Any], bool]) -> None:
    """Refuse a change outside the folder, and any change relative to an open folder."""
    paths = [part for part in details if isinstance(part, str | bytes | os.PathLike)]
    if event == "os.truncate":  # (path or open file, length); opening the file was checked before
        is_refused = any(map(is_outside, paths))
    else:  # the last arguments are one or two dir_fd: -1 if the path is relative to none
        dir_fds = details[-2:] if event in ("os.link", "os.rename") else details[-1:]
        is_refused = not paths or any(fd != -1 for fd in dir_fds) or any(map(is_outside, paths))
    if is_refused:
        raise PermissionError(f"{event} outside the working folder is not allowed here")
