"""Python code and its tests, run together: {"solution", "tests"} in, {"passed", "why"} out.

Before the code runs, three things are taken away from the process. The network: a namespace of its
own where the system allows one. Files: Landlock leaves Python's installation to read and the
process's empty folder to write (`confine.py`), where the system has it. And an audit hook (PEP 578)
lets pass only the events of an allow-list: no sockets, no other programs, no foreign functions, no
writing outside the folder. Without Landlock the hook alone remains; it holds back accidents and
idle malice, and code that fights its interpreter needs a container around tunesmith.

The tests have passed when they ran to their end: leaving early (`sys.exit`, `os._exit`) is failing.
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
    "shutil.",  # what it does to files comes again as events of `os`
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
"""Events that change files: allowed inside the working folder. Their details are paths, modes, and
descriptors of folders that a path is relative to."""
WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
LOCAL_SOCKET = 1
"""AF_UNIX."""
UNAUDITED_FUNCTIONS = ("mkfifo", "mknod")
"""Functions that make files and raise no event."""


def make_worker(setup: Any) -> Callable[[Any], Any]:
    """The runner; from here on this process can do little else."""
    folder = Path.cwd().resolve()
    leave_network()
    is_confined = confine_to(folder)
    _block_unaudited_functions()
    sys.addaudithook(_make_audit_hook(folder))
    return lambda piece: {**run_tests(piece), "is_confined": is_confined}


def run_tests(piece: Any) -> dict[str, Any]:
    """Run the solution, then the tests in the same names."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for part in ("solution", "tests"):
        try:
            exec(compile(piece[part], f"<{part}>", "exec"), names)
        except BaseException as error:  # SystemExit, RecursionError, MemoryError: the code's failure
            return {"passed": False, "why": f"{part}: {type(error).__name__}"}
    if threading.active_count() > 1:
        return {"passed": False, "why": "threads were left running"}
    return {"passed": True, "why": ""}


def _block_unaudited_functions() -> None:
    """Replace what changes files without an event that names them."""
    import _posixsubprocess
    import posix

    def refuse(*arguments: Any, **options: Any) -> None:
        raise PermissionError("special files and other programs are not allowed here")

    def open_without_dir_fd(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
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
    shutil._use_fd_functions = False  # type: ignore[attr-defined]  # decided when it was imported


def _make_audit_hook(folder: Path) -> Callable[[str, tuple[Any, ...]], None]:
    inside = str(folder) + os.sep

    def is_outside(path: Any) -> bool:
        return not (os.path.realpath(os.fsdecode(path)) + os.sep).startswith(inside)

    def check_event(event: str, details: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = details
            # a number is a file that is open already
            if not isinstance(path, int) and flags & WRITE_FLAGS and is_outside(path):
                raise PermissionError("writing outside the working folder is not allowed here")
        elif event == "sqlite3.connect":
            if details[0] != ":memory:" and is_outside(details[0]):
                raise PermissionError("databases outside the working folder are not allowed here")
        elif event == "socket.__new__":
            # a pair of sockets inside this process, which asyncio wakes itself with; connecting is
            # an event of its own
            if details[1] != LOCAL_SOCKET:
                raise PermissionError("the network is not allowed here")
        elif event in FILE_CHANGE_EVENTS:
            _check_change(event, details, is_outside)
        elif not event.startswith(ALLOWED_EVENTS):
            raise PermissionError(f"{event} is not allowed here")

    return check_event


def _check_change(event: str, details: tuple[Any, ...], is_outside: Callable[[Any], bool]) -> None:
    """Refuse a change outside the folder, and one relative to an open folder, wherever that is."""
    paths = [part for part in details if isinstance(part, str | bytes | os.PathLike)]
    if event == "os.truncate":  # (path or open file, length); an open file was checked before
        is_refused = any(map(is_outside, paths))
    else:  # the last details are one or two dir_fd: -1 where the path is relative to none
        dir_fds = details[-2:] if event in ("os.link", "os.rename") else details[-1:]
        is_refused = not paths or any(fd != -1 for fd in dir_fds) or any(map(is_outside, paths))
    if is_refused:
        raise PermissionError(f"{event} outside the working folder is not allowed here")
