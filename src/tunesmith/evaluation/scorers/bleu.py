"""BLEU: precision of word n-grams against the reference, with a penalty for short answers.

    BLEU = min(1, exp(1 - reference length / answer length)) * (p1 p2 p3 p4)^(1/4)

Source: Papineni et al. 2002; smoothing: Chen and Cherry 2014, method 3. sacrebleu tokenizes (as
mteval-v13a.pl does), and values equal sacrebleu's (signature tok:13a, smooth:exp); for a single
example only the orders that its answer is long enough for count. n-grams are counted here and not
by sacrebleu, which stores all of an answer's, so that its memory grows with a hostile answer.
Corpus BLEU is computed from summed counts and reported in addition to the mean.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

from tunesmith.evaluation.scorers.scorer_protocol import CorpusMetric, FloatArray

MAX_ORDER = 4
_tokenize = Tokenizer13a()  # type: ignore[no-untyped-call]  # typed in parts only


class BleuScorer:
    """Primary metric: the mean of the examples' BLEU. Corpus BLEU is reported as well."""

    name = "bleu"
    is_free_text = True
    metric = "bleu"
    corpus_metrics: Mapping[str, CorpusMetric]

    def __init__(self) -> None:
        self.corpus_metrics = {"corpus_bleu": CorpusMetric(count_bleu_ngrams, compute_bleu)}

    def score(self, answer: str, reference: str) -> dict[str, float]:
        """`bleu` in [0, 1]."""
        # Also for two empty texts, for which the formula gives 0.
        if answer.split() == reference.split():
            return {"bleu": 1.0}
        counts = count_bleu_ngrams(answer, reference)
        # The effective orders, as sacrebleu's sentence score: short answers have no 4-grams.
        orders = max(1, int((counts[2 + MAX_ORDER :] > 0).sum()))
        return {"bleu": float(compute_bleu(counts, orders))}


def count_bleu_ngrams(answer: str, reference: str) -> FloatArray:
    """(answer words, reference words, matching n-grams for n = 1..4, the answer's n-grams for
    n = 1..4): shape (10,)."""
    predicted, expected = _tokenize(answer).split(), _tokenize(reference).split()
    right, total = [], []
    for n in range(1, MAX_ORDER + 1):
        in_reference = Counter(_iterate_ngrams(expected, n))
        shared = Counter(ngram for ngram in _iterate_ngrams(predicted, n) if ngram in in_reference)
        right.append((shared & in_reference).total())
        total.append(max(len(predicted) - n + 1, 0))
    return np.array([len(predicted), len(expected), *right, *total], dtype=np.float64)


def compute_bleu(sums: FloatArray, orders: int = MAX_ORDER) -> FloatArray:
    """Counts (..., 10) -> BLEU (...), over the first `orders` orders; 0 if one of them has no
    n-gram, or no n-gram matches."""
    predicted, expected = sums[..., 0], sums[..., 1]
    right, total = sums[..., 2 : 2 + orders], sums[..., 2 + MAX_ORDER : 2 + MAX_ORDER + orders]
    is_missed = (right == 0) & (total > 0)
    # Each further order without a match halves the smoothed count once more.
    smoothed = 0.5 ** np.cumsum(is_missed, axis=-1)
    precisions = np.where(is_missed, smoothed, right) / np.maximum(total, 1)
    is_defined = (total > 0).all(axis=-1) & (right > 0).any(axis=-1)
    logs = np.log(np.where(precisions > 0, precisions, 1.0)).mean(axis=-1)
    shortness = np.minimum(0.0, 1 - expected / np.maximum(predicted, 1))
    result: FloatArray = np.where(is_defined, np.exp(logs + shortness), 0.0)
    return result


def _iterate_ngrams(words: Sequence[str], n: int) -> Iterator[tuple[str, ...]]:
    return (tuple(words[i : i + n]) for i in range(len(words) - n + 1))
