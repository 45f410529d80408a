"""CSV and TSV with a header, after RFC 4180: quoted cells may hold separators, quotes (doubled) and line ends.

A row's line is its number, the header not counted; lines of the file are named where a row
spans several. The separator is the one of `,` `;` tab that the header has most of.
"""

import csv
from collections.abc import Iterator
from itertools import chain, count
from pathlib import Path

from tunesmith.data.read.faults import LONGEST_LINE_BYTES, BadRow, Fault, Row
from tunesmith.data.read.jsonl import refuse_broken_string
from tunesmith.data.read.lines import read_lines
from tunesmith.errors import DataError, name_some


def read_csv(path: Path) -> Iterator[Row | Fault]:
    """Each row with the header's names, or what is wrong with it."""
    lines = _Lines(path)
    try:
        first = next(lines, "")
    except BadRow as bad:
        raise _bad_header(path, bad.found, bad.code) from None
    if first.startswith("\ufeff"):
        yield Fault("bom", 0, "the bytes EF BB BF")
        first = first.removeprefix("\ufeff")
    separator = max(",;\t", key=first.count)
    csv.field_size_limit(LONGEST_LINE_BYTES)  # the module's own limit is 128 KiB; it is global, and raised only
    reader = csv.reader(chain([first], lines), delimiter=separator, strict=True)
    header = _header(path, reader)
    for number in count(1):
        item = _next_row(number, reader, lines, header)
        if item is None:
            return
        yield item


class _Lines:
    """The lines with their own ends, for a cell keeps the line ends it has. `taken` counts them.

    A class, for a generator would end with the first line that is too long. Bytes that are not UTF-8 become surrogates,
    so that only their row is refused.
    """

    def __init__(self, path: Path) -> None:
        self._lines = read_lines(path)
        self.taken = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        self.taken, content, end = next(self._lines)
        if content is None:
            raise BadRow("line-too-long", f"no line end within 16 MiB in line {self.taken:,} of the file")
        return (content + end).decode("utf-8", "surrogateescape")


def _next_row(number: int, reader: Iterator[list[str]], lines: _Lines, header: list[str]) -> Row | Fault | None:
    """The next row that is not blank, or what is wrong with it; None at the end of the file."""
    begin, cells = 0, list[str]()
    try:
        while not cells:
            begin = lines.taken + 1
            cells = next(reader)
        return Row(number, _values(header, cells))
    except StopIteration:
        return None
    except BadRow as bad:
        return Fault(bad.code, number, bad.found + _span(begin, lines.taken))
    except csv.Error as error:
        return _quoting_fault(number, str(error), begin, lines.taken)


def _quoting_fault(number: int, error: str, begin: int, end: int) -> Fault:
    """What the module's words mean for a person; rows that follow an open quote are inside it, not read."""
    if error.startswith("field larger"):
        return Fault("line-too-long", number, f"a cell over 16 MiB, perhaps a quote not closed{_span(begin, end)}")
    if error != "unexpected end of data":
        return Fault("broken-quotes", number, f"{error}{_span(begin, end)}")
    taken = f", over {end - begin:,} more line{'s' * (end - begin > 1)}" if end > begin else ""
    found = f"row {number:,} begins in line {begin:,} of the file, and its quote is open to the end of the file{taken}"
    return Fault("unclosed-quote", number, found)


def _span(begin: int, end: int) -> str:
    return f" (lines {begin:,} to {end:,} of the file)" if end > begin else ""


def _header(path: Path, reader: Iterator[list[str]]) -> list[str]:
    try:
        header = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise _bad_header(path, str(error)) from None
    except BadRow as bad:
        raise _bad_header(path, bad.found, bad.code) from None
    if any(_has_broken_bytes(name) for name in header):
        raise _bad_header(path, "bytes that are not UTF-8", "broken-utf8")
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise DataError(
            "bad-header",
            "Two columns have the same name.",
            where=str(path),
            found=name_some(twice),
            do="rename one of them",
        )
    return header


def _bad_header(path: Path, found: str, slug: str = "bad-header") -> DataError:
    return DataError(
        slug,
        "The first row cannot be read.",
        where=str(path),
        found=found,
        do="write one row of column names, close every quote, and end lines with LF or CRLF",
    )


def _has_broken_bytes(text: str) -> bool:
    return not text.isascii() and any("\udc80" <= character <= "\udcff" for character in text)


def _values(header: list[str], cells: list[str]) -> dict[str, str]:
    if len(cells) != len(header):
        raise BadRow("cell-count", f"{len(cells)} cells under {len(header)} column names")
    for cell in cells:
        if _has_broken_bytes(cell):
            raise BadRow("broken-utf8", "bytes that are not UTF-8")
        if "\0" in cell:
            refuse_broken_string(cell)
    return dict(zip(header, cells, strict=True))
