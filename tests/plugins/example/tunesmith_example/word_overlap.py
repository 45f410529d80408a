"""A scorer: how many words an answer and its reference share, as a part of all their words
(Jaccard's index).

    score = |A ∩ R| / |A ∪ R|        A, R: the sets of words of answer and reference, whatever their
    case

Source: P. Jaccard, The distribution of the flora in the alpine zone, New Phytologist 11 (1912).
"""

from collections.abc import Mapping

from tunesmith.evaluation.scorers import CorpusMetric


class WordOverlapScorer:
    """1 when both have the same words, 0 when they share none."""

    name = "word-overlap"  # the name of its entry point
    metric = "word_overlap"
    is_free_text = True  # many texts are right, so how likely the reference is gets reported too
    corpus_metrics: Mapping[str, CorpusMetric] = {}

    def score(self, answer: str, reference: str) -> dict[str, float]:
        """`word_overlap` in [0, 1]."""
        found, wanted = set(answer.casefold().split()), set(reference.casefold().split())
        return {"word_overlap": len(found & wanted) / max(1, len(found | wanted))}
