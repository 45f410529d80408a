"""JSON lines that a crash can truncate only at the end.

A line is written by one system call to a file opened for appending, so a killed process leaves
whole lines; a full disk or a power cut can leave an unfinished last line. A reader reports such a
line instead of failing or hiding it; the next writer removes it, because that record was never
complete.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from pydantic import ValidationError

from tunesmith.atomic_io import read_own_file
from tunesmith.errors import RunError
from tunesmith.records import Record

R = TypeVar("R", bound=Record)
FileStamp = tuple[int, str]
"""Number of bytes of a file's beginning, and their SHA-256."""
_MAX_UNFINISHED_BYTES = 1 << 20


class JsonlRecords(NamedTuple, Generic[R]):
    """The records of a file; `unfinished_line` describes an unfinished last line, None if there is
    none.
    """

    records: tuple[R, ...]
    unfinished_line: str | None


def to_lines(records: Iterable[Record], *, without_none: bool = False) -> str:
    """The records, one per line; `without_none` omits keys whose value is None."""
    return "".join(record.model_dump_json(exclude_none=without_none) + "\n" for record in records)


def append_line(path: Path, record: Record, *, sync: bool = False) -> None:
    """Append one record; with `sync` it is on disk when this returns. A symbolic link is not
    followed.
    """
    line = record.model_dump_json().encode() + b"\n"
    descriptor = os.open(
        path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666
    )
    try:
        # without the lock, another process's line in progress would look unfinished
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        _drop_unfinished_line(descriptor)
        while line:
            # os.write may write only a part, for example on an almost full disk.
            line = line[os.write(descriptor, line) :]
        if sync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _drop_unfinished_line(descriptor: int) -> None:
    size = os.fstat(descriptor).st_size
    if size == 0 or os.pread(descriptor, 1, size - 1) == b"\n":
        return
    begin = max(0, size - _MAX_UNFINISHED_BYTES)
    # Only the end of the file is read: it may have millions of lines.
    tail = os.pread(descriptor, size - begin, begin)
    os.ftruncate(descriptor, begin + tail.rfind(b"\n") + 1)


def read_lines(path: Path, kind: type[R]) -> JsonlRecords[R]:
    """All records of a file; a missing file has none.

    Errors: `RunError` (`run/damaged`), with the line number if a finished line is invalid.
    """
    try:
        content = read_own_file(path)
    except FileNotFoundError:
        return JsonlRecords((), None)
    except OSError as error:
        raise _build_damage_error(str(path), error.strerror or str(error)) from None
    return parse_lines(content, path, kind)


def parse_lines(content: bytes, path: Path, kind: type[R]) -> JsonlRecords[R]:
    """All records in this content. Errors: as `read_lines`."""
    *lines, tail = content.split(b"\n")
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            records.append(kind.model_validate_json(line))
        except ValidationError as error:
            raise _build_damage_error(f"{path} line {number}", error.errors()[0]["msg"]) from None
    cut = f"{path.name} line {len(lines) + 1} is incomplete ({len(tail):,} bytes)" if tail else None
    return JsonlRecords(tuple(records), cut)


def read_synced(path: Path) -> bytes:
    """The content of a file, after it was flushed to disk; b"" for a missing file. Errors:
    `OSError`.
    """
    try:
        # O_NONBLOCK: opening a planted named pipe must not block forever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    with os.fdopen(descriptor, "rb") as file:
        os.fsync(descriptor)
        return file.read()


def compute_stamp(content: bytes) -> FileStamp:
    """The stamp by which this beginning of a file is recognized later."""
    return len(content), hashlib.sha256(content).hexdigest()


def truncate_to(path: Path, stamp: FileStamp | int) -> None:
    """Remove what was appended after the file had this stamp; older versions stored its length
    only.

    Errors: `RunError` (`run/damaged`) if lines before that are lost or changed.
    """
    size, sha256 = stamp if isinstance(stamp, Sequence) else (stamp, None)
    content = read_synced(path)
    if len(content) < size:
        raise _build_damage_error(
            str(path), f"{len(content):,} bytes, but the checkpoint expects {size:,}"
        )
    if sha256 is not None and compute_stamp(content[:size]) != (size, sha256):
        raise _build_damage_error(str(path), "other lines than the checkpoint expects")
    if len(content) > size:
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.ftruncate(descriptor, size)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _build_damage_error(at: str, got: str) -> RunError:
    do = "restore the file from a backup; or run the command again"
    return RunError("damaged", "cannot read a file of this run", at=at, got=got, hint=do)
