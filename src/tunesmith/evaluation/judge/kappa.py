"""Cohen's kappa: agreement of two raters beyond chance, with its 95 % interval.

    kappa = (o - e) / (1 - e)      o = sum w p,  e = sum w r c

p is the table of fractions (the judge's grades in rows, people's in columns), r and c its margins,
w the weight of a pair of grades: 1 - |i - j| / (k - 1), which for two grades is 1 on the diagonal
and 0 elsewhere (Cohen 1960, 1968). The interval is the normal one with the standard error of
Fleiss, Cohen and Everitt 1969, "Large sample standard errors of kappa and weighted kappa" (values
equal statsmodels'). It is extended downward if agreement is so good that the table shows no
variance: at most a fraction 1 - 0.025^(1/n) of unseen cases disagrees completely (as in
`stats/intervals.py`).

J the judge's grades, P people's grades, N examples.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from tunesmith.evaluation.scorers.scorer_protocol import FloatArray
from tunesmith.records import Quantity

ALPHA = 0.05


def cohens_kappa(
    judge: ArrayLike, people: ArrayLike, marks: int, failed: int = 0
) -> Quantity | None:
    """Weighted kappa of two raters' grades, given as indices on a scale of `marks` grades; None if
    there are no examples, or chance alone always agrees (kappa is then undefined)."""
    judge_N, people_N = np.asarray(judge, dtype=int), np.asarray(people, dtype=int)
    n = people_N.size
    table_JP = np.zeros((marks, marks))
    np.add.at(table_JP, (judge_N, people_N), 1.0)
    if n == 0:
        return None
    weight_JP = compute_agreement_weights(marks)
    value, error, expected = compute_kappa(table_JP / n, weight_JP, n)
    if expected >= 1:
        return None
    half = float(stats.norm.ppf(1 - ALPHA / 2)) * error
    unseen = 1 - (ALPHA / 2) ** (1 / n)
    # The lower limit if a fraction `unseen` of cases disagreed completely.
    least = ((value * (1 - expected) + expected) * (1 - unseen) - expected) / (1 - expected)
    return Quantity(
        value=value,
        low=max(-1.0, min(value - half, least)),
        high=min(1.0, value + half),
        n=n,
        n_failed=failed,
    )


def compute_agreement_weights(marks: int) -> FloatArray:
    """The agreement of each pair of grades, in [0, 1]: [marks, marks]."""
    place = np.arange(marks)
    weight: FloatArray = 1 - np.abs(place[:, None] - place[None, :]) / max(marks - 1, 1)
    return weight


def compute_kappa(
    share_JP: FloatArray, weight_JP: FloatArray, n: int
) -> tuple[float, float, float]:
    """(kappa, its standard error, agreement by chance)."""
    row_J, column_P = share_JP.sum(axis=1), share_JP.sum(axis=0)
    observed = float((weight_JP * share_JP).sum())
    expected = float((weight_JP * np.outer(row_J, column_P)).sum())
    if expected >= 1:
        return 0.0, 0.0, 1.0
    by_row_J, by_column_P = weight_JP @ column_P, row_J @ weight_JP
    inner_JP = weight_JP * (1 - expected) - (by_row_J[:, None] + by_column_P[None, :]) * (
        1 - observed
    )
    variance = (share_JP * inner_JP**2).sum() - (observed * expected - 2 * expected + observed) ** 2
    # Rounding can make the variance of a perfect table slightly negative.
    error = float(np.sqrt(max(variance, 0.0) / n)) / (1 - expected) ** 2
    return (observed - expected) / (1 - expected), error, expected
