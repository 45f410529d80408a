"""Temporary files and folders: each has its owner in its name, so leftovers can be removed.

    .tmp-<place>-<boot>-<pid>-<start>-<name>-<random>

`place` identifies the machine and its process namespace, `boot` the machine's current boot, `start`
the start time of the process: process ids are reused, the combination of all four is not. Creating
a temporary in a folder first removes leftovers of dead owners there. Leftovers of another machine
on a shared disk cannot be judged from here; they are removed when they are a week old.
"""

import hashlib
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cache
from pathlib import Path

TEMPORARY_PREFIX = ".tmp-"
FOREIGN_MAX_AGE_SECONDS = 7 * 24 * 3600
"""Age at which a temporary of another machine is removed: one week."""
_NAME_PATTERN = re.compile(r"\.tmp-([0-9a-f]{8})-([0-9a-f]{8})-([0-9]+)-([0-9]+)-.+")
_MAX_NAME_CHARACTERS = 100
"""File systems limit a name to 255 bytes."""


def make_temporary_path(place: Path) -> Path:
    """A new name next to `place`, of the form above. Nothing is created; leftovers of dead owners
    are removed.
    """
    remove_stale_temporaries(place.parent)
    owner = f"{_compute_machine_id()}-{_compute_boot_id()}-{os.getpid()}-{_read_start_ticks(os.getpid())}"  # noqa: E501
    return (
        place.parent
        / f"{TEMPORARY_PREFIX}{owner}-{place.name[:_MAX_NAME_CHARACTERS]}-{secrets.token_hex(4)}"
    )


@contextmanager
def make_temporary_folder(place: Path, mode: int = 0o777) -> Iterator[Path]:
    """An empty folder next to `place`, removed when the block ends unless the block renamed it."""
    place.parent.mkdir(parents=True, exist_ok=True)
    path = make_temporary_path(place)
    path.mkdir(mode)
    try:
        yield path
    finally:
        remove_temporary(path)


def make_private_folder(name: str) -> AbstractContextManager[Path]:
    """An empty folder in the system's temporary directory, for this user only, removed when the
    block ends.
    """
    return make_temporary_folder(Path(tempfile.gettempdir()) / name, 0o700)


def remove_stale_temporaries(folder: Path, *, remove_all: bool = False) -> None:
    """Remove temporaries of dead owners from this folder, or all of them (only for the sole user of
    the folder).

    A folder that is a link, or cannot be read, is left alone.
    """
    with suppress(OSError):
        if not stat.S_ISDIR(folder.lstat().st_mode):
            return
        for name in os.listdir(folder):
            if (remove_all and name.startswith(TEMPORARY_PREFIX)) or is_stale_temporary(
                folder / name
            ):
                remove_temporary(folder / name)


def is_stale_temporary(path: Path) -> bool:
    """Whether this is a temporary whose owner is dead."""
    parts = _NAME_PATTERN.fullmatch(path.name)
    if parts is None:
        return False
    machine, boot, pid, start = parts.groups()
    if machine != _compute_machine_id():
        with suppress(OSError):
            return time.time() - path.lstat().st_mtime > FOREIGN_MAX_AGE_SECONDS
        return False
    return (
        boot != _compute_boot_id()
        or not _is_alive(int(pid))
        or start != str(_read_start_ticks(int(pid)))
    )


def remove_temporary(path: Path) -> None:
    """Remove a file, a link (never its target), or a real folder with its content."""
    with suppress(OSError):
        if stat.S_ISDIR(path.lstat().st_mode):
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


def _is_alive(pid: int) -> bool:
    try:
        # Signal 0 only tests for existence; PermissionError means that another user's process has
        # this id.
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


@cache
def _compute_machine_id() -> str:
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:  # not Linux
        namespace = ""
    return hashlib.sha256(f"{os.uname().nodename} {namespace}".encode()).hexdigest()[:8]


@cache
def _compute_boot_id() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    # not Linux: a process id from before the boot may have been reused; then the leftover stays
    except OSError:
        boot = ""
    return hashlib.sha256(boot.encode()).hexdigest()[:8]


def _read_start_ticks(pid: int) -> int:
    """Start time of a process in clock ticks since boot; 0 if unknown. Source: proc(5), field
    22.
    """
    try:
        # Field 2 is the program's name in parentheses and may contain spaces and ")": split after
        # the last one.
        after_name = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2]
        return int(after_name.split()[19])
    except (OSError, IndexError, ValueError):
        return 0
