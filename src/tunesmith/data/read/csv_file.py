"""Read CSV and TSV with a header (RFC 4180): quoted cells may hold separators, "" and line ends.

A row's line number is the line of the file where it begins, as an editor counts: the header, blank
lines and lines inside quoted cells count too. The separator is the one of `,` `;` tab `|` that is
most frequent in the header, or the one named by Excel's first line `sep=;`. Columns without a name,
which Excel writes after the last one, are dropped where they are empty; a value in one is an error
of its row.
"""

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from tunesmith.data.read.jsonl_file import check_string
from tunesmith.data.read.line_reader import read_lines
from tunesmith.data.read.row_errors import MAX_LINE_BYTES, InvalidRow, Row, RowError
from tunesmith.errors import DataError, truncate_list

SEPARATORS = ",;\t|"


class _Header(NamedTuple):
    """The named columns with their positions; `width` is the number of cells, named or not."""

    names: tuple[str, ...]
    positions: tuple[int, ...]
    width: int


def read_csv(path: Path) -> Iterator[Row | RowError]:
    """Each row under the header's names, or the error in it. Errors: `DataError` for the header."""
    lines = _CsvLines(path)
    try:
        first = next(lines, "")
        if first.startswith("\ufeff"):
            yield RowError("bom", 0, "the bytes EF BB BF")
            first = first.removeprefix("\ufeff")
        separator = _get_excel_separator(first)
        if separator is not None:
            first = next(lines, "")
        while first and not first.strip():
            first = next(lines, "")
    except InvalidRow as bad:
        raise _build_header_error(path, bad.got, bad.code) from None
    separator = separator or _guess_separator(first, path)
    csv.field_size_limit(
        MAX_LINE_BYTES
    )  # the module's own limit is 128 KiB; it is global, and raised only
    reader = csv.reader(chain([first], lines), delimiter=separator, strict=True)
    header = _read_header(path, reader)
    if unnamed := header.width - len(header.names):
        yield RowError("unnamed-columns", 0, f"{unnamed:,} of {header.width:,} columns")
    while (item := _read_next_row(reader, lines, header)) is not None:
        yield item


class _CsvLines:
    """The lines of the file with their line ends; `lines_read` counts them.

    Line ends are kept because a quoted cell contains them. A class and not a generator, because a
    generator would be finished by the first line that is too long. Bytes that are not UTF-8 become
    surrogates, so that only their row is refused.
    """

    def __init__(self, path: Path) -> None:
        self._lines = read_lines(path)
        self.lines_read = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        self.lines_read, content, end = next(self._lines)
        if content is None:
            raise InvalidRow(
                "line-too-long", f"no line end within 16 MiB in line {self.lines_read:,}"
            )
        return (content + end).decode("utf-8", "surrogateescape")


def _get_excel_separator(first: str) -> str | None:
    """The separator in Excel's own hint, a first line with `sep=;` and nothing else."""
    text = first.strip("\r\n").strip('"')
    return text[4] if len(text) == 5 and text.lower().startswith("sep=") else None


def _guess_separator(first: str, path: Path) -> str:
    """The most frequent separator outside quotes; tab for a `.tsv` file whose header has one."""
    # Even pieces are outside quotes; a doubled quote adds an empty piece and keeps the parity.
    outside = "".join(first.split('"')[::2])
    if "\t" in outside and path.name.lower().split(".")[1:2] == ["tsv"]:
        return "\t"
    return max(SEPARATORS, key=outside.count)


def _read_next_row(
    reader: Iterator[list[str]], lines: _CsvLines, header: _Header
) -> Row | RowError | None:
    """The next row that is not blank, or the error in it; None at the end of the file."""
    begin, cells = 0, list[str]()
    try:
        while not cells:
            # csv.reader also takes the lines inside quoted cells, so note the first one beforehand.
            begin = lines.lines_read + 1
            cells = next(reader)
        # Spreadsheets write rows of separators only; with one column a blank cell may be a value.
        if len(cells) > 1 and not any(map(str.strip, cells)):
            return RowError("empty-row", begin, f"{len(cells):,} empty cells")
        return Row(begin, _read_values(header, cells))
    except StopIteration:
        return None
    except InvalidRow as bad:
        return RowError(bad.code, begin, bad.got + _format_span(begin, lines.lines_read))
    except csv.Error as error:
        return _build_quoting_error(_translate_csv_error(error), begin, lines.lines_read)


