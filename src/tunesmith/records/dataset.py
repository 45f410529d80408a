"""What is known about the user's data before money is spent: its files, format, problems and
split.
"""

from typing import Literal

from tunesmith.errors import truncate_list
from tunesmith.records.origin import CountedIn
from tunesmith.records.record import Record

DataFormat = Literal[
    "messages",
    "prompt-completion",
    "alpaca",
    "sharegpt",
    "text",
    "preference",
    "preference-pair",
    "rated",
]
"""The formats of examples that are recognized."""
Severity = Literal["error", "warning", "note"]


class SourceFile(Record):
    """One file of the data, as it was read."""

    path: str
    sha256: str
    size_bytes: int
    examples: int


class Problem(Record):
    """One kind of problem with all of its places. `lines` count from 1 in `file`, in units of
    `position_unit`. `message`, `got` and `hint` are what is wrong, with which value, and what to
    do, as in an error.
    """

    code: str
    severity: Severity
    count: int
    lines: tuple[int, ...] = ()
    message: str
    got: str = ""
    hint: str
    file: str = ""
    position_unit: CountedIn = "lines"

    @property
    def summary(self) -> str:
        """What is wrong and what was got, in one line."""
        return f"{self.message} ({self.got})" if self.got else self.message

    def format_places(self, limit: int = 3) -> str:
        """For example `line 3`, or `rows 2, 5, 9 (4 more)`; empty if the problem concerns the whole
        file.
        """
        word = self.position_unit.removesuffix("s") if len(self.lines) == 1 else self.position_unit
        return f"{word} {truncate_list(self.lines, limit)}" if self.lines else ""


class DatasetInfo(Record):
    """A data set as read: its files, format, number of examples, and the fingerprint of their
    content.
    """

    name: str
    format: DataFormat
    files: tuple[SourceFile, ...]
    columns: dict[str, str]
    examples: int
    content: str


class CheckReport(Record):
    """All problems of a data set, worst first. Errors must be fixed before training."""

    dataset: DatasetInfo
    model: str | None
    problems: tuple[Problem, ...]

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that stop a run."""
        return tuple(problem for problem in self.problems if problem.severity == "error")


class Split(Record):
    """The example ids of each split, and how they were assigned. The same data and seed give the
    same split.
    """

    seed: int
    method: Literal["hash", "given", "given-test"]
    grouped_by: str | None
    stratified: bool
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
