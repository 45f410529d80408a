"""SQuAD: equality and word F1 of normalized texts, the best over multiple targets, as in
inspect_ai's `f1` and `exact`.

    f1 = 2 P R / (P + R), P and R over the multiset of words that both have

Normalization: split at spaces and hyphens, case folded, ASCII punctuation and the words a, an, the
removed; a word that is a number becomes its float form (5 is 5.0). Rounded to two decimals, as
there. A target without any other words is never right. `squad` makes F1 the primary metric,
`squad:exact` equality.

A reference is a target, or multiple targets as a JSON list of strings.

Source: Rajpurkar et al. 2016, "SQuAD", and scorer/_classification.py of UKGovernmentBEIS/inspect_ai
0.3.285.
"""

import math
import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence

from tunesmith.errors import RecipeError
from tunesmith.evaluation.scorers.match import parse_targets
from tunesmith.evaluation.scorers.scorer_protocol import CorpusMetric

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


class SquadScorer:
    """Primary metric: mean F1, or with `exact` the fraction of equal answers.

    Errors: `RecipeError` for another word.
    """

    name = "squad"
    corpus_metrics: Mapping[str, CorpusMetric] = {}

    @classmethod
    def from_option(cls, deciding: str, references: Sequence[str]) -> "SquadScorer":
        """`squad:exact`: which of the two metrics decides. Errors: `RecipeError`."""
        return cls(deciding)

    def __init__(self, deciding: str = "f1") -> None:
        if deciding not in ("f1", "exact"):
            raise RecipeError(
                "bad-squad",
                "scorer squad takes f1 or exact",
                at="evaluation.scorer",
                got=deciding,
                hint="write squad, or squad:exact",
            )
        self.metric = f"squad_{deciding}"

    def find_reference_error(self, reference: str) -> str | None:
        """An error if normalization leaves no word."""
        return (
            None
            if any(map(split_normalized_words, parse_targets(reference)))
            else "nothing is left of it without articles"
        )

    def score(self, answer: str, reference: str) -> dict[str, float]:
        """`squad_f1` in [0, 1] and `squad_exact`: 0 or 1, the deciding one first."""
        predicted = split_normalized_words(answer)
        expected = [
            words
            for target in parse_targets(reference)
            if (words := split_normalized_words(target))
        ]
        scores = {
            # A target without words is left out, so no answer can match it.
            "squad_f1": max(
                (round(_compute_f1(predicted, words), 2) for words in expected), default=0.0
            ),
            "squad_exact": float(predicted in expected),
        }
        return {self.metric: scores[self.metric], **scores}


def split_normalized_words(text: str) -> list[str]:
    """The words of a text after normalization."""
    return " ".join(_normalize_token(token) for token in re.split(" |-", text)).split()


def _normalize_token(token: str) -> str:
    token = token.casefold()
    stripped = token.strip(string.whitespace + string.punctuation)
    # The order of inspect_ai: a number is recognized before punctuation is removed, so that 1.5
    # does not become 15.
    number = next((one for one in (token, stripped) if _is_number(one)), None)
    if number is not None:
        return str(float(number))
    bare = token.translate(_WITHOUT_PUNCTUATION)
    return _ARTICLES.sub(" ", str(float(bare)) if _is_number(bare) else bare)


def _is_number(text: str) -> bool:
    try:
        # `float` accepts "nan" and "inf", which are words here.
        return len(text) <= 1_000 and math.isfinite(float(text))
    except ValueError:
        return False


def _compute_f1(predicted: list[str], expected: list[str]) -> float:
    shared = (Counter(predicted) & Counter(expected)).total()
    return 2 * shared / (len(predicted) + len(expected))
