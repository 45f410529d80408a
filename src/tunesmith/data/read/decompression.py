"""Decompress `.gz` and `.zst` files in bounded memory, recognized by content and not by name.

A file that is truncated, damaged, or expands to far more than any text would is a `DataError`,
never silently a shorter file.
"""

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import zstandard

from tunesmith.atomic_io import open_regular_file
from tunesmith.errors import DataError

GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
MAX_GROWTH, MIN_UNPACKED_BYTES = 1000, 64 * 2**20
"""Maximum expansion factor, and the size that any file may expand to. Text expands 3 to 30 times;
gzip reaches 1,032 at most, zstd has no limit."""
MAX_WINDOW_BYTES = 2**27
"""The largest window that the zstd program accepts by default."""
_CHUNK_BYTES = 2**12
"""Compressed bytes per call: a 3-byte zstd block may hold 128 KiB, so at most 170 MiB."""


def detect_compression(start: bytes) -> str | None:
    """`gzip`, `zstd` or None, by the first bytes of a file."""
    return "gzip" if start.startswith(GZIP) else "zstd" if start.startswith(ZSTD) else None


@contextmanager
def open_decompressed(path: Path) -> Iterator[BinaryIO]:
    """The file's bytes, decompressed if needed. Errors: `DataError` when they are damaged."""
    with open_regular_file(path) as file:
        packing = detect_compression(file.read(4))
        file.seek(0)
        if packing is None:
            yield file
            return
        source: Any = gzip.GzipFile(fileobj=file) if packing == "gzip" else _ZstdReader(file)
        limit = max(MIN_UNPACKED_BYTES, MAX_GROWTH * path.stat().st_size)
        try:
            yield io.BufferedReader(_BoundedReader(source, limit))
        except (gzip.BadGzipFile, zlib.error, zstandard.ZstdError, EOFError) as error:
            raise DataError(
                "damaged-archive",
                "cannot decompress the file",
                at=str(path),
                got=f"{packing}: {str(error)[:200] or 'truncated'}",
                hint="copy or compress the file again",
            ) from None


class _BoundedReader(io.RawIOBase):
    """A reader that returns at most `limit` bytes in total, then raises `EOFError`."""

    def __init__(self, source: Any, limit: int) -> None:
        self._source, self._remaining_bytes = source, limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        got: bytes = self._source.read(len(buffer))
        self._remaining_bytes -= len(got)
        if self._remaining_bytes < 0:
            raise EOFError("it decompresses to far more bytes than a text would")
        buffer[: len(got)] = got
        return len(got)


class _ZstdReader:
    """Reads consecutive frames. Unlike the library's reader it detects a truncated last frame."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._library = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)
        self._frame: Any = None
        self._compressed = b""
        self._buffer = memoryview(b"")  # a view: the rest is sliced repeatedly without copying

    def read(self, size: int) -> bytes:
        while not self._buffer:
            self._compressed = self._compressed or self._file.read(_CHUNK_BYTES)
            if not self._compressed:
                if self._frame is not None:
                    raise EOFError("truncated")
                return b""
            self._frame = self._frame or self._library.decompressobj()
            self._buffer = memoryview(self._frame.decompress(self._compressed))
            self._compressed = b""
            if self._frame.eof:
                # zstd files may be concatenated: what follows this frame starts the next one.
                self._compressed, self._frame = self._frame.unused_data, None
        got, self._buffer = self._buffer[:size], self._buffer[size:]
        return bytes(got)
