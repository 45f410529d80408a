"""A group of errors as each way of grouping finds it, and how it becomes a record."""

from collections.abc import Sequence
from dataclasses import dataclass

from tunesmith.analysis.cases import Case
from tunesmith.analysis.contrast import Contrast, corrected
from tunesmith.evaluation.stats.intervals import rate_interval
from tunesmith.evaluation.stats.scores import ALPHA
from tunesmith.records import ErrorGroup, GroupedBy, Quantity

SHOWN_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Found:
    """`hits` are the errors, each with the part of its loss that this group accounts for; `of` what could go wrong.

    `contrast` is None where there is no rest to compare with. `words` say what the group is, for a suggestion: two
    labels, a field and its defect, a range, the words of a topic.
    """

    by: GroupedBy
    name: str
    words: tuple[str, ...]
    hits: tuple[tuple[Case, float], ...]
    of: int
    contrast: Contrast | None

    @property
    def cases(self) -> list[Case]:
        """The examples of the errors."""
        return [case for case, _ in self.hits]

    def gain(self, n: int) -> tuple[float | None, float]:
        """What the metric would gain if the group were as good as the rest (None: no rest), and without its errors."""
        most = sum(loss for _, loss in self.hits) / n
        if self.contrast is None:
            return None, most
        rate = len(self.hits) / self.of
        return most * min(1.0, max(0.0, self.contrast.value) / rate), most


def as_groups(found: Sequence[Found], wrong: int, family: int = 0) -> list[ErrorGroup]:
    """The records of groups of one sort, p corrected over `family` of them."""
    p_values = iter(corrected([one.contrast.p for one in found if one.contrast is not None], family))
    return [_group(one, wrong, next(p_values) if one.contrast is not None else None) for one in found]


def _group(one: Found, wrong: int, p: float | None) -> ErrorGroup:
    rate = rate_interval(len(one.hits), one.of)
    lift = one.contrast
    worst = sorted(one.cases, key=lambda case: (-case.loss, case.example.id))
    ids = dict.fromkeys(case.example.id for case in worst)
    return ErrorGroup(
        by=one.by,
        name=one.name,
        errors=len(one.hits),
        of=one.of,
        share=len(ids) / max(wrong, 1),
        rate=Quantity(value=rate.value, low=rate.low, high=rate.high, n=rate.n),
        lift=None if lift is None else Quantity(value=lift.value, low=lift.low, high=lift.high, n=one.of),
        p=p,
        is_beyond_noise=p is not None and p < ALPHA,
        examples=tuple(ids)[:SHOWN_EXAMPLES],
    )
