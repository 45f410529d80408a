"""Exact match: the same text, apart from white space at both ends. Normalized match: equality up to
Unicode compatibility, case, white space and punctuation at both ends.

"Paris." is right if "paris" is expected. Less is ignored if it would merge two expected answers:
"mW" is not "MW" if both are in use (`data/text_folding.py`). The exact match is reported as well,
to show the effect of the normalization.
"""

from collections.abc import Mapping, Sequence

from tunesmith.data.text_folding import choose_folding
from tunesmith.evaluation.scorers.scorer_protocol import CorpusMetric


class ExactScorer:
    """1 if answer and reference are the same text, else 0."""

    name = "exact"
    metric = "exact"
    corpus_metrics: Mapping[str, CorpusMetric] = {}

    def score(self, answer: str, reference: str) -> dict[str, float]:
        """`exact`: 0 or 1."""
        return {"exact": float(answer.strip() == reference.strip())}


class NormalizedScorer:
    """1 if answer and reference are equal after normalization, else 0."""

    name = "normalised"
    metric = "normalised_match"
    corpus_metrics: Mapping[str, CorpusMetric] = {}

    def __init__(self, references: Sequence[str] = ()) -> None:
        self.folding = choose_folding(references)

    @classmethod
    def from_references(cls, references: Sequence[str]) -> "NormalizedScorer":
        """The train answers say what can be forgiven."""
        return cls(references)

    def score(self, answer: str, reference: str) -> dict[str, float]:
        """`normalised_match` and `exact`: 0 or 1."""
        return {
            "normalised_match": float(self.folding(answer) == self.folding(reference)),
            **ExactScorer().score(answer, reference),
        }
