"""Interval of a metric that is only defined over all examples (macro-F1, corpus chrF), by the BCa
bootstrap.

Every such metric here is a function of sums: each example contributes a row of counts, the rows are
added, and `combine` turns the sums into the metric. A resample is then a vector of multiplicities,
and all resamples are one matrix product. Jackknife values, needed for BCa's acceleration, are the
total minus one row. If examples are grouped, whole groups are drawn (cluster bootstrap): a group's
row is the sum of its examples' rows.

A bootstrap interval is too narrow by sqrt((N - 1) / N) and uses z where Student uses t. So its
level is moved to that of t with N - 1 degrees of freedom, divided by that root: 1.9 % per side
instead of 2.5 % at N = 30, and almost no change at 1,000. No resample leaves the range of its
units, and N units lie all on one side of the truth with probability 2 / 2^N: for 5 or fewer that is
more than 5 %. Then the interval is at least as wide as if all units were equal (`unseen_range`).

A mean has this interval too (`bootstrap_mean_interval`), for comparison; `intervals` and
`paired_difference` say why it is not used.

Sources: Efron 1987, "Better bootstrap confidence intervals"; the formulas follow
scipy.stats.bootstrap, and resamples are drawn as scipy draws them, so that the values can be
compared. Hesterberg 2015, The American Statistician 69:371 (the expanded level).

N examples or groups of them, G groups, D counts per row, B resamples.
"""

from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats

from tunesmith.evaluation.stats.intervals import Interval, unseen_range
from tunesmith.evaluation.stats.significance import (
    ALPHA,
    ZERO_TOLERANCE,
    FloatArray,
    number_groups,
)

NUM_RESAMPLES = 2000
MAX_SMALL_SAMPLE_UNITS = 5  # up to here 2 / 2^N exceeds 5 %
Combine = Callable[[FloatArray], FloatArray]
"""Sums (..., D) -> the metric (...), in [0, 1]."""


def bootstrap_interval(
    counts_ND: FloatArray,
    combine: Combine,
    seed: int,
    groups: Sequence[str] | None = None,
    scale: tuple[float, float] = (0.0, 1.0),
) -> Interval:
    """The metric over all examples with its BCa interval. `scale` is its range.

    Errors: ValueError on counts that are not finite.
    """
    if not np.isfinite(counts_ND).all():
        raise ValueError("every count must be a finite number")
    n = len(counts_ND)
    if n == 0:
        return Interval(0.0, *scale, 0)
    rows_ND = _sum_by_group(counts_ND, groups)
    total_D = rows_ND.sum(axis=0)
    value, units = float(combine(total_D)), len(rows_ND)
    resampled_B = combine(_draw_multiplicities(units, seed) @ rows_ND)
    # All resamples equal: no variance to estimate from.
    if np.ptp(resampled_B) < ZERO_TOLERANCE:
        return Interval(value, *unseen_range(value, units, *scale), n)
    left_out_N = combine(total_D - rows_ND)
    low, high = np.quantile(
        resampled_B,
        _compute_bca_levels(value, resampled_B, left_out_N, compute_expanded_level(units)),
    )
    if units <= MAX_SMALL_SAMPLE_UNITS:
        unseen_low, unseen_high = unseen_range(value, units, *scale)
        low, high = min(low, unseen_low), max(high, unseen_high)
    return Interval(value, float(low), float(high), n)


def compute_expanded_level(n: int) -> float:
    """The probability to leave out on each side so that the interval is as wide as Student's."""
    return float(stats.norm.cdf(stats.t.ppf(ALPHA / 2, n - 1) * np.sqrt(n / (n - 1))))


def _sum_by_group(counts_ND: FloatArray, groups: Sequence[str] | None) -> FloatArray:
    """The counts summed by group: (G, D); without groups unchanged."""
    group_N = number_groups(groups, len(counts_ND))
    if group_N is None:
        return counts_ND
    rows_GD = np.zeros((int(group_N.max()) + 1, counts_ND.shape[1]))
    np.add.at(rows_GD, group_N, counts_ND)
    return rows_GD


def _draw_multiplicities(n: int, seed: int) -> FloatArray:
    """How often each example or group occurs in each resample: (B, N)."""
    # One bincount for all resamples: offsetting each by a multiple of n keeps them apart.
    chosen_BN = np.random.default_rng(seed).integers(0, n, (NUM_RESAMPLES, n))
    offsets_B1 = np.arange(NUM_RESAMPLES)[:, None] * n
    flat = np.bincount((chosen_BN + offsets_B1).ravel(), minlength=NUM_RESAMPLES * n)
    return flat.reshape(NUM_RESAMPLES, n).astype(np.float64)


def _compute_bca_levels(
    value: float, resampled_B: FloatArray, left_out_N: FloatArray, tail: float
) -> tuple[float, float]:
    """The two quantile levels that correct the percentile interval for bias (z0) and skewness
    (acceleration)."""
    # Ties count half, as in scipy: discrete metrics give many resamples equal to the value.
    share_below = ((resampled_B < value).mean() + (resampled_B <= value).mean()) / 2
    z0 = stats.norm.ppf(share_below)
    deviations_N = left_out_N.mean() - left_out_N
    spread = (deviations_N**2).sum() ** 1.5
    acceleration = (deviations_N**3).sum() / (6 * spread) if spread > 0 else 0.0
    if not np.isfinite(z0):  # the value lies outside all resamples: no correction exists
        return tail, 1 - tail

    def level(quantile: float) -> float:
        z = z0 + quantile
        shrunk = 1 - acceleration * z
        # At the pole of the correction the level is 0 or 1.
        return float(stats.norm.cdf(z0 + z / shrunk)) if shrunk > 0 else float(z > 0)

    quantile = float(stats.norm.ppf(tail))  # for 2 units `tail` is 1e-72, and 1 - tail would be 1
    return level(quantile), level(-quantile)
