"""Kinds of errors in a row, and a log that counts them.

An invalid row never ends the reading: it becomes a `RowError`, and all errors of one kind in one
file become one `Problem` that lists their places. Only a file that is unusable as a whole raises.
"""

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
    "unreadable-line": _ErrorKind(
        "error", "Lines that are not JSON objects", "write each as one JSON object"
    ),
    "cut-line": _ErrorKind(
        "error", "Last lines that break off", "copy the file again; its end is missing"
    ),
    "line-too-long": _ErrorKind("error", "Lines over 16 MiB", "write one example a line or row"),
    "broken-utf8": _ErrorKind("error", "Lines that are not UTF-8", "save the file as UTF-8"),
    "bom": _ErrorKind(
        "warning",
        "Byte-order marks at the start",
        "save the file as UTF-8 without BOM (it was skipped)",
    ),
    "nul": _ErrorKind(
        "error",
        "Rows with NUL characters",
        "remove the NUL characters; the export is probably broken",
    ),
    "lone-surrogate": _ErrorKind(
        "error", "Rows with half a character (lone surrogate)", "write whole characters as UTF-8"
    ),
    "duplicate-key": _ErrorKind(
        "error", "Rows that have the same key twice", "keep one of them; it is unclear which counts"
    ),
    "not-a-number": _ErrorKind("error", "Rows with NaN or Infinity", "write null or a number"),
    "number-too-long": _ErrorKind(
        "error", "Rows with a number too long to read", "write long numbers as text"
    ),
    "too-deep": _ErrorKind(
        "error", f"Rows nested deeper than {MAX_JSON_DEPTH} levels", "flatten the row"
    ),
    "cell-count": _ErrorKind(
        "error",
        "Rows with more or fewer cells than the header",
        "quote cells that hold the separator",
    ),
    "unclosed-quote": _ErrorKind(
        "error",
        "Rows with a quote that is never closed",
        "close the quote, or leave it out; in a quoted cell a quote of the text is written twice"
        ' ("")',
    ),
    "broken-quotes": _ErrorKind(
        "error",
        "Rows whose quotes do not fit together",
        'quote the whole cell and write a quote of its text twice ("")',
    ),
    "missing-column": _ErrorKind(
        "error",
        "Rows without a column that the shape needs",
        "fill the column, or leave the row out",
    ),
    "wrong-type": _ErrorKind(
        "error", "Rows where a value has the wrong type", "write it in the type the shape asks for"
    ),
    "several-turns": _ErrorKind(
        "error",
        "Rows with a chosen or rejected answer of several turns",
        "move the turns that both share into the prompt, and keep one answer of each",
    ),
    "two-systems": _ErrorKind(
        "error",
        "Rows with two system messages, one of them in a column",
        "keep one, or say both in one",
    ),
    "unknown-key": _ErrorKind(
        "error",
        "Rows with a key inside a message, call or tool that changes what is trained, and is not"
        " understood",
        "write it as the guide's page on data says, or take it out if it says nothing",
        lists_all_values=True,
    ),
    "unused-keys": _ErrorKind(
        "warning",
        "Keys inside messages, calls or tools that are not used",
        "take them out, or tell us what they mean if they change what should be learned",
        lists_all_values=True,
    ),
    "keys-disagree": _ErrorKind(
        "error", "Rows where two keys that mean the same say different things", "keep one of them"
    ),
    "broken-call": _ErrorKind(
        "error",
        "Rows with a tool call that cannot be read",
        'write it as {"type": "function", "function": {"name": ..., "arguments": {...}}}',
    ),
    "not-text": _ErrorKind(
        "error",
        "Rows with a message that is not text",
        "leave the row out; only text can be trained here",
    ),
    "prompt-disagrees": _ErrorKind(
        "error",
        "Rows whose prompt is no turn of the conversations beside it",
        "put it into both conversations, or take the column out",
    ),
    "unknown-role": _ErrorKind(
        "error", "Rows with an unknown role", "use system, user, assistant or tool"
    ),
    "unused-columns": _ErrorKind(
        "warning",
        "Columns that are not used",
        "map them with --columns if they belong to the example",
    ),
    "likely-prompt": _ErrorKind(
        "error",
        "A column that is not used looks like the prompt",
        "map it with --columns as shown, or name the columns that are meant",
    ),
    "likely-answer": _ErrorKind(
        "error",
        "A column that is not used looks like the answer",
        "map it with --columns as shown, or name the columns that are meant",
    ),
    "likely-system": _ErrorKind(
        "error",
        "A column that is not used looks like the system message",
        "map it with --columns as shown, or name the columns that are meant",
    ),
    "split-column": _ErrorKind(
        "error",
        "A column says which split each row belongs to, and would be ignored",
        "write each split into a file named after it (train.jsonl, test.jsonl), or take the"
        " column out",
    ),
    "weight-column": _ErrorKind(
        "error",
        "A column gives rows different weights, and would be ignored",
        'take rows of weight 0 out; any other weight stands at the answer ({"role": "assistant",'
        ' "weight": 0.5, ...})',
    ),
    "scores-disagree": _ErrorKind(
        "error",
        "Pairs whose rejected answer has the higher score",
        "exchange the answers or take the rows out; if a low score is the better one, take the"
        " columns out",
    ),
    "scores-equal": _ErrorKind(
        "warning",
        "Pairs whose two answers have the same score",
        "take them out: they prefer one of two equals",
    ),
    "placeholder": _ErrorKind(
        "warning",
        "Rows with a word for nothing where a text may be left out; it is read as the text",
        "leave the value empty",
    ),
    "text-of-numbers": _ErrorKind(
        "note",
        "Rows where a number or truth value is read as text",
        "write it as text if it should look otherwise",
    ),
    "class-names": _ErrorKind(
        "note", "Columns of classes are read as their names", "nothing, if the names are right"
    ),
    "read-as-turns": _ErrorKind(
        "note",
        'Rows whose texts are read as turns, at "Human:" and "Assistant:"',
        "nothing, if the turns are right",
    ),
    "unnamed-columns": _ErrorKind(
        "warning",
        "Columns without a name that are empty are left out",
        "nothing; spreadsheets write them",
    ),
    "unnamed-column": _ErrorKind(
        "error",
        "Rows with a value in a column without a name",
        "name the column, or empty its cells",
    ),
    "empty-row": _ErrorKind(
        "warning", "Rows without any value are left out", "nothing; spreadsheets write them"
    ),
    "rows-inside": _ErrorKind(
        "note", "The examples are the list under one key of the file", "nothing, if that is right"
    ),
    "several-files": _ErrorKind(
        "warning",
        "Files with different names are read as one data set",
        "take out what does not belong to it",
    ),
    "files-passed-over": _ErrorKind(
        "warning",
        "Files of the folder that are not read",
        "save them in a format that is read, or take them out",
    ),
    "other-files": _ErrorKind(
        "note", "Files beside the data that are not read", "nothing, if they hold no examples"
    ),
    "unreadable-card": _ErrorKind(
        "warning",
        "The subsets named in the README cannot be read",
        "correct its YAML head, or take it out",
    ),
    "card-without-files": _ErrorKind(
        "warning",
        "The README names data files that are not here; all files are read",
        "fetch the missing files, or take the README out",
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
            severity, message, do, names_all = ROW_ERROR_KINDS[code]
            # Positions in JSON and tables count rows, and the message must not call them lines.
            if self._counted_in == "rows":
                message = message.replace("Lines", "Rows")
            yield Problem(
                code=f"data/{code}",
                severity=severity,
                count=tally.count,
                lines=tuple(tally.lines),
                message=f"{message}: {tally.count:,}. {_describe_values(tally.values, names_all)}",
                hint=do,
                file=self._file,
                position_unit=self._counted_in,
            )


def _describe_values(values: dict[str, int], names_all: bool) -> str:
    if not names_all:
        return f"First: {next(iter(values))}"
    return ", ".join(
        f"{what} (in {count:,} row{'s' * (count > 1)})" for what, count in values.items()
    )
