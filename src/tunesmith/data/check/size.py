"""Too few examples to learn from, or to measure with."""

from collections.abc import Iterator

from tunesmith.data.check.context import CheckContext
from tunesmith.records import Problem

FEWEST = 10
"""Below this no side of a split means anything."""

FEW = 200
"""A fifth of 200 is 40 test examples: a score of 50 % then has a 95 % interval of about ±15 points."""


def check_size(context: CheckContext) -> Iterator[Problem]:
    import numpy as np

    sorted_E = np.sort(context.prompt_hashes_E)
    different = int(np.count_nonzero(sorted_E[1:] != sorted_E[:-1])) + (len(sorted_E) > 0)
    if different < FEW:
        yield Problem(
            code="data/too-few",
            severity="error" if different < FEWEST else "warning",
            count=different,
            message=f"The number of different prompts is only {different:,}; intervals will be wide below {FEW}.",
            do=f"give at least {FEWEST}, better {FEW} or more",
            file=context.loaded.parts[0].file,
        )
