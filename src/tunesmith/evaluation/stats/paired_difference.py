"""Is contender a better than contender b? The paired difference on the same examples, with its
interval and p-value.

Right or wrong (all scores 0 or 1): McNemar's test on the examples where the two disagree, as mid-p:
the probability of the observed table counts half instead of in full. The exact test stays below 5 %
by being far below: with 20 to 50 % disagreements it has 1.3 to 2.8 % false positives at n = 30 and
2.9 to 3.7 % at n = 100, so it misses real differences. Mid-p has 3.1 to 4.7 % and 4.5 to 4.9 %, and
exceeds 5 % in none of the cases tried (Fagerland, Lydersen, Laake 2013, BMC Medical Research
Methodology 13:91). `exact_mcnemar` is there for comparison.

Its interval is Tango's score interval (Tango 1998, Statistics in Medicine 17:891), extended where
necessary to the conditional one: mid-p limits for the fraction of disagreements that a wins, times
the fraction of disagreements. The first alone would sometimes exclude 0 while p is above 0.05; the
second alone treats the fraction of disagreements as known. Together they exclude 0 exactly if
p < 0.05, as a test verifies for all tables of up to 60 disagreements.

Graded scores: Student's t on the differences, test and interval, which agree by construction. Why
not the bootstrap: if 80 % of the differences are 0 and the rest scatter around 0, BCa's interval
covers 86 % at n = 30 (14 % false positives), Student's 96 %. What t cannot detect is a difference
that rests on a few examples (15 % improve, none gets worse): its upper limit is too low (coverage
89 % at n = 30, 93 % at 100), its lower one, which claims rely on, is not.

Groups: clustered t on the differences, right or wrong or graded (`standard_error`).

No variance: if all differences, or those of all groups, are equal, there is no variance to test
against; then interval and p both come from the bound on unseen examples
(`intervals.unseen_range`): p = 2 (1 + |d|)^-n, which for d = 1 is the sign test.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special, stats

from tunesmith.evaluation.stats.intervals import unseen_range
from tunesmith.evaluation.stats.significance import (
    ALPHA,
    ZERO_TOLERANCE,
    FloatArray,
    IntArray,
    Z,
    check_scores,
    is_binary,
    number_groups,
)
from tunesmith.evaluation.stats.standard_error import StandardError, standard_error


class Difference(NamedTuple):
    """Mean of a - b in [`low`, `high`] with its two-sided p-value, from `n` examples. With n = 0 it
    is 0 in [-1, 1], p = 1.

    `test` names the source of p; `clusters` is the number of groups, None if examples are
    independent.
    """

    value: float
    low: float
    high: float
    p: float
    n: int
    test: str = "none"
    clusters: int | None = None


def paired_difference(
    a: ArrayLike, b: ArrayLike, groups: Sequence[str] | None = None
) -> Difference:
    """Compare two contenders' scores on the same examples.

    Errors: ValueError on NaN and unequal lengths.
    """
    a_N, b_N = check_pairs(a, b)
    if a_N.size == 0:
        return Difference(0.0, -1.0, 1.0, 1.0, 0)
    group_N = number_groups(groups, a_N.size)
    if group_N is None and is_binary(a_N) and is_binary(b_N):
        return rate_difference(*count_disagreements(a_N, b_N), a_N.size)
    return _compute_mean_difference(a_N - b_N, group_N)


def check_pairs(a: ArrayLike, b: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Both contenders' scores as arrays, checked. Errors: ValueError on NaN and unequal lengths."""
    a_N, b_N = check_scores(a, low=0.0, high=1.0), check_scores(b, low=0.0, high=1.0)
    if a_N.size != b_N.size:
        raise ValueError(
            f"a paired comparison needs the same examples on both sides, not {a_N.size} and"
            f" {b_N.size}"
        )
    return a_N, b_N


def count_disagreements(a_N: FloatArray, b_N: FloatArray) -> tuple[int, int]:
    """(number of examples where only a is right, number where only b is right)."""
    return int((a_N > b_N).sum()), int((b_N > a_N).sum())


