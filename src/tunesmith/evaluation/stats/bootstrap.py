"""Interval of a metric that only exists over all examples (macro-F1, corpus chrF), by the BCa bootstrap.

Every such metric here is a function of sums: each example contributes a row of counts, the rows are added, and
`combine` turns the sums into the metric. A resample is then a vector of multiplicities and all resamples are one matrix
product. Jackknife values, needed for BCa's acceleration, are the total minus one row.

Source: Efron 1987, "Better bootstrap confidence intervals"; the formulas follow scipy.stats.bootstrap, and the
resamples are drawn as scipy draws them, so that the numbers can be compared.

N examples, D counts per example, B resamples.
"""

from collections.abc import Callable

import numpy as np
from scipy import stats

from tunesmith.evaluation.stats.intervals import ALPHA, SAME, FloatArray, Interval, unseen_range

RESAMPLES = 2000
Combine = Callable[[FloatArray], FloatArray]
"""Sums (..., D) -> the metric (...), in [0, 1]."""


def whole_set_interval(counts_ND: FloatArray, combine: Combine, seed: int) -> Interval:
    """The metric over all examples with its BCa interval. Errors: ValueError on NaN."""
    if not np.isfinite(counts_ND).all():
        raise ValueError("every count must be a finite number")
    n = len(counts_ND)
    if n == 0:
        return Interval(0.0, 0.0, 1.0, 0)
    total_D = counts_ND.sum(axis=0)
    value = float(combine(total_D))
    resampled_B = combine(_multiplicities(n, seed) @ counts_ND)
    if np.ptp(resampled_B) < SAME:
        return Interval(value, *unseen_range(value, n, 0.0, 1.0), n)
    left_out_N = combine(total_D - counts_ND)
    low, high = np.quantile(resampled_B, _bca_levels(value, resampled_B, left_out_N))
    return Interval(value, float(low), float(high), n)


def _multiplicities(n: int, seed: int) -> FloatArray:
    """How often each example stands in each resample. Returns: (B, N)."""
    chosen_BN = np.random.default_rng(seed).integers(0, n, (RESAMPLES, n))
    offsets_B1 = np.arange(RESAMPLES)[:, None] * n
    flat = np.bincount((chosen_BN + offsets_B1).ravel(), minlength=RESAMPLES * n)
    return flat.reshape(RESAMPLES, n).astype(np.float64)


def _bca_levels(value: float, resampled_B: FloatArray, left_out_N: FloatArray) -> tuple[float, float]:
    """The quantile levels that correct the percentile interval for bias (z0) and skewness (a)."""
    share_below = ((resampled_B < value).mean() + (resampled_B <= value).mean()) / 2
    z0 = stats.norm.ppf(share_below)
    deviations_N = left_out_N.mean() - left_out_N
    spread = (deviations_N**2).sum() ** 1.5
    acceleration = (deviations_N**3).sum() / (6 * spread) if spread > 0 else 0.0
    if not np.isfinite(z0):  # the value lies outside all resamples: no correction can be computed
        return ALPHA / 2, 1 - ALPHA / 2

    def level(alpha: float) -> float:
        z = z0 + stats.norm.ppf(alpha)
        return float(stats.norm.cdf(z0 + z / (1 - acceleration * z)))

    return level(ALPHA / 2), level(1 - ALPHA / 2)
