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
    repeated = np.flatnonzero(is_repeated_E).tolist()
    yield from context.problems(
        "duplicate",
        "warning",
        repeated,
        f"repeat an earlier one exactly{_first_pair(context.examples, repeated)}",
        "nothing: each is used once, on one side of the split; take them out if that is not meant",
    )


def _first_pair(examples: Sequence[Example], repeated: Sequence[int]) -> str:
    if not repeated:
        return ""
    later = examples[repeated[0]]
    earlier = next(example for example in examples if example.id == later.id)
    return f": {later.named_place} is {earlier.named_place}"


def find_first(examples: Sequence[Example]) -> "np.ndarray":
    """Positions of the first example of each content, in order. An id is 64 bits in hex."""
    import numpy as np

    ids_E = np.fromiter((int(example.id, 16) for example in examples), np.uint64, len(examples))
    _, first_D = np.unique(ids_E, return_index=True)
    return np.sort(first_D)
