"""Several comparisons at once: p values that keep the chance of any false one at 5 %, by Holm.

The smallest of m is multiplied by m, the next by m - 1, and so on; none may fall below one before it. Whatever the
comparisons have to do with each other, it holds, and it never asks for more than Bonferroni does.
Source: Holm 1979, "A simple sequentially rejective multiple test procedure".
"""

import numpy as np
from numpy.typing import ArrayLike

from tunesmith.evaluation.stats.score_validation import check_scores


def holm_adjust(p_values: ArrayLike) -> list[float]:
    """The adjusted p values, in the given order: to be held against 0.05. Errors: ValueError on what is no p value."""
    p_M = check_scores(p_values, low=0.0, high=1.0)
    order_M = np.argsort(p_M)
    adjusted_M = np.empty_like(p_M)
    adjusted_M[order_M] = np.minimum(1.0, np.maximum.accumulate(p_M[order_M] * np.arange(p_M.size, 0, -1)))
    return [float(p) for p in adjusted_M]
