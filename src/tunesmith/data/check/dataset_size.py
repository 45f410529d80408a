"""Too few examples to train on or to measure with."""

from collections.abc import Iterator

from tunesmith.data.check.context import CheckContext
from tunesmith.records import Problem

MIN_EXAMPLES = 10
"""With fewer examples no split is meaningful."""

MIN_RECOMMENDED_EXAMPLES = 200
"""A fifth of 200 is 40 test examples: a score of 50 % then has a 95 % interval of ±15 points."""


def check_size(context: CheckContext) -> Iterator[Problem]:
    """An error below `MIN_EXAMPLES` different prompts, a warning below the recommended number."""
    import numpy as np

    sorted_E = np.sort(context.prompt_hashes_E)
    different = int(np.count_nonzero(sorted_E[1:] != sorted_E[:-1])) + (len(sorted_E) > 0)
    if different < MIN_RECOMMENDED_EXAMPLES:
        yield Problem(
            code="data/too-few",
            severity="error" if different < MIN_EXAMPLES else "warning",
            count=different,
            message=(
                f"only {different:,} distinct prompts; confidence intervals are wide below "
                f"{MIN_RECOMMENDED_EXAMPLES}"
            ),
            hint=f"provide at least {MIN_EXAMPLES}, preferably {MIN_RECOMMENDED_EXAMPLES} or more",
            file=context.loaded.spans[0].file,
        )
