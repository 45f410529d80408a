"""A group of errors as each way of grouping finds it, and how it becomes a record."""

from collections.abc import Sequence
from dataclasses import dataclass

from tunesmith.analysis.rate_differences import RateDifference, adjust_p_values
from tunesmith.analysis.scored_examples import ScoredExample
from tunesmith.evaluation.stats.intervals import rate_interval
from tunesmith.evaluation.stats.score_validation import ALPHA
from tunesmith.records import ErrorGroup, ErrorGrouping, Quantity

MAX_SHOWN_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class ErrorCluster:
    """`hits` are the errors, each with the part of its loss that this group accounts for; `of` what could go wrong.

    `contrast` is None where there is no rest to compare with. `words` say what the group is, for a suggestion: two
    labels, a field and its defect, a range, the words of a topic.
    """

    by: ErrorGrouping
    name: str
    words: tuple[str, ...]
    errors: tuple[tuple[ScoredExample, float], ...]
    n: int
    rate_difference: RateDifference | None

    @property
    def cases(self) -> list[ScoredExample]:
        """The examples of the errors."""
        return [case for case, _ in self.errors]

    def estimate_gain(self, n: int) -> tuple[float | None, float]:
        """What the metric would gain if the group were as good as the rest (None: no rest), and without its errors."""
        most = sum(loss for _, loss in self.errors) / n
        if self.rate_difference is None:
            return None, most
        rate = len(self.errors) / self.n
        return most * min(1.0, max(0.0, self.rate_difference.value) / rate), most


def build_error_groups(found: Sequence[ErrorCluster], wrong: int, family: int = 0) -> list[ErrorGroup]:
    """The records of groups of one sort, p corrected over `family` of them."""
    p_values = iter(
        adjust_p_values([one.rate_difference.p for one in found if one.rate_difference is not None], family)
    )
    return [
        _build_error_group(one, wrong, next(p_values) if one.rate_difference is not None else None) for one in found
    ]


def _build_error_group(one: ErrorCluster, wrong: int, p: float | None) -> ErrorGroup:
    rate = rate_interval(len(one.errors), one.n)
    lift = one.rate_difference
    worst = sorted(one.cases, key=lambda case: (-case.loss, case.example.id))
    ids = dict.fromkeys(case.example.id for case in worst)
    return ErrorGroup(
        by=one.by,
        name=one.name,
        errors=len(one.errors),
        of=one.n,
        share=len(ids) / max(wrong, 1),
        rate=Quantity(value=rate.value, low=rate.low, high=rate.high, n=rate.n),
        lift=None if lift is None else Quantity(value=lift.value, low=lift.low, high=lift.high, n=one.n),
        p=p,
        is_beyond_noise=p is not None and p < ALPHA,
        examples=tuple(ids)[:MAX_SHOWN_EXAMPLES],
    )
