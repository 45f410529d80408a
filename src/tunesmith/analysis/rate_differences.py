"""Is a group worse than the rest? Differences of error rates with interval and one-sided p.

Two groups without common examples: Newcombe's interval (method 10 of Newcombe 1998, Statistics in
Medicine 17:873), which combines two Wilson intervals, and Fisher's exact test. With rates a, b and
their Wilson limits:

    low  = a - b - sqrt((a - a_low)^2 + (b_high - b)^2)
    high = a - b + sqrt((a_high - a)^2 + (b - b_low)^2)

Parts of the same examples (a field against the other fields): parts of one example are dependent,
so the examples are the units. With x_i of n_i wrong in the field and y_i of m_i in the others, a =
sum x / sum n, b = sum y / sum m:

    s^2 = I / (I - 1) sum (u_i - v_i)^2
    u_i = (x_i - a n_i) / sum n      v_i = (y_i - b m_i) / sum m

and Student's t with I - 1 degrees of freedom (Cochran 1977, "Sampling Techniques", 6.4).

The question is whether a group is worse, not whether it differs, so p is one-sided. Of many groups
some are bad by chance: `adjust_p_values` corrects for all that could have been found, by Holm
(`evaluation/stats/multiple_testing.py`).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from tunesmith.evaluation.stats.intervals import rate_interval
from tunesmith.evaluation.stats.multiple_testing import holm_adjust
from tunesmith.evaluation.stats.significance import ALPHA, FloatArray


class RateDifference(NamedTuple):
    """`value` = rate of the group - rate of the rest, in [`low`, `high`] (95 %); `p` for the
    hypothesis that the group is no worse.
    """

    value: float
    low: float
    high: float
    p: float


def compare_rates(errors: int, n: int, rest_errors: int, rest_n: int) -> RateDifference:
    """Two groups without common examples. If one is empty: 0 in [-1, 1], p = 1."""
    if n == 0 or rest_n == 0:
        return RateDifference(0.0, -1.0, 1.0, 1.0)
    value, low, high = newcombe_interval(errors, n, rest_errors, rest_n)
    table = [[errors, n - errors], [rest_errors, rest_n - rest_errors]]
    return RateDifference(
        value, low, high, float(stats.fisher_exact(table, alternative="greater").pvalue)
    )


def newcombe_interval(hits_a: int, n_a: int, hits_b: int, n_b: int) -> tuple[float, float, float]:
    """a - b and its 95 % interval."""
    a, b = rate_interval(hits_a, n_a), rate_interval(hits_b, n_b)
    value = a.value - b.value
    low = value - float(np.hypot(a.value - a.low, b.high - b.value))
    high = value + float(np.hypot(a.high - a.value, b.value - b.low))
    return value, low, high


def compare_parts(
    x_I: FloatArray, n_I: FloatArray, y_I: FloatArray, m_I: FloatArray
) -> RateDifference:
    """Parts of the same examples: by the second formula at the top of this module."""
    units = len(x_I)
    if n_I.sum() == 0 or m_I.sum() == 0 or units < 2:
        return RateDifference(0.0, -1.0, 1.0, 1.0)
    a, b = x_I.sum() / n_I.sum(), y_I.sum() / m_I.sum()
    influence_I = (x_I - a * n_I) / n_I.sum() - (y_I - b * m_I) / m_I.sum()
    error = float(np.sqrt(units / (units - 1) * (influence_I**2).sum()))
    value = float(a - b)
    if error == 0:  # all examples are alike: no variance to test against
        return RateDifference(value, -1.0, 1.0, 1.0)
    half = float(stats.t.ppf(1 - ALPHA / 2, units - 1)) * error
    p = float(stats.t.sf(value / error, units - 1))
    return RateDifference(value, max(-1.0, value - half), min(1.0, value + half), p)


def adjust_p_values(p_values: Sequence[float], family: int = 0) -> list[float]:
    """Holm-corrected p-values, in the given order. `family` is the number of all possible tests;
    those not listed count with p = 1.
    """
    others = max(0, family - len(p_values))
    return holm_adjust([*p_values, *[1.0] * others])[: len(p_values)]
