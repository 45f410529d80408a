"""Exact match: the answer is the reference, character for character; only white space at the ends is forgiven."""

from collections.abc import Mapping

from tunesmith.evaluation.scorers.scorer_protocol import CorpusMetric


class ExactScorer:
    """1 when answer and reference are the same text."""

    name = "exact"
    metric = "exact"
    corpus_metrics: Mapping[str, CorpusMetric] = {}

    def score(self, answer: str, reference: str) -> dict[str, float]:
        """`exact`: 0 or 1."""
        return {"exact": float(answer.strip() == reference.strip())}
