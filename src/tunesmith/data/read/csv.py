"""CSV and TSV with a header, after RFC 4180: quoted cells may hold separators, quotes (doubled) and line ends.

A row's line is its number, the header not counted. The separator is the one of `,` `;` tab that the header has most of.
"""

import csv
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from tunesmith.data.read.faults import LONGEST_LINE_BYTES, BadRow, Fault, Row
from tunesmith.data.read.jsonl import refuse_broken_string
from tunesmith.data.read.lines import read_lines
from tunesmith.errors import DataError, name_some


def read_csv(path: Path) -> Iterator[Row | Fault]:
    """Each row with the header's names, or what is wrong with it."""
    lines = _text_lines(path)
    first = next(lines, "")
    if first.startswith("\ufeff"):
        yield Fault("bom", 1, "the bytes EF BB BF")
        first = first.removeprefix("\ufeff")
    separator = max(",;\t", key=first.count)
    csv.field_size_limit(LONGEST_LINE_BYTES)  # the module's own limit is 128 KiB; it is global, and raised only
    reader = csv.reader(chain([first], lines), delimiter=separator, strict=True)
    header = _header(path, reader)
    number = 0
    while True:
        try:
            cells = next(reader, None)
            if cells is None:
                return
            if not cells:
                continue
            number += 1
            yield _row(number, header, cells)
        except csv.Error as error:
            number += 1
            yield Fault("unreadable-line", number, str(error))
        except BadRow as bad:
            yield Fault(bad.code, number, bad.found)


def _text_lines(path: Path) -> Iterator[str]:
    """Lines with their ends; bytes that are not UTF-8 become surrogates, so that only their row is refused."""
    for number, raw, _ in read_lines(path):
        if raw is None:
            raise DataError(
                "line-too-long",
                "A line is over 16 MiB.",
                where=f"{path} line {number}",
                found="no line end",
                do="check that this is a CSV file with one example a row",
            )
        yield raw.decode("utf-8", "surrogateescape") + "\n"


def _header(path: Path, reader: Iterator[list[str]]) -> list[str]:
    try:
        header = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise DataError(
            "bad-header",
            "The first row cannot be read.",
            where=str(path),
            found=str(error),
            do="write one row of column names, and end lines with LF or CRLF",
        ) from None
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


def _row(number: int, header: list[str], cells: list[str]) -> Row:
    if len(cells) != len(header):
        raise BadRow("cell-count", f"{len(cells)} cells under {len(header)} column names")
    for cell in cells:
        if not cell.isascii() and any("\udc80" <= character <= "\udcff" for character in cell):
            raise BadRow("broken-utf8", "bytes that are not UTF-8")
        if "\0" in cell:
            refuse_broken_string(cell)
    return Row(number, dict(zip(header, cells, strict=True)))
