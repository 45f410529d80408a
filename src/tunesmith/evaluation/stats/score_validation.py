"""What every file of this folder takes for granted: the level, checked scores, examples that come in groups.

N examples, G groups.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

ALPHA = 0.05
Z = float(special.ndtri(1 - ALPHA / 2))
"""Standard errors on either side of a normal 95 % interval."""
ZERO_TOLERANCE = 1e-9  # a spread below this is rounding
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]


def check_scores(values: ArrayLike, *, low: float, high: float) -> FloatArray:
    """A one-dimensional float array inside [low, high]. Errors: ValueError; NaN is never averaged away."""
    array_N = np.asarray(values, dtype=np.float64)
    if array_N.ndim != 1:
        raise ValueError(f"expected one score per example, found an array of shape {array_N.shape}")
    if not ((array_N >= low) & (array_N <= high)).all():  # NaN fails both comparisons
        raise ValueError(f"every score must be a number in [{low:g}, {high:g}]")
    return array_N


def is_binary(scores_N: FloatArray) -> bool:
    """Every score is 0 or 1."""
    return bool(np.isin(scores_N, (0.0, 1.0)).all())


def number_groups(groups: Sequence[str] | None, n: int) -> IntArray | None:
    """Each example's group as 0..G-1; None where no two examples share one. Errors: ValueError when not one each."""
    if groups is None:
        return None
    if len(groups) != n:
        raise ValueError(f"every example needs its group: {len(groups)} groups for {n} examples")
    names, group_N = np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)
    return group_N.astype(np.intp) if len(names) < n else None
