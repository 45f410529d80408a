"""Non-inferiority: is contender a no worse than contender b by more than a margin? A cheaper
contender often need not be better.

The null hypothesis "a is worse by the margin or more" (difference <= -margin) is tested one-sided
at 2.5 %, as is usual for non-inferiority (ICH E9, 3.3.2): it is rejected exactly if the 95 %
interval of the difference lies above -margin. For right-or-wrong answers p is the larger of the two
p-values that correspond to the interval in `paired_difference`: that of Tango's statistic at
-margin (Tango 1998; Liu and others 2002, Statistics in Medicine 21:231) and the conditional mid-p.
"""

from collections.abc import Sequence
from typing import NamedTuple

from numpy.typing import ArrayLike
from scipy import stats

from tunesmith.evaluation.stats.paired_difference import (
    Difference,
    check_pairs,
    count_disagreements,
    mean_p_above,
    mid_p_above,
    paired_difference,
    tango_statistic,
)
from tunesmith.evaluation.stats.significance import is_binary, number_groups
from tunesmith.evaluation.stats.standard_error import standard_error


class NonInferiority(NamedTuple):
    """`is_non_inferior`: a is not worse than b by `margin` or more. `p` is one-sided and below
    0.025 in that case."""

    margin: float
    p: float
    is_non_inferior: bool
    difference: Difference


def non_inferiority(
    a: ArrayLike, b: ArrayLike, margin: float, groups: Sequence[str] | None = None
) -> NonInferiority:
    """Test a against b on the same examples.

    Errors: ValueError on NaN, unequal lengths, or a margin outside [0, 1).
    """
    if not 0 <= margin < 1:
        raise ValueError(f"a margin lies in [0, 1), not {margin}")
    difference = paired_difference(a, b, groups)
    a_N, b_N = check_pairs(a, b)
    group_N = number_groups(groups, a_N.size)
    if a_N.size == 0:
        p = 1.0
    elif group_N is None and is_binary(a_N) and is_binary(b_N):
        p = _compute_rate_p(*count_disagreements(a_N, b_N), a_N.size, margin)
    else:
        p = mean_p_above(difference.value, standard_error(a_N - b_N, group_N), -margin)
    return NonInferiority(margin, p, difference.low > -margin, difference)


def _compute_rate_p(only_a: int, only_b: int, n: int, margin: float) -> float:
    p = float(stats.norm.sf(tango_statistic(-margin, only_a, only_b, n)))
    apart = only_a + only_b
    # If a is worse by exactly the margin, it wins this fraction of the disagreements.
    share = (1 - margin * n / apart) / 2 if apart else 0.0
    return max(p, mid_p_above(only_a, apart, share)) if share > 0 else p
