"""Shared assumptions of this package: the significance level, checked scores, grouped examples.

N examples, G groups.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

ALPHA = 0.05
Z = float(special.ndtri(1 - ALPHA / 2))
"""Half-width of a normal 95 % interval in standard errors: 1.96."""
ZERO_TOLERANCE = 1e-9  # a standard deviation below this is rounding error
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]


def check_scores(values: ArrayLike, *, low: float, high: float) -> FloatArray:
    """The values as a one-dimensional float array, all in [low, high].

    Errors: ValueError, also for NaN, which must never be averaged.
    """
    array_N = np.asarray(values, dtype=np.float64)
    if array_N.ndim != 1:
        raise ValueError(f"expected one score per example, found an array of shape {array_N.shape}")
    if not ((array_N >= low) & (array_N <= high)).all():  # NaN fails both comparisons
        raise ValueError(f"every score must be a number in [{low:g}, {high:g}]")
    return array_N


def is_binary(scores_N: FloatArray) -> bool:
    """Whether every score is 0 or 1."""
    return bool(np.isin(scores_N, (0.0, 1.0)).all())


def number_groups(groups: Sequence[str] | None, n: int) -> IntArray | None:
    """Each example's group as 0..G-1; None if no two examples share a group.

    Errors: ValueError if the number of groups differs from n.
    """
    if groups is None:
        return None
    if len(groups) != n:
        raise ValueError(f"every example needs its group: {len(groups)} groups for {n} examples")
    names, group_N = np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)
    return group_N.astype(np.intp) if len(names) < n else None
