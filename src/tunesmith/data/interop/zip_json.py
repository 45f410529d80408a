"""Read JSON files in an untrusted zip archive, one by one in memory, never unpacked to disk.

Anything harmful is refused before it is read: paths that leave the folder, repeated names (also
when they differ only in case), links, encrypted entries, more entries or bytes than a log has. The
sizes in the archive's directory may be false, so bytes are counted as they are read. Entries may be
compressed with zstandard, the default of inspect_ai.
"""

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import zstandard

from tunesmith.atomic_io import open_regular_file
from tunesmith.data.read.jsonl_file import parse_json
from tunesmith.errors import DataError

MAX_ENTRIES = 100_000
MAX_ENTRY_BYTES = 64 * 2**20
MAX_TOTAL_BYTES = 1024 * 2**20
MAX_DIRECTORY_BYTES = 16 * 2**20
ZSTD_METHOD = 93
"""The number of zstandard in zip archives; Python supports it from version 3.14 on."""
MAX_WINDOW_BYTES = 2**27
"""The zstd program's own default; a larger window would let the file choose our memory use."""
_LOCAL_HEADER = struct.Struct("<4s22xHH")
"""Signature, length of the name, length of the extra field (APPNOTE.TXT of PKWARE, 4.3.7)."""


class JsonArchive:
    """The `.json` entries of a zip archive by name; a context manager. Errors: `DataError`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._remaining_bytes = MAX_TOTAL_BYTES
        # Before ZipFile(path), which loads the whole directory into memory.
        try:
            if _read_directory_size(path) > MAX_DIRECTORY_BYTES:
                raise self._build_error(f"more than {MAX_ENTRIES:,} entries")
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            raise self._build_error(f"not a zip archive ({error})") from None
        self.names = self._check_names()

    def __enter__(self) -> "JsonArchive":
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def read(self, name: str) -> Any:
        """The JSON value of an entry. Errors: `InvalidRow`; `DataError` when it is too large."""
        limit = min(MAX_ENTRY_BYTES, self._remaining_bytes)
        try:
            raw = self._read_entry(self._zip.getinfo(name), limit)
        except (
            zipfile.BadZipFile,
            zlib.error,
            zstandard.ZstdError,
            struct.error,
            NotImplementedError,
            RuntimeError,
            EOFError,
            OSError,
        ) as error:
            raise self._build_error(f"cannot unpack {name} ({error})") from None
        if len(raw) > limit:
            raise self._build_error(
                f"{name} and the entries before it are larger than a log may be"
            )
        self._remaining_bytes -= len(raw)
        return parse_json(raw)

    def _read_entry(self, entry: zipfile.ZipInfo, limit: int) -> bytes:
        """The entry's bytes, at most one more than the limit."""
        if entry.compress_type != ZSTD_METHOD:
            with self._zip.open(entry) as file:
                return file.read(limit + 1)
        with open_regular_file(self._path) as file:
            file.seek(entry.header_offset)
            mark, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
            if mark != b"PK\x03\x04":
                raise zipfile.BadZipFile("no header before the entry")
            # The local lengths, which may differ from those in the central directory.
            file.seek(name_bytes + extra_bytes, 1)
            packed = file.read(min(entry.compress_size, MAX_ENTRY_BYTES + 1))
        decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)
        with decompressor.stream_reader(io.BytesIO(packed)) as reader:
            raw = reader.read(limit + 1)
        # A truncated read has no valid CRC; the caller refuses it for its size instead.
        if len(raw) <= limit and zlib.crc32(raw) != entry.CRC:
            raise zipfile.BadZipFile("bad CRC-32")
        return raw

    def _check_names(self) -> tuple[str, ...]:
        entries = self._zip.infolist()
        if len(entries) > MAX_ENTRIES:
            raise self._build_error(f"{len(entries):,} entries; a log has at most {MAX_ENTRIES:,}")
        if len({entry.filename.casefold() for entry in entries}) < len(entries):
            raise self._build_error("two entries of the same name")
        for fault in self._find_unsafe_entries(entries):
            raise self._build_error(fault)
        return tuple(entry.filename for entry in entries if entry.filename.endswith(".json"))

    def _find_unsafe_entries(self, entries: list[zipfile.ZipInfo]) -> Iterator[str]:
        for entry in entries:
            # The high 16 bits are the Unix file mode, 0 from other systems.
            name, mode = entry.filename, entry.external_attr >> 16
            if (
                "\\" in name
                or ":" in name.partition("/")[0]
                or name.startswith("/")
                or ".." in PurePosixPath(name).parts
            ):
                yield f"the path {name[:80]!r}"
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                yield f"{name[:80]!r}, which is not a file"
            if entry.flag_bits & 1:
                yield f"{name[:80]!r}, which is encrypted"

    def _build_error(self, got: str) -> DataError:
        return DataError(
            "bad-archive",
            "archive is not supported",
            at=str(self._path),
            got=got,
            hint="create the log again; or convert it: inspect log convert --to json",
        )


def _read_directory_size(path: Path) -> int:
    """Bytes of the central directory, which `zipfile` loads at once; the larger of two records.

    Source: APPNOTE.TXT of PKWARE, 4.3.14 and 4.3.16.
    """
    with open_regular_file(path) as file:
        # The end record lies within the last 64 KiB (its comment's limit), the zip64 one before it.
        file.seek(max(0, path.stat().st_size - 2**17))
        tail = file.read()
    sizes = [0]
    for mark, form, offset in ((b"PK\x05\x06", "<I", 12), (b"PK\x06\x06", "<Q", 40)):
        begin = tail.rfind(mark)
        if begin >= 0 and begin + offset + 8 <= len(tail):
            [size] = struct.unpack_from(form, tail, begin + offset)
            sizes.append(0 if size == 0xFFFFFFFF else size)  # all ones: the zip64 record has it
    return max(sizes)
