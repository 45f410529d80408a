"""Variance of runs that differ only in their seed: mean, standard deviation, and the interval of
the mean over all seeds.

The interval is Student's t over the seeds. It describes the recipe ("tuned like this it scores
..."), not the one model that was saved, and it excludes the sampling error of the test set, which
all seeds share: see `intervals.mean_interval`. With two seeds t is 12.7, so the interval is correct
but wide; three to five seeds make it useful.
"""

from collections.abc import Sequence
from typing import NamedTuple

from scipy import stats

from tunesmith.evaluation.stats.significance import ALPHA, check_scores
from tunesmith.evaluation.stats.standard_error import standard_error


class SeedStatistics(NamedTuple):
    """Scores of runs that differ in their seed: mean, standard deviation (n - 1), 95 % interval of
    the mean."""

    mean: float
    standard_deviation: float
    low: float
    high: float


def summarize_seeds(scores_by_seed: Sequence[float]) -> SeedStatistics:
    """Statistics of one score per seed, in [0, 1].

    Errors: ValueError for fewer than two scores, which have no variance, and on NaN.
    """
    scores_S = check_scores(scores_by_seed, low=0.0, high=1.0)
    if scores_S.size < 2:
        raise ValueError(f"the spread between seeds needs at least two, not {scores_S.size}")
    mean, error = float(scores_S.mean()), standard_error(scores_S)
    half = float(stats.t.ppf(1 - ALPHA / 2, error.degrees_of_freedom)) * error.value
    return SeedStatistics(
        mean, float(scores_S.std(ddof=1)), max(0.0, mean - half), min(1.0, mean + half)
    )
