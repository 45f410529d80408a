"""Scorers, one a file: `(answer, reference) -> scores`. `choose_scorer` finds the one that fits the answers."""

from tunesmith.evaluation.scorers.scorer_protocol import CorpusMetric, Scorer
from tunesmith.evaluation.scorers.scorer_registry import SCORERS, choose_scorer

__all__ = ["SCORERS", "CorpusMetric", "Scorer", "choose_scorer"]