def rate_difference(only_a: int, only_b: int, n: int) -> Difference:
    """The difference from counts: only a right, only b right, of n > 0 examples."""
    apart = only_a + only_b
    low, high = tango_interval(only_a, only_b, n)
    if apart:
        low = min(low, (2 * _compute_mid_p_limit(only_a, apart) - 1) * apart / n)
        high = max(high, (1 - 2 * _compute_mid_p_limit(only_b, apart)) * apart / n)
    p = min(1.0, 2 * mid_p_above(max(only_a, only_b), apart, 0.5))
    return Difference((only_a - only_b) / n, low, high, p, n, "mid-p McNemar")


def mid_p_above(wins: int, n: int, fraction: float) -> float:
    """P(X > wins) + P(X = wins) / 2 for X binomial (n, fraction): the mean of the upper tails with
    and without `wins`."""
    return (_compute_upper_tail(wins, n, fraction) + _compute_upper_tail(wins + 1, n, fraction)) / 2


def _compute_upper_tail(wins: int, n: int, fraction: float) -> float:
    if wins <= 0:
        return 1.0
    # P(X >= wins) as a regularized incomplete beta function.
    return float(special.betainc(wins, n - wins + 1, fraction)) if wins <= n else 0.0


def _compute_mid_p_limit(wins: int, n: int) -> float:
    """The smallest fraction that `wins` of n do not contradict: there the mid-p tail is 2.5 %."""
    if wins == 0:
        return 0.0
    return float(
        optimize.brentq(
            lambda share: mid_p_above(wins, n, share) - ALPHA / 2, 0.0, wins / n, xtol=1e-14
        )
    )


def tango_interval(only_a: int, only_b: int, n: int) -> tuple[float, float]:
    """The range of differences d at which Tango's score statistic stays within +-1.96."""
    value = (only_a - only_b) / n

    def excess(d: float, limit: float) -> float:
        return tango_statistic(d, only_a, only_b, n) - limit

    # At d = -1 and d = 1 the variance is 0, so the search ends just inside; if all n examples
    # are wins of one side, that end is the limit itself.
    low = (
        -1.0 if only_b == n else optimize.brentq(excess, -1.0 + 1e-12, value, args=(Z,), xtol=1e-14)
    )
    high = (
        1.0 if only_a == n else optimize.brentq(excess, value, 1.0 - 1e-12, args=(-Z,), xtol=1e-14)
    )
    return float(low), float(high)


def tango_statistic(d: float, only_a: int, only_b: int, n: int) -> float:
    """(observed - expected) / standard error at a difference of d, with the fraction that only b
    got right at its maximum-likelihood estimate under d."""
    # The estimate is a root of 2n x^2 + linear x + constant = 0 (Tango 1998).
    linear = -only_a - only_b + (2 * n - only_a + only_b) * d
    constant = -only_b * d * (1 - d)
    share_b = (np.sqrt(linear**2 - 8 * n * constant) - linear) / (4 * n)
    variance = n * (2 * share_b + d * (1 - d))
    return float((only_a - only_b - n * d) / np.sqrt(variance)) if variance > 0 else 0.0


def _compute_mean_difference(differences_N: FloatArray, group_N: IntArray | None) -> Difference:
    mean, error = float(differences_N.mean()), standard_error(differences_N, group_N)
    clusters = None if group_N is None else error.units
    if error.value < ZERO_TOLERANCE:
        low, high = unseen_range(mean, error.units, -1.0, 1.0)
        test = "bound on unseen examples" if clusters is None else "bound on unseen groups"
    else:
        half = float(stats.t.ppf(1 - ALPHA / 2, error.degrees_of_freedom)) * error.value
        low, high = max(-1.0, mean - half), min(1.0, mean + half)
        test = "paired t" if clusters is None else "clustered t"
    p = min(1.0, 2 * mean_p_above(abs(mean), error, 0.0))
    return Difference(mean, low, high, p, differences_N.size, test, clusters)


def mean_p_above(mean: float, error: StandardError, threshold: float) -> float:
    """The one-sided p-value of "the true mean difference is at most `threshold`"; the threshold
    lies in (-1, 1]."""
    # Without variance: the bound on unseen examples, solved for the level.
    if error.value < ZERO_TOLERANCE:
        return min(1.0, ((1 + threshold) / (1 + mean)) ** error.units) if mean > -1 else 1.0
    return float(stats.t.sf((mean - threshold) / error.value, error.degrees_of_freedom))
