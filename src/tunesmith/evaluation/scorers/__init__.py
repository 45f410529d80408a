"""Scorers, one a file: `(answer, reference) -> scores`. `choose_scorer` finds the one that fits the answers."""

from tunesmith.evaluation.scorers.choose import SCORERS, choose_scorer
from tunesmith.evaluation.scorers.scorer import Scorer, WholeSetMetric

__all__ = ["SCORERS", "Scorer", "WholeSetMetric", "choose_scorer"]
