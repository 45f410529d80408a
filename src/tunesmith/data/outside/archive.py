"""JSON files inside a zip archive that a stranger may have made: read into memory one by one, never unpacked to disk.

What could hurt is refused before it is read: paths that leave the folder, names that stand twice (also but for case),
links, encrypted entries, more entries or more bytes than a log has. Sizes in the archive's directory can lie, so bytes
are counted while they come.
"""

import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from tunesmith.data.read.jsonl import parse_json
from tunesmith.errors import DataError

MOST_ENTRIES = 100_000
LARGEST_ENTRY_BYTES = 64 * 2**20
MOST_BYTES = 1024 * 2**20
LARGEST_DIRECTORY_BYTES = 16 * 2**20


class JsonArchive:
    """The `.json` entries of a zip archive by name. A context manager. Errors: `DataError`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._bytes_left = MOST_BYTES
        try:
            if _directory_bytes(path) > LARGEST_DIRECTORY_BYTES:
                raise self._refused(f"more than {MOST_ENTRIES:,} entries")
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            raise self._refused(f"no zip archive ({error})") from None
        self.names = self._checked_names()

    def __enter__(self) -> "JsonArchive":
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def read(self, name: str) -> Any:
        """The JSON value of an entry. Errors: `BadRow` when it is not JSON, `DataError` when it is too large."""
        limit = min(LARGEST_ENTRY_BYTES, self._bytes_left)
        try:
            with self._zip.open(name) as file:
                raw = file.read(limit + 1)
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError) as error:
            raise self._refused(f"{name} cannot be unpacked ({error})") from None
        if len(raw) > limit:
            raise self._refused(f"{name} and those before it are larger than a log's")
        self._bytes_left -= len(raw)
        return parse_json(raw)

    def _checked_names(self) -> tuple[str, ...]:
        entries = self._zip.infolist()
        if len(entries) > MOST_ENTRIES:
            raise self._refused(f"{len(entries):,} entries; a log has at most {MOST_ENTRIES:,}")
        if len({entry.filename.casefold() for entry in entries}) < len(entries):
            raise self._refused("two entries of the same name")
        for fault in self._faults(entries):
            raise self._refused(fault)
        return tuple(entry.filename for entry in entries if entry.filename.endswith(".json"))

    def _faults(self, entries: list[zipfile.ZipInfo]) -> Iterator[str]:
        for entry in entries:
            name, mode = entry.filename, entry.external_attr >> 16
            if (
                "\\" in name
                or ":" in name.partition("/")[0]
                or name.startswith("/")
                or ".." in PurePosixPath(name).parts
            ):
                yield f"the path {name[:80]!r}"
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                yield f"{name[:80]!r}, which is no file"
            if entry.flag_bits & 1:
                yield f"{name[:80]!r}, which is encrypted"

    def _refused(self, found: str) -> DataError:
        return DataError(
            "bad-archive", "This archive is not read.", where=str(self._path), found=found,
            do="make the log again, or convert it: inspect log convert --to json",
        )  # fmt: skip


def _directory_bytes(path: Path) -> int:
    """The size of the list of entries, which `zipfile` takes into memory at once: the larger one where there are two.

    Source: APPNOTE.TXT of PKWARE, 4.3.14 and 4.3.16.
    """
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 2**17))
        tail = file.read()
    sizes = [0]
    for mark, form, offset in ((b"PK\x05\x06", "<I", 12), (b"PK\x06\x06", "<Q", 40)):
        begin = tail.rfind(mark)
        if begin >= 0 and begin + offset + 8 <= len(tail):
            [size] = struct.unpack_from(form, tail, begin + offset)
            sizes.append(0 if size == 0xFFFFFFFF else size)  # all ones: see the other record
    return max(sizes)
