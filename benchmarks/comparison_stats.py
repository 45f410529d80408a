"""Textbook statistics that ours are compared with, in the calibration and in the parity tests; no
verdict rests on them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from tunesmith.evaluation.stats.bootstrap import bootstrap_interval
from tunesmith.evaluation.stats.intervals import Interval
from tunesmith.evaluation.stats.significance import ALPHA, FloatArray, IntArray, check_scores
from tunesmith.evaluation.stats.standard_error import standard_error


def exact_interval(successes: int, n: int) -> Interval:
    """Clopper and Pearson's interval of successes / n, for n > 0."""
    low, high = stats.binomtest(successes, n).proportion_ci(1 - ALPHA, method="exact")
    return Interval(successes / n, float(low), float(high), n)


def t_interval(scores: ArrayLike) -> Interval:
    """The mean of at least two scores with Student's interval, clipped to [0, 1]; for comparison.

    Errors: ValueError.
    """
    scores_N = check_scores(scores, low=0.0, high=1.0)
    mean, error = float(scores_N.mean()), standard_error(scores_N)
    half = float(stats.t.ppf(1 - ALPHA / 2, error.degrees_of_freedom)) * error.value
    return Interval(mean, max(0.0, mean - half), min(1.0, mean + half), scores_N.size)


def exact_mcnemar(only_a: int, only_b: int) -> float:
    """The two-sided p-value of McNemar's exact test, which is conservative."""
    return float(stats.binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def bootstrap_mean_interval(
    values: ArrayLike,
    seed: int,
    groups: Sequence[str] | None = None,
    scale: tuple[float, float] = (0.0, 1.0),
) -> Interval:
    """The mean of scores, or with scale (-1, 1) of paired differences, with its BCa interval.

    Errors: ValueError for values outside the scale.
    """
    values_N = check_scores(values, low=scale[0], high=scale[1])
    # A mean as a function of sums: the second column counts the examples drawn.
    counts_ND = np.stack([values_N, np.ones_like(values_N)], axis=1)
    return bootstrap_interval(
        counts_ND, lambda sums: sums[..., 0] / sums[..., 1], seed, groups, scale
    )


def sandwich_error(values_N: FloatArray, group_N: IntArray) -> float:
    """The common clustered standard error (CR1), statsmodels' `cov_type="cluster"`; for
    comparison."""
    sums_G = np.bincount(group_N, weights=values_N - values_N.mean())
    return float(np.sqrt(sums_G.size / (sums_G.size - 1) * (sums_G**2).sum()) / values_N.size)
