"""The lines of a text file as bytes, in bounded memory whatever the file holds."""

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from tunesmith.data.read.faults import LONGEST_LINE_BYTES

UTF8_BOM = codecs.BOM_UTF8


class Line(NamedTuple):
    """One line without its end. `content` is None when over the limit; `ended` is False where the file breaks off."""

    number: int
    content: bytes | None
    ended: bool


def read_lines(path: Path) -> Iterator[Line]:
    """Every line, the byte-order mark of the first one included."""
    with path.open("rb") as file:
        number = 0
        while raw := file.readline(LONGEST_LINE_BYTES + 1):
            number += 1
            if len(raw) > LONGEST_LINE_BYTES and not raw.endswith(b"\n"):
                yield Line(number, None, _skip_to_line_end(file))
            else:
                yield Line(number, raw.rstrip(b"\r\n"), raw.endswith(b"\n"))


def _skip_to_line_end(file: BinaryIO) -> bool:
    while piece := file.readline(2**20):
        if piece.endswith(b"\n"):
            return True
    return False
