"""Kinds of errors in a row, and a log that counts them.

An invalid row never ends the reading: it becomes a `RowError`, and all errors of one kind in one
file become one `Problem` that lists their places. Only a file that is unusable as a whole raises.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tunesmith.records import CountedIn, Problem, Severity

MAX_STORED_LINES = 1000
"""Line numbers stored for each problem; `count` always counts all."""

MAX_FOUND_VALUES = 20
"""Different values listed in one message, for kinds that list all of them."""

MAX_LINE_BYTES = 16 * 2**20
"""A longer line is refused unread: no example is that long, but a file without line ends is."""

MAX_JSON_DEPTH = 64
"""Deeper JSON nesting is refused: no known format needs more than 10 levels."""


class Row(NamedTuple):
    """One row of the file. `line` counts from 1: lines of a text file, rows of other formats."""

    line: int
    values: dict[str, Any]


class RowError(NamedTuple):
    """An error in one row or, with `line` 0, of the whole file; `found` is the offending value."""

    code: str
    line: int
    got: str


class InvalidRow(Exception):
    """Raised while one row is parsed and caught by the file's reader, which logs a `RowError`."""

    def __init__(self, code: str, got: str) -> None:
        super().__init__(got)
        self.code = code
        self.got = got


class _ErrorKind(NamedTuple):
    """Severity, message and hint; `lists_all_values`: report every value with its count."""

    severity: Severity
    message: str
    hint: str
    lists_all_values: bool = False


ROW_ERROR_KINDS: dict[str, _ErrorKind] = {
    "unreadable-line": _ErrorKind("error", "not a JSON object", "write one JSON object per line"),
    "cut-line": _ErrorKind(
        "error", "last line is incomplete", "copy the file again; its end is missing"
    ),
    "line-too-long": _ErrorKind(
        "error", "line longer than 16 MiB", "write one example per line or row"
    ),
    "broken-utf8": _ErrorKind("error", "not valid UTF-8", "save the file as UTF-8"),
    "bom": _ErrorKind(
        "warning",
        "byte-order mark at the start",
        "save the file as UTF-8 without BOM (it was skipped)",
    ),
    "nul": _ErrorKind(
        "error",
        "NUL character",
        "remove the NUL characters; the export is probably broken",
    ),
    "lone-surrogate": _ErrorKind("error", "lone surrogate", "write complete characters as UTF-8"),
    "duplicate-key": _ErrorKind(
        "error", "duplicate key", "keep one of them; it is ambiguous which one counts"
    ),
    "not-a-number": _ErrorKind("error", "NaN or Infinity", "write null or a number"),
    "number-too-long": _ErrorKind("error", "number too long to read", "write long numbers as text"),
    "too-deep": _ErrorKind(
        "error", f"nested deeper than {MAX_JSON_DEPTH} levels", "flatten the row"
    ),
    "cell-count": _ErrorKind(
        "error",
        "more or fewer cells than the header",
        "quote cells that contain the separator",
    ),
    "unclosed-quote": _ErrorKind(
        "error",
        "unclosed quote",
        'close the quote, or remove it; inside a quoted cell write a quote twice ("")',
    ),
    "broken-quotes": _ErrorKind(
        "error",
        "inconsistent quotes",
        'quote the whole cell, and write a quote inside it twice ("")',
    ),
    "missing-column": _ErrorKind(
        "error",
        "missing value in a required column",
        "fill in the column; or remove the row",
    ),
    "wrong-type": _ErrorKind(
        "error", "value of the wrong type", "write it in the type that the format requires"
    ),
    "several-turns": _ErrorKind(
        "error",
        "chosen or rejected answer with several turns",
        "move the shared turns into the prompt, and keep one answer in each column",
    ),
    "two-systems": _ErrorKind(
        "error",
        "two system messages, one of them in a column",
        "keep one; or merge them",
    ),
    "unknown-key": _ErrorKind(
        "error",
        "unknown key in a message, call or tool that may change what is trained",
        "write it as described in the guide's page on data; or remove it if it has no meaning",
        lists_all_values=True,
    ),
    "unused-keys": _ErrorKind(
        "warning",
        "unused key in a message, call or tool",
        "remove it; or report it to us if it should change what is trained",
        lists_all_values=True,
    ),
    "keys-disagree": _ErrorKind(
        "error", "two keys of the same meaning have different values", "keep one of them"
    ),
    "broken-call": _ErrorKind(
        "error",
        "unreadable tool call",
        'write it as {"type": "function", "function": {"name": ..., "arguments": {...}}}',
    ),
    "not-text": _ErrorKind(
        "error",
        "message that is not text",
        "remove the row; only text is supported",
    ),
    "prompt-disagrees": _ErrorKind(
        "error",
        "prompt is not a turn of the conversations in the other columns",
        "add it to both conversations; or remove the column",
    ),
    "unknown-role": _ErrorKind("error", "unknown role", "use system, user, assistant or tool"),
    "unused-columns": _ErrorKind(
        "warning",
        "unused column",
        "map them with --columns if they belong to the example",
    ),
    "likely-prompt": _ErrorKind(
        "error",
        "unused column looks like the prompt",
        "map it with --columns as shown; or map the intended columns",
    ),
    "likely-answer": _ErrorKind(
        "error",
        "unused column looks like the answer",
        "map it with --columns as shown; or map the intended columns",
    ),
    "likely-system": _ErrorKind(
        "error",
        "unused column looks like the system message",
        "map it with --columns as shown; or map the intended columns",
    ),
    "split-column": _ErrorKind(
        "error",
        "column names the split of each row, which would be ignored",
        "write each split into a file named after it (train.jsonl, test.jsonl); or remove "
        "the column",
    ),
    "weight-column": _ErrorKind(
        "error",
        "column gives weights to rows, which would be ignored",
        'remove rows of weight 0; any other weight belongs to the answer ({"role": '
        '"assistant", "weight": 0.5, ...})',
    ),
    "scores-disagree": _ErrorKind(
        "error",
        "rejected answer has the higher score",
        "swap the answers or remove the rows; if lower scores are better, remove the score columns",
    ),
    "scores-equal": _ErrorKind(
        "warning",
        "both answers of a pair have the same score",
        "remove them: they express no preference",
    ),
    "placeholder": _ErrorKind(
        "warning",
        "placeholder such as null or N/A in an optional text; it is read as text",
        "leave the value empty",
    ),
    "text-of-numbers": _ErrorKind(
        "note",
        "number or boolean is read as text",
        "write it as text if it should look different",
    ),
    "class-names": _ErrorKind(
        "note",
        "class column is read as the names of the classes",
        "no action needed if the names are correct",
    ),
    "read-as-turns": _ErrorKind(
        "note",
        'text is split into turns at "Human:" and "Assistant:"',
        "no action needed if the turns are correct",
    ),
    "unnamed-columns": _ErrorKind(
        "warning",
        "unnamed empty column is ignored",
        "no action needed; spreadsheets write them",
    ),
    "unnamed-column": _ErrorKind(
        "error",
        "value in an unnamed column",
        "name the column; or clear its cells",
    ),
    "empty-row": _ErrorKind(
        "warning", "empty row is ignored", "no action needed; spreadsheets write them"
    ),
    "rows-inside": _ErrorKind(
        "note",
        "examples are read from the list under one key of the file",
        "no action needed if that is correct",
    ),
    "several-files": _ErrorKind(
        "warning",
        "files with different names are read as one data set",
        "remove the files that do not belong to it",
    ),
    "files-passed-over": _ErrorKind(
        "warning",
        "files in the folder are ignored",
        "save them in a supported format; or remove them",
    ),
    "other-files": _ErrorKind(
        "note",
        "other files in the folder are ignored",
        "no action needed if they contain no examples",
    ),
    "unreadable-card": _ErrorKind(
        "warning",
        "subsets in the README cannot be read",
        "fix its YAML header; or remove it",
    ),
    "card-without-files": _ErrorKind(
        "warning",
        "README names data files that are missing; all files are read",
        "download the missing files; or remove the README",
    ),
}


