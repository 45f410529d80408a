"""A group of errors as each grouping finds it, and its conversion to a record."""

from collections.abc import Sequence
from dataclasses import dataclass

from tunesmith.analysis.rate_differences import RateDifference, adjust_p_values
from tunesmith.analysis.scored_examples import ScoredExample
from tunesmith.evaluation.stats.intervals import rate_interval
from tunesmith.evaluation.stats.significance import ALPHA
from tunesmith.records import ErrorGroup, ErrorGrouping, Quantity

MAX_SHOWN_EXAMPLES = 3
"""Example ids stored with a group."""


@dataclass(frozen=True, slots=True)
class ErrorCluster:
    """`errors` are (example, the part of its loss that this group accounts for); `n` is the number
    of examples that could have this error.

    `rate_difference` is None if there is nothing to compare with. `words` identify the group for a
    suggestion: two labels, a field and its defect, a range, the words of a topic.
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
        """Gain of the metric if the group became as good as the rest (None: no rest), and if it had
        no errors.
        """
        most = sum(loss for _, loss in self.errors) / n
        if self.rate_difference is None:
            return None, most
        rate = len(self.errors) / self.n
        return most * min(1.0, max(0.0, self.rate_difference.value) / rate), most


def build_error_groups(
    clusters: Sequence[ErrorCluster], wrong: int, family: int = 0
) -> list[ErrorGroup]:
    """The records of groups of one grouping, with p corrected over `family` of them."""
    p_values = iter(
        adjust_p_values(
            [one.rate_difference.p for one in clusters if one.rate_difference is not None], family
        )
    )
    return [
        _build_error_group(one, wrong, next(p_values) if one.rate_difference is not None else None)
        for one in clusters
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
        n=one.n,
        fraction=len(ids) / max(wrong, 1),
        rate=Quantity(value=rate.value, low=rate.low, high=rate.high, n=rate.n),
        excess_rate=(
            None
            if lift is None
            else Quantity(value=lift.value, low=lift.low, high=lift.high, n=one.n)
        ),
        p=p,
        is_significant=p is not None and p < ALPHA,
        examples=tuple(ids)[:MAX_SHOWN_EXAMPLES],
    )
