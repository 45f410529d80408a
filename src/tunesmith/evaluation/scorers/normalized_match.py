"""Normalised match: equal after Unicode compatibility, case, white space and punctuation at the edges are forgiven.

"Paris." is right where "paris" is expected. Less is forgiven where that would make two expected answers one: "mW" is
not "MW" where both are in use (`data/text_folding.py`). The exact match stands beside it, to show what the forgiveness
is
worth.
"""

from collections.abc import Mapping, Sequence

from tunesmith.data.text_folding import choose_folding
from tunesmith.evaluation.scorers.exact_match import ExactScorer
from tunesmith.evaluation.scorers.scorer_protocol import CorpusMetric


class NormalizedScorer:
    """1 when answer and reference say the same, however they are written."""

    name = "normalised"
    metric = "normalised_match"
    corpus_metrics: Mapping[str, CorpusMetric] = {}

    def __init__(self, references: Sequence[str] = ()) -> None:
        self.folding = choose_folding(references)

    def score(self, answer: str, reference: str) -> dict[str, float]:
        """`normalised_match` and `exact`: 0 or 1."""
        return {
            "normalised_match": float(self.folding(answer) == self.folding(reference)),
            **ExactScorer().score(answer, reference),
        }