@dataclass(slots=True)
class _Tally:
    count: int = 0
    lines: list[int] = field(default_factory=list)
    values: dict[str, int] = field(default_factory=dict)


class RowErrorLog:
    """Counts the errors of one file for each kind, in bounded memory."""

    def __init__(self, file: str, counted_in: CountedIn) -> None:
        self._file = file
        self._counted_in = counted_in
        self._tallies: dict[str, _Tally] = {}

    def add(self, error: RowError) -> None:
        """Count an error; its value and line are stored up to the limits above."""
        tally = self._tallies.setdefault(error.code, _Tally())
        tally.count += 1
        # Bounded: a file with a million different errors keeps a few of them as text.
        if not tally.values or (
            ROW_ERROR_KINDS[error.code].lists_all_values and len(tally.values) < MAX_FOUND_VALUES
        ):
            tally.values.setdefault(error.got, 0)
        if error.got in tally.values:
            tally.values[error.got] += 1
        # Errors arrive in file order, so comparing with the last line is enough to skip repeats.
        if (
            error.line
            and error.line not in tally.lines[-1:]
            and len(tally.lines) < MAX_STORED_LINES
        ):
            tally.lines.append(error.line)

    def build_problems(self) -> Iterator[Problem]:
        """One problem for each kind of error that occurred, in order of first occurrence."""
        for code, tally in self._tallies.items():
            kind = ROW_ERROR_KINDS[code]
            # Not for errors of the whole file, nor where each value has a count of its own.
            is_counted = len(tally.lines) > 1 and not kind.lists_all_values
            places = f" ({tally.count:,} {self._counted_in})" if is_counted else ""
            yield Problem(
                code=f"data/{code}",
                severity=kind.severity,
                count=tally.count,
                lines=tuple(tally.lines),
                message=f"{kind.message}{places}",
                got=_describe_values(tally.values, kind.lists_all_values),
                hint=kind.hint,
                file=self._file,
                position_unit=self._counted_in,
            )


def _describe_values(values: dict[str, int], lists_all: bool) -> str:
    if not lists_all:
        return next(iter(values))
    return ", ".join(
        f"{value} (in {count:,} row{'s' * (count > 1)})" for value, count in values.items()
    )


MAX_SHOWN_CHARACTERS = 40


def build_type_error(name: str, expected: str, value: Any) -> InvalidRow:
    """The error, with the beginning of the offending value as JSON."""
    shown = json.dumps(value, ensure_ascii=False, default=str)
    cut = "…" if len(shown) > MAX_SHOWN_CHARACTERS else ""
    return InvalidRow(
        "wrong-type", f'"{name}" should be {expected}, is {shown[:MAX_SHOWN_CHARACTERS]}{cut}'
    )
