"""Multiple comparisons: Holm's adjusted p-values, which bound the family-wise error rate by 5 %.

The smallest of m p-values is multiplied by m, the next by m - 1, and so on; none may fall below the
one before it. Valid under any dependence of the comparisons, and never stricter than Bonferroni.

Source: Holm 1979, "A simple sequentially rejective multiple test procedure".
"""

import numpy as np
from numpy.typing import ArrayLike

from tunesmith.evaluation.stats.significance import check_scores


def holm_adjust(p_values: ArrayLike) -> list[float]:
    """The adjusted p-values in the input order, to be compared with 0.05.

    Errors: ValueError for values outside [0, 1].
    """
    p_M = check_scores(p_values, low=0.0, high=1.0)
    order_M = np.argsort(p_M)
    adjusted_M = np.empty_like(p_M)
    adjusted_M[order_M] = np.minimum(
        1.0, np.maximum.accumulate(p_M[order_M] * np.arange(p_M.size, 0, -1))
    )
    return [float(p) for p in adjusted_M]