def _translate_csv_error(error: csv.Error) -> str:
    """The csv module's message, with its advice on how to open a file replaced by the cause."""
    return (
        "a line that ends in CR alone"
        if str(error).startswith("new-line character seen")
        else str(error)
    )


def _build_quoting_error(error: str, begin: int, end: int) -> RowError:
    """The error for a quoting problem. Rows after an unclosed quote are inside it and not read."""
    if error.startswith("field larger"):
        return RowError(
            "line-too-long",
            begin,
            f"a cell over 16 MiB, perhaps an unclosed quote{_format_span(begin, end)}",
        )
    if error != "unexpected end of data":
        return RowError("broken-quotes", begin, f"{error}{_format_span(begin, end)}")
    taken = f", over {end - begin:,} more line{'s' * (end - begin > 1)}" if end > begin else ""
    found = (
        f"the row in line {begin:,} has a quote that is not closed before the end of the "
        f"file{taken}"
    )
    return RowError("unclosed-quote", begin, found)


def _format_span(begin: int, end: int) -> str:
    return f" (lines {begin:,} to {end:,})" if end > begin else ""


def _read_header(path: Path, reader: Iterator[list[str]]) -> _Header:
    try:
        cells = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise _build_header_error(path, _translate_csv_error(error)) from None
    except InvalidRow as bad:
        raise _build_header_error(path, bad.got, bad.code) from None
    for name in cells:
        if _has_broken_bytes(name):
            raise _build_header_error(path, "bytes that are not UTF-8", "broken-utf8")
        if "\0" in name:
            raise _build_header_error(path, "NUL characters", "nul")
    _check_unique_names(path, cells)
    positions = tuple(i for i, name in enumerate(cells) if name)
    return _Header(tuple(cells[i] for i in positions), positions, len(cells))


def _check_unique_names(path: Path, cells: Sequence[str]) -> None:
    counts = Counter(name for name in cells if name)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        places = ", ".join(str(i) for i, name in enumerate(cells, start=1) if name == twice[0])
        raise DataError(
            "bad-header",
            "duplicate column name",
            at=str(path),
            got=f'"{twice[0]}" is the name of columns {places}'
            + (f"; also {truncate_list(twice[1:])}" if twice[1:] else ""),
            hint="rename one of them",
        )


def _build_header_error(path: Path, got: str, slug: str = "bad-header") -> DataError:
    return DataError(
        slug,
        "cannot read the header row",
        at=str(path),
        got=got,
        hint=(
            "write one row of column names, close every quote, and save as UTF-8 with lines that"
            " end in LF or CRLF"
        ),
    )


def _has_broken_bytes(text: str) -> bool:
    # "surrogateescape" maps each invalid byte to one of these code points.
    return not text.isascii() and any("\udc80" <= character <= "\udcff" for character in text)


def _read_values(header: _Header, cells: list[str]) -> dict[str, str]:
    """The named cells. Extra cells after the last column are allowed if they are empty."""
    if len(cells) != header.width and (len(cells) < header.width or any(cells[header.width :])):
        raise InvalidRow("cell-count", f"{len(cells)} cells under {header.width} column names")
    for cell in cells:
        if _has_broken_bytes(cell):
            raise InvalidRow("broken-utf8", "bytes that are not UTF-8")
        if "\0" in cell:
            check_string(cell)
    if header.width > len(header.names):
        named = set(header.positions)
        for i, cell in enumerate(cells[: header.width]):
            if i not in named and cell.strip():
                raise InvalidRow(
                    "unnamed-column", f"{cell[:40]!r} in column {i + 1:,}, which has no name"
                )
    return {name: cells[i] for name, i in zip(header.names, header.positions, strict=True)}
