"""TER: the edits that turn an answer into its reference, for each word of the reference.

    one_minus_ter = max(0, 1 - (inserted + deleted + replaced + moved) / reference words)

A moved phrase is one edit. Inverted, because in every metric 1 is best: TER itself may exceed 1.
sacrebleu finds the edits (signature case:lc, tok:tercom). Its search for moved phrases takes
seconds for two texts of 400 words that share many, so longer pairs are not judged; chrF and ROUGE-L
have no such limit. Source: Snover et al. 2006, "A Study of Translation Edit Rate with Targeted
Human Annotation".
"""

from collections.abc import Mapping, Sequence

import numpy as np
from sacrebleu.metrics.ter import TER

from tunesmith.evaluation.scorers.scorer_protocol import (
    CorpusMetric,
    FloatArray,
    ScoringFailure,
    ScoringInput,
    score_one,
)

MAX_WORDS = 200
"""Words of the reference, and of the answer, up to which a pair takes about a second at most."""


class TerScorer:
    """Primary metric: the mean of the examples' 1 - TER. That of the corpus is reported as well."""

    name = "ter"
    is_free_text = True
    metric = "one_minus_ter"
    corpus_metrics: Mapping[str, CorpusMetric]

    def __init__(self) -> None:
        self.corpus_metrics = {"corpus_one_minus_ter": CorpusMetric(count_edits, compute_score)}

    def score(self, answer: str, reference: str) -> dict[str, float]:
        """`one_minus_ter` in [0, 1]. Errors: `DataError` for more than `MAX_WORDS` words."""
        return score_one(self, answer, reference)

    def score_items(self, items: Sequence[ScoringInput]) -> list[dict[str, float] | ScoringFailure]:
        """One entry for each item; a failure for more than `MAX_WORDS` words."""
        return [_score_item(item.answer, item.reference) for item in items]


def _score_item(answer: str, reference: str) -> dict[str, float] | ScoringFailure:
    words = max(len(answer.split()), len(reference.split()))
    if words > MAX_WORDS:
        return ScoringFailure(
            f"{words:,} words; TER is too slow beyond {MAX_WORDS} words, use chrf or rouge-l"
        )
    if answer.split() == reference.split():  # also two empty texts, for which there is no rate
        return {"one_minus_ter": 1.0}
    return {"one_minus_ter": float(compute_score(count_edits(answer, reference)))}


def count_edits(answer: str, reference: str) -> FloatArray:
    """(edits, words of the reference): shape (2,)."""
    statistics = TER().sentence_score(answer, [reference])
    return np.array([statistics.num_edits, statistics.ref_length], dtype=np.float64)


def compute_score(sums: FloatArray) -> FloatArray:
    """Counts (..., 2) -> 1 - TER (...), at least 0; 0 without a reference."""
    edits, words = sums[..., 0], sums[..., 1]
    result: FloatArray = np.maximum(0.0, 1 - np.where(words > 0, edits, 1) / np.maximum(words, 1))
    return result
