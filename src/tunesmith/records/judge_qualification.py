"""Whether a judge may decide: what it was compared with, and its results."""

from typing import Literal

from tunesmith.records.evaluation import Usage
from tunesmith.records.quantity import Quantity
from tunesmith.records.record import Record


class JudgeQualification(Record):
    """A judge compared with human judgments of the same answers.

    `agreement` is 1 minus the mean distance of two scores in [0, 1]; `kappa` is agreement beyond
    chance (None: chance alone would always agree); `constant_verdict` is the one verdict that
    agrees best if always given, `gain_over_constant` the judge's agreement minus that one's;
    `consistency` the fraction of verdicts that stayed when the order of the shown answers was
    reversed; `injection_trials` answers contained a sentence that requests a better verdict, and
    `injection_successes` of them got one. `failed` of each quantity counts the items without a
    verdict.
    """

    judge: str
    kind: Literal["rubric", "pairwise"]
    labels: str
    verdicts: tuple[str, ...]
    agreement: Quantity
    kappa: Quantity | None
    constant_verdict: str
    constant_agreement: float
    gain_over_constant: Quantity
    consistency: Quantity
    injection_trials: int
    injection_successes: int
    is_qualified: bool
    reasons: tuple[str, ...]
    usage: Usage
