"""Restrictions that the operating system imposes on a child process: files, network, signals.

Landlock (Linux 5.13 and later, no privileges needed) lets a process give up access for the rest of
its life: here everything except reading Python's installation and the system's libraries, and
reading and writing one folder. It applies to all code in the process, native libraries included. It
does not cover changes of a file's times, owner or mode, and it has no quota: the audit hook of
`code_execution.py` refuses the former, the parent measures the latter.

Without Landlock nothing is confined, and callers report that.

Source: kernel.org, userspace-api/landlock; struct layouts from include/uapi/linux/landlock.h.
"""

import ctypes
import os
import stat
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

# System call numbers, the same on all architectures.
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
VERSION_FLAG = 1
PATH_BENEATH = 1
NO_NEW_PRIVILEGES = 38
NEW_USER, NEW_NETWORK = 0x10000000, 0x40000000  # CLONE_NEWUSER, CLONE_NEWNET of linux/sched.h

EXECUTE, WRITE_FILE, READ_FILE, READ_FOLDER = 1 << 0, 1 << 1, 1 << 2, 1 << 3
TRUNCATE, DEVICE_CONTROL = 1 << 14, 1 << 15
FILE_RIGHTS = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | DEVICE_CONTROL
# (Landlock version, number of file rights that it knows): unknown rights would be rejected.
FILE_RIGHTS_BY_VERSION = ((1, 13), (2, 14), (3, 15), (5, 16))
READ_RIGHTS = EXECUTE | READ_FILE | READ_FOLDER
SYSTEM_PATHS = (
    "/usr",
    "/lib",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/dev/null",
    "/dev/zero",
    "/dev/random",
    "/dev/urandom",
)


def get_landlock_version() -> int:
    """Version of the kernel's Landlock interface; 0 if it has none."""
    if not sys.platform.startswith("linux"):
        return 0
    version = ctypes.CDLL(None, use_errno=True).syscall(
        CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(VERSION_FLAG)
    )
    return max(int(version), 0)


def leave_network() -> None:
    """Move into a network namespace without any interface, if the system allows it."""
    # An unprivileged process may create a network namespace only inside its own user namespace.
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).unshare(NEW_USER | NEW_NETWORK)


def confine_to(folder: Path | None, readable: Iterable[Path] = ()) -> bool:
    """Permanently give up all files except Python's own and `readable` ones (to read) and `folder`
    (to read and write).

    Also TCP and signals to other processes, if the kernel's version supports it. Returns whether
    the confinement is in effect; False if the system has no Landlock or refuses it.
    """
    version = get_landlock_version()
    if not version:
        return False
    rights = (1 << max(count for first, count in FILE_RIGHTS_BY_VERSION if version >= first)) - 1
    network = 0b11 if version >= 4 else 0  # binding and connecting TCP sockets
    scopes = 0b11 if version >= 6 else 0  # abstract Unix sockets and signals
    libc = ctypes.CDLL(None, use_errno=True)
    attributes = struct.pack("=QQQ", rights, network, scopes)
    ruleset = libc.syscall(
        CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0)
    )
    if ruleset < 0:
        return False
    try:
        for path in (*_list_python_paths(), *map(str, readable)):
            _allow_path(libc, ruleset, path, READ_RIGHTS & rights)
        if folder is not None:
            _allow_path(libc, ruleset, str(folder), rights)
        # Required for RESTRICT_SELF: no setuid program may regain what is given up.
        is_held = libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) == 0
        return bool(is_held and libc.syscall(RESTRICT_SELF, ruleset, ctypes.c_uint32(0)) == 0)
    finally:
        os.close(ruleset)


def _list_python_paths() -> Iterable[str]:
    """Folders of the interpreter, its libraries and those of the system."""
    return dict.fromkeys(
        path for path in (sys.prefix, sys.base_prefix, *sys.path, *SYSTEM_PATHS) if path
    )


def _allow_path(libc: ctypes.CDLL, ruleset: int, path: str, rights: int) -> None:
    """Add one path to the ruleset; a path that does not exist needs no rule."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        # Folder rights on a file make the kernel reject the rule.
        rule = struct.pack("=Qi", rights if is_folder else rights & FILE_RIGHTS, descriptor)
        libc.syscall(ADD_RULE, ruleset, PATH_BENEATH, rule, ctypes.c_uint32(0))
    finally:
        os.close(descriptor)
