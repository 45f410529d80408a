"""How far runs lie apart that differ in their seed only: the mean, its spread, and where the mean of all seeds lies.

The interval is Student's t over the seeds. It speaks of the recipe ("tuned like this it scores ..."), not of the one
model that was kept, and it does not contain the chance of the test set, which all seeds share: that is
`intervals.mean_interval`. With two seeds t is 12.7, so it is honest and wide; three to five seeds make it useful.
"""

from collections.abc import Sequence
from typing import NamedTuple

from scipy import stats

from tunesmith.evaluation.stats.score_validation import ALPHA, check_scores
from tunesmith.evaluation.stats.standard_error import standard_error


class SeedStatistics(NamedTuple):
    """Scores of runs that differ in their seed: mean, standard deviation (n - 1), 95 % interval of the mean."""

    mean: float
    standard_deviation: float
    low: float
    high: float


def summarize_seeds(scores_by_seed: Sequence[float]) -> SeedStatistics:
    """One score a seed, in [0, 1]. Errors: ValueError with fewer than two, which show no spread, and on NaN."""
    scores_S = check_scores(scores_by_seed, low=0.0, high=1.0)
    if scores_S.size < 2:
        raise ValueError(f"the spread between seeds needs at least two, not {scores_S.size}")
    mean, error = float(scores_S.mean()), standard_error(scores_S)
    half = float(stats.t.ppf(1 - ALPHA / 2, error.degrees_of_freedom)) * error.value
    return SeedStatistics(mean, float(scores_S.std(ddof=1)), max(0.0, mean - half), min(1.0, mean + half))
