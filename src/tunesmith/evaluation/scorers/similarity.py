"""Embedding similarity: how near answer and reference lie for a model that turns texts into points.

    similarity = max(0, cosine of the two)

It forgives other words and cannot tell a fact from its opposite: for texts whose gist counts. Rounded to six decimals,
which is what float32 holds. The texts are embedded all at once.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from tunesmith.evaluation.scorers.scorer_protocol import (
    CorpusMetric,
    FloatArray,
    ScoringFailure,
    ScoringInput,
    score_one,
)
from tunesmith.records import Embedder


class SimilarityScorer:
    """The mean similarity decides."""

    name = "similarity"
    metric = "similarity"
    corpus_metrics: Mapping[str, CorpusMetric] = {}

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder

    def find_reference_error(self, reference: str) -> str | None:
        """A text without content lies nowhere."""
        return None if reference.strip() else "it is empty"

    def score(self, answer: str, reference: str) -> dict[str, float]:
        """`similarity` in [0, 1]."""
        return score_one(self, answer, reference)

    def score_items(self, items: Sequence[ScoringInput]) -> list[dict[str, float] | ScoringFailure]:
        """Each text is embedded once, however often it stands there."""
        texts = sorted({text for item in items for text in (item.answer, item.reference)})
        if not texts:
            return []
        rows_TD = np.asarray(self.embedder.embed(texts), dtype=np.float64)
        lengths_T1 = np.linalg.norm(rows_TD, axis=1, keepdims=True)
        place = {text: i for i, text in enumerate(texts)}
        units_TD: FloatArray = rows_TD / np.where(lengths_T1 > 0, lengths_T1, 1.0)
        return [self._score_cosine(units_TD[place[item.answer]], units_TD[place[item.reference]]) for item in items]

    def _score_cosine(self, answer_D: FloatArray, reference_D: FloatArray) -> dict[str, float] | ScoringFailure:
        cosine = float(answer_D @ reference_D)
        if not np.isfinite(reference_D).all():
            return ScoringFailure("the embedding model gave no point for the reference")
        if not np.isfinite(cosine):
            return {self.metric: 0.0}  # having no point must not pay better than a far one
        return {self.metric: min(1.0, max(0.0, round(cosine, 6)))}
