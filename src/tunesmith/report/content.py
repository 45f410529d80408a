"""What a report is made of. Everything is a record that some stage left behind; the report measures nothing itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tunesmith.records import (
    Answer,
    CheckReport,
    Decision,
    Evaluation,
    Example,
    MaskProof,
    MetricLine,
    Recipe,
    Run,
    Split,
)


@dataclass(frozen=True, slots=True)
class ReportInput:
    """All that a report shows.

    `run`, `mask` and `metrics` are missing where nothing was trained. `answers` by contender, `examples` by id (at
    least the test examples); `command` makes the run again; `defaults` are lines of (key, value, source) for each
    number that nobody chose.
    """

    run: Run | None
    recipe: Recipe
    check: CheckReport
    split: Split
    mask: MaskProof | None
    metrics: Sequence[MetricLine]
    evaluation: Evaluation
    answers: Mapping[str, Sequence[Answer]]
    examples: Mapping[str, Example]
    decision: Decision
    command: str
    defaults: Sequence[tuple[str, str, str]] = ()
