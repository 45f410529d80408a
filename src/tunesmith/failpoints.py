"""Failpoints: named places in the program where a test can inject a fault.

    TUNESMITH_FAULT=<point>:<nth>:<action>
    for example checkpoint.rename:2:kill9, checkpoint.write:4096:enospc

The action happens when the point is reached for the nth time (from 1). Where bytes are written each
byte counts, so `nth` is the byte before which it happens. Actions: `kill9` (the process is killed),
`pause` (it is stopped until SIGCONT), `raise`, `enospc` (the disk is full), `sleep=SECONDS`, `flip`
(one bit of the current file), `nan` (the current number).

They are always compiled in, so that what is tested is what ships; unarmed, a point costs one
comparison. The idea is FoundationDB's BUGGIFY and the loop "fail at the nth time, for every n" of
SQLite's tests (sqlite.org/testing.html).
"""

import errno
import math
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

ENV_VARIABLE = "TUNESMITH_FAULT"
ACTIONS = ("kill9", "pause", "raise", "enospc", "sleep", "flip", "nan")


class InjectedError(RuntimeError):
    """Raised by the action `raise`."""


@dataclass
class _Failpoint:
    point: str
    nth: int
    action: str
    seconds: float = 0.0
    hit_count: int = 0

    def is_due(self, point: str, times: int = 1) -> bool:
        """Count `times` passes, and return whether the nth one is among them."""
        if point != self.point:
            return False
        before, self.hit_count = self.hit_count, self.hit_count + times
        return before < self.nth <= self.hit_count


def _parse_failpoint(text: str) -> _Failpoint:
    try:
        point, nth, action = text.split(":")
        action, _, seconds = action.partition("=")
        fault = _Failpoint(point, int(nth), action, float(seconds or 0))
    except ValueError:
        raise ValueError(f"{ENV_VARIABLE}={text!r} is not POINT:NTH:ACTION") from None
    if action not in ACTIONS:
        raise ValueError(f"{ENV_VARIABLE}: unknown action {action!r}; known: {', '.join(ACTIONS)}")
    return fault


_armed = _parse_failpoint(os.environ[ENV_VARIABLE]) if os.environ.get(ENV_VARIABLE) else None


def arm(text: str | None) -> None:
    """Arm one failpoint in this process, or none; the count restarts."""
    global _armed
    _armed = _parse_failpoint(text) if text else None


def hit(point: str, path: Path | None = None) -> None:
    """Pass a point; `path` is the current file, if there is one."""
    if _armed is not None and _armed.is_due(point):
        _perform_action(_armed, path)


def write_bytes(point: str, file: BinaryIO, data: bytes | memoryview) -> None:
    """`file.write(data)` of an unbuffered file, each byte of which is a point."""
    if _armed is not None and _armed.is_due(point, len(data)):
        first = len(data) - (_armed.hit_count - _armed.nth) - 1
        _write_all(file, data[:first])
        _perform_action(_armed, None)
        data = data[first:]
    _write_all(file, data)


def inject_nan(point: str, number: float) -> float:
    """The number, or NaN."""
    return (
        math.nan
        if _armed is not None and _armed.action == "nan" and _armed.is_due(point)
        else number
    )


def _write_all(file: BinaryIO, data: bytes | memoryview) -> None:
    view = memoryview(data)
    while view:
        # An unbuffered write may be partial.
        view = view[file.write(view) :]


def _perform_action(fault: _Failpoint, path: Path | None) -> None:
    if fault.action == "kill9":
        os.kill(os.getpid(), signal.SIGKILL)
    elif fault.action == "pause":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif fault.action == "enospc":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    elif fault.action == "sleep":
        time.sleep(fault.seconds)
    elif fault.action == "flip" and path is not None:
        flip_bit(path, path.stat().st_size // 2)
    elif fault.action == "raise":
        raise InjectedError(f"injected at {fault.point}")


def flip_bit(path: Path, offset: int) -> None:
    """Flip the lowest bit of one byte of a file, as a failing disk does."""
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))
