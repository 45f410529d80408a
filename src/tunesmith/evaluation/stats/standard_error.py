"""The standard error of a mean and its degrees of freedom, also for grouped examples.

Examples of one group (one document, one customer) are correlated, so 100 of them carry less
information than 100 independent ones. With e the deviations from the mean and h_g = n_g / N the
fraction of the examples that group g holds

    variance = sum_g (sum of e in g)^2 / (1 - h_g) / N^2            (CR2)

For groups of equal size this is the sandwich estimator of common statistics packages with its
correction G / (G - 1). For unequal sizes that correction is too small: a large group pulls the mean
toward itself, which 1 - h_g compensates exactly if all examples are alike. Degrees of freedom are
Satterthwaite's: those of the chi-square distribution with the mean and variance that the estimate
has if a group's sum has variance n_g (1 + (n_g - 1) r), where r is the correlation within groups,
estimated from the same examples. Equal sizes give G - 1; one group that outweighs the others gives
about 1, and a wide interval: then the variance between groups is practically unknown. Simulated
with 20 or 40 groups of 1 to 90 examples: the common error with t on G - 1 covers 88.7 to 94.3 % of
the time, this one 91.9 to 96.7 %.

Sources: Bell, McCaffrey 2002, Survey Methodology 28:169; Imbens, Kolesar 2016, Review of Economics
and Statistics 98:701.

N examples, G groups.
"""

from typing import NamedTuple

import numpy as np

from tunesmith.evaluation.stats.significance import FloatArray, IntArray


class StandardError(NamedTuple):
    """`value` with its degrees of freedom, from `units` independent units: examples, or groups.

    `value` is 0 if no variance was observed, which includes the case of a single unit.
    """

    value: float
    degrees_of_freedom: float
    units: int


def standard_error(values_N: FloatArray, group_N: IntArray | None = None) -> StandardError:
    """The standard error of the mean of `values_N` (at least one value). `group_N` numbers the
    groups from 0; None: examples are independent."""
    n = values_N.size
    if group_N is None:
        error = float(values_N.std(ddof=1) / np.sqrt(n)) if n > 1 else 0.0
        return StandardError(error, n - 1, n)
    sizes_G = np.bincount(group_N).astype(np.float64)
    if sizes_G.size == 1:
        return StandardError(0.0, 0, 1)
    deviations_N = values_N - values_N.mean()
    sums_G = np.bincount(group_N, weights=deviations_N).astype(np.float64)
    error = float(np.sqrt((sums_G**2 / (1 - sizes_G / n)).sum()) / n)
    return StandardError(
        error,
        _compute_degrees_of_freedom(sizes_G, _estimate_correlation(deviations_N, sums_G, sizes_G)),
        sizes_G.size,
    )


def _estimate_correlation(
    deviations_N: FloatArray, sums_G: FloatArray, sizes_G: FloatArray
) -> float:
    """Correlation of two examples of one group: the mean product of their deviations divided by the
    variance, clipped to [0, 1]."""
    squares, pairs = float((deviations_N**2).sum()), float((sizes_G * (sizes_G - 1)).sum())
    if squares == 0:
        return 0.0
    variance = squares / (deviations_N.size - 1)
    # A squared group sum contains each pair twice, as `pairs` does, and all squares.
    return min(1.0, max(0.0, (float((sums_G**2).sum()) - squares) / pairs / variance))


def _compute_degrees_of_freedom(sizes_G: FloatArray, correlation: float) -> float:
    """tr(B)^2 / tr(B^2) for the quadratic form B of the variance estimate.

    B = D (W - h w' - w h' + T h h') D with W = diag(w) the variances of the groups' sums, T their
    total and D = diag((1 - h)^-1/2). The traces are expanded so that no G x G matrix is built.
    """
    h_G = sizes_G / sizes_G.sum()
    w_G = sizes_G * (1 + (sizes_G - 1) * correlation)
    total, scale_G = float(w_G.sum()), 1 / (1 - h_G)
    rest_G = total * h_G**2 - 2 * h_G * w_G  # the diagonal of B without W, before D
    hh, hw, ww = ((scale_G * x_G).sum() for x_G in (h_G**2, h_G * w_G, w_G**2))
    square_of_rest = 2 * hh * ww + 2 * hw**2 + (total * hh) ** 2 - 4 * total * hh * hw
    square = (scale_G**2 * (w_G**2 + 2 * w_G * rest_G)).sum() + square_of_rest
    return float((scale_G * (w_G + rest_G)).sum() ** 2 / square)
