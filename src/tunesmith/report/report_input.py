"""What a report is made of. Everything is a record that some stage left behind; the report measures nothing itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tunesmith.records import (
    Analysis,
    Answer,
    CheckReport,
    ContaminationReport,
    CostReport,
    Decision,
    Evaluation,
    Example,
    Forgetting,
    JudgeQualification,
    MaskProof,
    MetricLine,
    PowerStatement,
    Recipe,
    Run,
    Split,
)


@dataclass(frozen=True, slots=True)
class ReportInput:
    """All that a report shows.

    `run`, `mask` and `metrics` are missing where nothing was trained. `answers` by contender, `examples` by id (at
    least the test examples); `command` makes the run again; `defaults` are lines of (key, value, source) for each
    number that nobody chose. What was not asked or not measured is None; `looks` says how often this test set was
    looked at, `judge_notes` what the judge has to say for itself.
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
    power: PowerStatement | None = None
    contamination: ContaminationReport | None = None
    test_set_access: str = ""
    qualification: JudgeQualification | None = None
    judge_notes: Sequence[str] = ()
    forgetting: Forgetting | None = None
    cost: CostReport | None = None
    analysis: Analysis | None = None

    def with_analysis(self, analysis: Analysis | None) -> "ReportInput":
        """The same with what went wrong: that is asked about whoever the rest of the report is about."""
        return replace(self, analysis=analysis)
