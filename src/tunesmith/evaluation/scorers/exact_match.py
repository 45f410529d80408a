"""Exact match: answer and reference are the same text, apart from white space at both ends."""

from collections.abc import Mapping

from tunesmith.evaluation.scorers.scorer_protocol import CorpusMetric


class ExactScorer:
    """1 if answer and reference are the same text, else 0."""

    name = "exact"
    metric = "exact"
    corpus_metrics: Mapping[str, CorpusMetric] = {}

    def score(self, answer: str, reference: str) -> dict[str, float]:
        """`exact`: 0 or 1."""
        return {"exact": float(answer.strip() == reference.strip())}
