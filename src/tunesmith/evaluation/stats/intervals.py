"""95 % intervals for a rate and for a mean of scores in [0, 1].

Rate: Wilson's score interval, which keeps its coverage near 0 and 1 where the textbook interval collapses
(Brown, Cai, DasGupta 2001, "Interval estimation for a binomial proportion").
Mean: Student's t, cut at 0 and 1.

When every score is the same the sample shows no spread, yet the next example may differ. With 95 % confidence at most
the share u = 1 - 0.025^(1/n) of all examples differs from what was seen n times (Clopper and Pearson's bound for 0 of
n), and a score can be no further off than the ends of its scale. So the interval is never of width zero.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

ALPHA = 0.05
SAME = 1e-9  # a spread below this is rounding
FloatArray = NDArray[np.float64]


class Interval(NamedTuple):
    """`value` in [`low`, `high`] from `n` observations. With n = 0 nothing is known: 0 in [0, 1]."""

    value: float
    low: float
    high: float
    n: int


def rate_interval(successes: int, n: int) -> Interval:
    """Wilson's score interval of successes / n. Errors: ValueError unless 0 <= successes <= n."""
    if not 0 <= successes <= n:
        raise ValueError(f"a rate needs 0 <= successes <= n, not {successes} of {n}")
    if n == 0:
        return Interval(0.0, 0.0, 1.0, 0)
    low, high = stats.binomtest(successes, n).proportion_ci(1 - ALPHA, method="wilson")
    return Interval(successes / n, float(low), float(high), n)


def mean_interval(scores: ArrayLike) -> Interval:
    """The mean of scores in [0, 1]; scores that are all 0 or 1 are a rate. Errors: ValueError on anything else."""
    scores_N = checked(scores, low=0.0, high=1.0)
    n = scores_N.size
    if np.isin(scores_N, (0.0, 1.0)).all():
        return rate_interval(int(scores_N.sum()), n)
    mean = float(scores_N.mean())
    if n == 1 or np.ptp(scores_N) < SAME:
        return Interval(mean, *unseen_range(mean, n, 0.0, 1.0), n)
    half = float(stats.t.ppf(1 - ALPHA / 2, n - 1) * scores_N.std(ddof=1) / np.sqrt(n))
    return Interval(mean, max(0.0, mean - half), min(1.0, mean + half), n)


def unseen_range(value: float, n: int, low: float, high: float) -> tuple[float, float]:
    """Where the mean may lie after n observations of `value` on the scale [low, high]; see the head of this file."""
    unseen = 1 - (ALPHA / 2) ** (1 / n)
    return value - unseen * (value - low), value + unseen * (high - value)


def checked(values: ArrayLike, *, low: float, high: float) -> FloatArray:
    """A one-dimensional float array inside [low, high]. Errors: ValueError; NaN is never averaged away."""
    array_N = np.asarray(values, dtype=np.float64)
    if array_N.ndim != 1:
        raise ValueError(f"expected one score per example, found an array of shape {array_N.shape}")
    if not ((array_N >= low) & (array_N <= high)).all():  # NaN fails both comparisons
        raise ValueError(f"every score must be a number in [{low:g}, {high:g}]")
    return array_N
