"""Scorers, one per file: `(answer, reference) -> scores`. `choose_scorer` selects one by the
answers."""

from tunesmith.evaluation.scorers.scorer_protocol import CorpusMetric, Scorer
from tunesmith.evaluation.scorers.scorer_registry import SCORERS, build_scorer, choose_scorer

__all__ = ["SCORERS", "CorpusMetric", "Scorer", "build_scorer", "choose_scorer"]
