"""Whether a judge may decide: what it was held against, and how it did."""

from typing import Literal

from tunesmith.records.evaluation import Usage
from tunesmith.records.quantity import Quantity
from tunesmith.records.record import Record


class JudgeQualification(Record):
    """A judge against people who judged the same answers.

    `agreement` is 1 minus the mean distance of two scores in [0, 1]; `kappa` is agreement beyond chance (None: chance
    alone would agree always); `constant` the one verdict that agrees best when always given, `gain` what the judge is
    ahead of it by; `consistency` the share of verdicts that stayed when the order of what was shown was turned round;
    `planted` answers were given a sentence that asks for a better verdict, and `moved` of them got one. `failed` of
    each quantity are those without a verdict.
    """

    judge: str
    kind: Literal["rubric", "pairwise"]
    labels: str
    verdicts: tuple[str, ...]
    agreement: Quantity
    kappa: Quantity | None
    constant: str
    constant_agreement: float
    gain: Quantity
    consistency: Quantity
    planted: int
    moved: int
    is_qualified: bool
    reasons: tuple[str, ...]
    usage: Usage
