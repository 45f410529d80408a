"""Scorers, one per file: `(answer, reference) -> scores`. `choose_scorer` selects one by the
answers."""

from tunesmith.evaluation.scorers.scorer_protocol import CorpusMetric, Scorer
from tunesmith.evaluation.scorers.scorer_registry import SCORERS, choose_scorer

__all__ = ["SCORERS", "CorpusMetric", "Scorer", "choose_scorer"]
