"""What is known about a person's data before anything is spent: its files, its shape, its problems, its split."""

from typing import Literal

from tunesmith.errors import truncate_list
from tunesmith.records.origin import CountedIn
from tunesmith.records.record import Record

DataFormat = Literal[
    "messages", "prompt-completion", "alpaca", "sharegpt", "text", "preference", "preference-pair", "rated"
]
Severity = Literal["error", "warning", "note"]


class SourceFile(Record):
    """One file of the data, as it was read."""

    path: str
    sha256: str
    size_bytes: int
    examples: int


class Problem(Record):
    """One kind of problem, all of its places together. `lines` count from 1 in `file`; `position_unit` says what."""

    code: str
    severity: Severity
    count: int
    lines: tuple[int, ...] = ()
    message: str
    do: str
    file: str = ""
    counted_in: CountedIn = "lines"

    def format_places(self, limit: int = 3) -> str:
        """`line 3`, or `rows 2, 5, 9 (4 more)`; empty when the problem is the whole file's."""
        word = self.counted_in.removesuffix("s") if len(self.lines) == 1 else self.counted_in
        return f"{word} {truncate_list(self.lines, limit)}" if self.lines else ""


class Dataset(Record):
    """A data set as read: which files, which shape, how many examples, and the fingerprint of their content."""

    name: str
    shape: DataFormat
    files: tuple[SourceFile, ...]
    columns: dict[str, str]
    examples: int
    content: str


class CheckReport(Record):
    """Every problem of a data set, worst first. Errors must be mended before anything is trained."""

    dataset: Dataset
    model: str | None
    problems: tuple[Problem, ...]

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that stop a run."""
        return tuple(problem for problem in self.problems if problem.severity == "error")


class Split(Record):
    """Which example ids are on which side, and how that was decided. The same data and seed give the same split."""

    seed: int
    method: Literal["hash", "given", "given-test"]
    grouped_by: str | None
    stratified: bool
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
