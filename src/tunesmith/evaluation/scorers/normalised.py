"""Normalised match: equal after Unicode compatibility, case, white space and punctuation at the edges are forgiven.

"Paris." is right where "paris" is wanted. The exact match stands beside it, to show what the forgiveness is worth.
"""

from collections.abc import Mapping

from tunesmith.evaluation.scorers.exact import ExactScorer
from tunesmith.evaluation.scorers.scorer import WholeSetMetric, normalised


class NormalisedScorer:
    """1 when answer and reference say the same, however they are written."""

    name = "normalised"
    metric = "normalised_match"
    whole_set: Mapping[str, WholeSetMetric] = {}

    def score(self, answer: str, reference: str) -> dict[str, float]:
        """`normalised_match` and `exact`: 0 or 1."""
        return {
            "normalised_match": float(normalised(answer) == normalised(reference)),
            **ExactScorer().score(answer, reference),
        }
