"""Exact duplicates: the same content twice. The first one is used, the others are reported."""

from collections.abc import Iterator, Sequence

from tunesmith.data.check.context import CheckContext
from tunesmith.records import Problem


def check_duplicates(context: CheckContext) -> Iterator[Problem]:
    """A warning for every example whose content occurred before, with the first pair."""
    import numpy as np

    is_repeated_E = np.ones(len(context.examples), bool)
    is_repeated_E[context.first_D] = False
    repeated = np.flatnonzero(is_repeated_E).tolist()
    yield from context.report_problems(
        "duplicate",
        "warning",
        repeated,
        f"repeat an earlier one exactly{_first_pair(context, repeated)}",
        "no action needed: each is used once, in one split; remove them if they are unintended",
    )


def _first_pair(context: CheckContext, repeated: Sequence[int]) -> str:
    if not repeated:
        return ""
    earlier, later = (context.ids_E == context.ids_E[repeated[0]]).nonzero()[0][:2].tolist()
    return f": {context.examples[later].named_place} is {context.examples[earlier].named_place}"
