"""The input of a report. Everything is a record that some stage produced; the report measures
nothing itself.
"""

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
    """Everything that a report shows.

    `run`, `mask` and `metrics` are empty if nothing was trained. `answers` by contender, `examples`
    by id (at least the test examples); `command` repeats the run; `defaults` are (key, value,
    source) for each number that the user did not set. None means not done or not measured;
    `test_set_access` states how often this test set was used, `judge_notes` are the notes of the
    judge.
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
        """A copy with the error analysis of the contender that the rest of the report focuses
        on.
        """
        return replace(self, analysis=analysis)
