"""Is contender a better than contender b? The paired difference on the same examples, its interval and its p value.

Right or wrong (all scores 0 or 1): McNemar's exact test on the examples where the two disagree. Its interval is Tango's
score interval (Tango 1998, Statistics in Medicine 17:891), stretched where needed to the exact conditional one: Clopper
and Pearson's limits for the share of disagreements that a wins, times the share of disagreements. The first alone would
at times exclude 0 while the exact p is above 0.05; the second alone takes the share of disagreements as known. Together
they exclude 0 exactly when p < 0.05, as a test shows for all tables of up to 60 disagreements.

Graded scores: Student's t on the differences, test and interval, which agree by construction. When all differences are
equal there is no spread to test against; then interval and p both come from the bound on unseen examples
(`intervals.unseen_range`): p = 2 (1 + |d|)^-n, which for d = 1 is the sign test.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, stats

from tunesmith.evaluation.stats.intervals import ALPHA, SAME, FloatArray, checked, unseen_range


class Difference(NamedTuple):
    """Mean of a - b in [`low`, `high`] with its two-sided p value, from `n` examples. With n = 0: 0 in [-1, 1], p 1."""

    value: float
    low: float
    high: float
    p: float
    n: int


def paired_difference(a: ArrayLike, b: ArrayLike) -> Difference:
    """Compare two contenders' scores on the same examples. Errors: ValueError on NaN and unequal lengths."""
    a_N, b_N = checked(a, low=0.0, high=1.0), checked(b, low=0.0, high=1.0)
    if a_N.size != b_N.size:
        raise ValueError(f"a paired comparison needs the same examples on both sides, not {a_N.size} and {b_N.size}")
    if a_N.size == 0:
        return Difference(0.0, -1.0, 1.0, 1.0, 0)
    if np.isin(a_N, (0.0, 1.0)).all() and np.isin(b_N, (0.0, 1.0)).all():
        return rate_difference(int((a_N > b_N).sum()), int((b_N > a_N).sum()), a_N.size)
    return _mean_difference(a_N - b_N)


def rate_difference(only_a: int, only_b: int, n: int) -> Difference:
    """From counts: `only_a` examples that only a got right, `only_b` that only b got right, of n > 0."""
    disagreements = only_a + only_b
    p = float(stats.binomtest(only_a, disagreements).pvalue) if disagreements else 1.0
    low, high = tango_interval(only_a, only_b, n)
    if disagreements:
        exact = stats.binomtest(only_a, disagreements).proportion_ci(1 - ALPHA, method="exact")
        low = min(low, (2 * exact.low - 1) * disagreements / n)
        high = max(high, (2 * exact.high - 1) * disagreements / n)
    return Difference((only_a - only_b) / n, float(low), float(high), p, n)


def tango_interval(only_a: int, only_b: int, n: int) -> tuple[float, float]:
    """The differences d at which Tango's score statistic stays within +-1.96."""
    z = float(stats.norm.ppf(1 - ALPHA / 2))
    value = (only_a - only_b) / n

    def excess(d: float, limit: float) -> float:
        return _tango_statistic(d, only_a, only_b, n) - limit

    low = -1.0 if only_b == n else optimize.brentq(excess, -1.0 + 1e-12, value, args=(z,), xtol=1e-14)
    high = 1.0 if only_a == n else optimize.brentq(excess, value, 1.0 - 1e-12, args=(-z,), xtol=1e-14)
    return float(low), float(high)


def _tango_statistic(d: float, only_a: int, only_b: int, n: int) -> float:
    """(observed - expected) / standard error, where the share that only b got right is at its likeliest under d."""
    linear = -only_a - only_b + (2 * n - only_a + only_b) * d
    constant = -only_b * d * (1 - d)
    share_b = (np.sqrt(linear**2 - 8 * n * constant) - linear) / (4 * n)
    variance = n * (2 * share_b + d * (1 - d))
    return float((only_a - only_b - n * d) / np.sqrt(variance)) if variance > 0 else 0.0


def _mean_difference(differences_N: FloatArray) -> Difference:
    n, mean = differences_N.size, float(differences_N.mean())
    if n == 1 or np.ptp(differences_N) < SAME:
        p = min(1.0, 2 * (1 + abs(mean)) ** -float(n))
        return Difference(mean, *unseen_range(mean, n, -1.0, 1.0), p, n)
    error = float(differences_N.std(ddof=1) / np.sqrt(n))
    half = float(stats.t.ppf(1 - ALPHA / 2, n - 1)) * error
    p = float(2 * stats.t.sf(abs(mean) / error, n - 1))
    return Difference(mean, max(-1.0, mean - half), min(1.0, mean + half), p, n)
