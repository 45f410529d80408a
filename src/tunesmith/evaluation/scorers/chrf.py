"""chrF: F-score of character n-grams; works for any language, without a tokenizer.

    chrF = (1 + b^2) P R / (b^2 P + R), b = 2;  P and R are means over n = 1..6, without white space

Per example, and over all examples from summed counts ("corpus chrF"). Source: Popovic 2015, "chrF:
character n-gram F-score for automatic MT evaluation". Values equal sacrebleu's (except its corpus
score, which cannot be resampled from sums).
"""

from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np

from tunesmith.evaluation.scorers.scorer_protocol import CorpusMetric, FloatArray

MAX_ORDER = 6
BETA_SQUARED = 4.0


class ChrfScorer:
    """Primary metric: the mean of the examples' chrF. Corpus chrF is reported as well."""

    name = "chrf"
    is_free_text = True
    metric = "chrf"
    corpus_metrics: Mapping[str, CorpusMetric]

    def __init__(self) -> None:
        self.corpus_metrics = {"corpus_chrf": CorpusMetric(count_chrf_ngrams, compute_chrf)}

    def score(self, answer: str, reference: str) -> dict[str, float]:
        """`chrf` in [0, 1]."""
        # Equal texts score 1 even if both are empty.
        if "".join(answer.split()) == "".join(reference.split()):
            return {"chrf": 1.0}
        return {"chrf": float(compute_chrf(count_chrf_ngrams(answer, reference)))}


def count_chrf_ngrams(answer: str, reference: str) -> FloatArray:
    """(n-grams in the answer, in the reference, in both) for n = 1..6: shape (18,)."""
    predicted, expected = "".join(answer.split()), "".join(reference.split())
    counts = []
    for n in range(1, MAX_ORDER + 1):
        in_reference = _count_ngrams(expected, n)
        shared = Counter(ngram for ngram in _iterate_ngrams(predicted, n) if ngram in in_reference)
        # As sacrebleu: an order that the reference is too short for does not count.
        comparable = max(len(predicted) - n + 1, 0) if in_reference else 0
        counts.append((comparable, in_reference.total(), (shared & in_reference).total()))
    return np.array(counts, dtype=np.float64).ravel()


def compute_chrf(sums: FloatArray) -> FloatArray:
    """Counts (..., 18) -> chrF (...). Orders for which one of the two texts is too short are
    excluded from the means."""
    predicted, expected, both = np.moveaxis(sums.reshape(*sums.shape[:-1], MAX_ORDER, 3), -1, 0)
    usable = (predicted > 0) & (expected > 0)
    orders = np.maximum(usable.sum(axis=-1), 1)
    precision = (both / np.maximum(predicted, 1) * usable).sum(axis=-1) / orders
    recall = (both / np.maximum(expected, 1) * usable).sum(axis=-1) / orders
    weighted = BETA_SQUARED * precision + recall
    result: FloatArray = (
        (1 + BETA_SQUARED) * precision * recall / np.where(weighted > 0, weighted, 1.0)
    )
    return result


def _count_ngrams(text: str, n: int) -> Counter[str]:
    return Counter(_iterate_ngrams(text, n))


def _iterate_ngrams(text: str, n: int) -> Iterator[str]:
    return (text[i : i + n] for i in range(len(text) - n + 1))
