"""Exact duplicates: the same content twice. The first of each stays, the others are reported."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tunesmith.data.check.context import CheckContext
from tunesmith.records import Example, Problem

if TYPE_CHECKING:
    import numpy as np


def check_duplicates(context: CheckContext) -> Iterator[Problem]:
    import numpy as np

    is_repeated_E = np.ones(len(context.examples), bool)
    is_repeated_E[find_first(context.examples)] = False
    yield from context.problems(
        "duplicate",
        "warning",
        np.flatnonzero(is_repeated_E).tolist(),
        "repeat an earlier one exactly",
        "nothing: each is used once, on one side of the split; take them out if that is not meant",
    )


def find_first(examples: Sequence[Example]) -> "np.ndarray":
    """Positions of the first example of each content, in order. An id is 64 bits in hex."""
    import numpy as np

    ids_E = np.fromiter((int(example.id, 16) for example in examples), np.uint64, len(examples))
    _, first_D = np.unique(ids_E, return_index=True)
    return np.sort(first_D)
