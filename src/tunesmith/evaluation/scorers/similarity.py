"""Embedding similarity: cosine similarity of answer and reference as sentence vectors.

    similarity = max(0, cosine of the two)

It tolerates different wording and cannot distinguish a fact from its opposite: for texts of which
only the gist matters. Rounded to six decimals, the precision of float32. All texts are embedded in
one call.

T distinct texts, D dimensions of a vector.
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
    """Primary metric: the mean similarity."""

    name = "similarity"
    is_free_text = True
    metric = "similarity"
    corpus_metrics: Mapping[str, CorpusMetric] = {}

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder

    def find_reference_error(self, reference: str) -> str | None:
        """An error for an empty text, which has no meaningful vector."""
        return None if reference.strip() else "it is empty"

    def score(self, answer: str, reference: str) -> dict[str, float]:
        """`similarity` in [0, 1]."""
        return score_one(self, answer, reference)

    def score_items(self, items: Sequence[ScoringInput]) -> list[dict[str, float] | ScoringFailure]:
        """One entry for each item. Each distinct text is embedded only once."""
        texts = sorted({text for item in items for text in (item.answer, item.reference)})
        if not texts:
            return []
        rows_TD = np.asarray(self.embedder.embed(texts), dtype=np.float64)
        lengths_T1 = np.linalg.norm(rows_TD, axis=1, keepdims=True)
        place = {text: i for i, text in enumerate(texts)}
        # A zero vector stays zero instead of becoming NaN.
        units_TD: FloatArray = rows_TD / np.where(lengths_T1 > 0, lengths_T1, 1.0)
        return [
            self._score_cosine(units_TD[place[item.answer]], units_TD[place[item.reference]])
            for item in items
        ]

    def _score_cosine(
        self, answer_D: FloatArray, reference_D: FloatArray
    ) -> dict[str, float] | ScoringFailure:
        cosine = float(answer_D @ reference_D)
        if not np.isfinite(reference_D).all():
            return ScoringFailure("the embedding model returned no vector for the reference")
        if not np.isfinite(cosine):
            return {self.metric: 0.0}  # no vector must not pay better than a dissimilar one
        return {self.metric: min(1.0, max(0.0, round(cosine, 6)))}
