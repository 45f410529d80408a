"""Read the lines of a text file as bytes, in bounded memory whatever the file holds."""

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from tunesmith.data.read.decompression import open_decompressed
from tunesmith.data.read.row_errors import MAX_LINE_BYTES

UTF8_BOM = codecs.BOM_UTF8


Line = tuple[int, bytes | None, bytes]
"""(number, content, end) of one line: `content` is None above the limit; `end` is LF or CRLF, empty
if cut off. A plain tuple: a named one takes seven times as long to make, for every row."""


def read_lines(path: Path) -> Iterator[Line]:
    """Every line, including the byte-order mark of the first; compressed files are decompressed."""
    with open_decompressed(path) as file:
        number = 0
        while raw := file.readline(MAX_LINE_BYTES + 1):
            number += 1
            if len(raw) > MAX_LINE_BYTES and not raw.endswith(b"\n"):
                yield number, None, _skip_to_line_end(file)
            else:
                content = raw.rstrip(b"\r\n")
                yield number, content, raw[len(content) :]


def _skip_to_line_end(file: BinaryIO) -> bytes:
    # In pieces, because the rest of an overlong line may be larger than memory.
    while piece := file.readline(2**20):
        if piece.endswith(b"\n"):
            return b"\n"
    return b""
