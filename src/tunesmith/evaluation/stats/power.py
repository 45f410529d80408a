"""How many test examples would settle a difference: 80 % power at a two-sided 5 % level.

    n = ((z_0.975 + z_0.8) * s / d)^2        s: standard deviation of the paired differences, d: their mean

For right or wrong answers s^2 is (share of disagreements - d^2), so the observed disagreement enters by itself.
Source: Fleiss, Levin, Paik 2003, "Statistical Methods for Rates and Proportions", 13.1, in its normal form.
"""

import math

from numpy.typing import ArrayLike
from scipy import stats

from tunesmith.evaluation.stats.intervals import ALPHA, SAME, checked

POWER = 0.8


def examples_needed(differences: ArrayLike) -> int | None:
    """The n at which a difference of the observed size would be told from noise; None when there is none to tell.

    Never less than what was already looked at plus one: ask only when these examples did not settle it.
    """
    differences_N = checked(differences, low=-1.0, high=1.0)
    mean = float(differences_N.mean()) if differences_N.size else 0.0
    if abs(mean) < SAME:
        return None
    spread = float(differences_N.std(ddof=1)) if differences_N.size > 1 else 0.0
    if spread < SAME:  # then `paired.paired_difference` tests with p = 2 (1 + |d|)^-n
        wanted = math.log(2 / ALPHA) / math.log1p(abs(mean))
    else:
        wanted = ((stats.norm.ppf(1 - ALPHA / 2) + stats.norm.ppf(POWER)) * spread / mean) ** 2
    return max(differences_N.size + 1, math.ceil(wanted))
