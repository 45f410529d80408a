"""Match: the answer begins with, ends with, contains or equals one of the targets, as in
inspect_ai's `match` and `includes`.

    match[:WORDS]     words joined by +: begin, end (the default), any, exact or fuzzy; numeric;
                      case; punctuation

White space at both ends never counts; ASCII punctuation at both ends counts with `punctuation`,
case with `case`. With `numeric`, a target that is a number is compared with the first number of the
answer (begin), its last (end), any of them, or the whole answer (exact): words separated by white
space, without $ € £ , * _ and surrounding punctuation, parsed as floats (1e3, .5, a Unicode minus
sign or fraction), equal in their first five significant digits. A percentage is no number.

`fuzzy` is OpenAI Evals' FuzzyMatch: lower case, without ASCII punctuation and the words a, an, the,
with single spaces; then one of the two contains the other (an empty text matches only an empty
one).

A reference is a target, or multiple targets as a JSON list of strings, any of which is right.

Source: scorer/_match.py and scorer/_common.py of UKGovernmentBEIS/inspect_ai 0.3.285; its Chinese
numerals and superscripts are not supported. evals/elsuite/utils.py of openai/evals (`fuzzy_match`).
"""

import json
import math
import re
import string
import unicodedata
from collections.abc import Mapping, Sequence

from tunesmith.errors import RecipeError
from tunesmith.evaluation.scorers.scorer_protocol import CorpusMetric

POSITIONS = ("begin", "end", "any", "exact", "fuzzy")
FLAGS = ("numeric", "case", "punctuation")
_SURROUNDING_MARKS = "!?:;()[]{}'\"`"
_FLOAT = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_FORMATTING = re.compile(r"[$,£€*_]")
_LONE_POINT = re.compile(r"\.(?=\s|$|\D)")
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)
MAX_WORD_CHARACTERS = 1_000


class MatchScorer:
    """1 if a target stands at the configured position, else 0.

    Errors: `RecipeError` for unknown words.
    """

    name = "match"
    metric = "match"
    corpus_metrics: Mapping[str, CorpusMetric] = {}

    @classmethod
    def from_option(cls, words: str, references: Sequence[str]) -> "MatchScorer":
        """`match:start+words`: where a target may stand. Errors: `RecipeError`."""
        return cls(words)

    def __init__(self, words: str = "") -> None:
        given = [word for word in words.split("+") if word]
        unknown = [word for word in given if word not in (*POSITIONS, *FLAGS)]
        places = [word for word in given if word in POSITIONS] or ["end"]
        if unknown or len(places) > 1:
            raise RecipeError(
                "bad-match",
                "scorer match takes one position and flags, joined by +",
                at="evaluation.scorer",
                got=words,
                hint=(
                    f"one of {', '.join(POSITIONS)}; any of {', '.join(FLAGS)}, as in"
                    " match:begin+case"
                ),
            )
        self._position = places[0]
        self._numeric, self._case, self._punctuation = (word in given for word in FLAGS)

    def find_reference_error(self, reference: str) -> str | None:
        """Always None: any text may be a target, and a list of targets is no answer to itself."""
        return None

    def score(self, answer: str, reference: str) -> dict[str, float]:
        """`match`: 0 or 1."""
        return {
            self.metric: float(
                any(self._is_match(answer, target) for target in parse_targets(reference))
            )
        }

    def _is_match(self, answer: str, target: str) -> bool:
        if self._position == "fuzzy":
            return _is_fuzzy_match(_normalize_fuzzy(answer), _normalize_fuzzy(target))
        value, expected = answer.strip(), target.strip()
        if not self._case:
            value, expected = value.casefold(), expected.casefold()
        if self._numeric:
            number = _parse_number(_strip_formatting(expected))
            if number is not None:
                return self._has_number(_strip_formatting(value), _format_rounded(number))
        if not self._punctuation:
            value, expected = (
                text.strip(string.whitespace + string.punctuation) for text in (value, expected)
            )
        if self._position == "exact":
            return value == expected
        if self._position == "any":
            return expected in value
        return value.startswith(expected) if self._position == "begin" else value.endswith(expected)

    def _has_number(self, value: str, expected: str) -> bool:
        if self._position == "exact":
            # Here the whole answer must be the number, so no punctuation is stripped.
            number = _parse_number(value, around="")
            return number is not None and _format_rounded(number) == expected
        words = value.split() if self._position != "end" else value.split()[::-1]
        numbers = (number for word in words if (number := _parse_number(word)) is not None)
        if self._position == "any":
            return any(_format_rounded(number) == expected for number in numbers)
        first = next(numbers, None)
        return first is not None and _format_rounded(first) == expected


def _normalize_fuzzy(text: str) -> str:
    bare = text.lower().translate(_WITHOUT_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


def _is_fuzzy_match(one: str, other: str) -> bool:
    return one in other or other in one if one and other else one == other


def parse_targets(reference: str) -> list[str]:
    """The strings of a JSON list, else the reference itself."""
    if reference.startswith('["'):
        # A cheap test first: most references are plain texts.
        try:
            value = json.loads(reference)
        except (ValueError, RecursionError):
            return [reference]
        if isinstance(value, list) and all(isinstance(one, str) for one in value):
            return value
    return [reference]


def _strip_formatting(text: str) -> str:
    text = re.sub(r"\\([$,£€*_])", r"\1", text)
    return _LONE_POINT.sub("", _FORMATTING.sub("", text))


def _format_rounded(number: float) -> str:
    return format(number, ".5g")


def _parse_number(word: str, around: str = _SURROUNDING_MARKS) -> float | None:
    """The finite number that a word denotes; None if it is not a number."""
    word = word.strip(around).strip()
    if not word or len(word) > MAX_WORD_CHARACTERS:
        return None
    if not word.isascii():
        word = word.replace("\u2212", "-")
        whole, last = word[:-1], word[-1]
        # A fraction character after digits is added to them: 1½ is 1.5.
        if unicodedata.decomposition(last).startswith("<fraction>"):
            before = _parse_number(whole or "0", "")
            return (
                None
                if before is None
                else before + math.copysign(unicodedata.numeric(last), before)
            )
        # Superscripts (category No) stay as they are: NFKC would turn 10² into 102.
        word = (
            unicodedata.normalize("NFKC", word)
            if not any(unicodedata.category(c) == "No" for c in word)
            else word
        )
    if not _FLOAT.fullmatch(word):
        return None
    number = float(word)
    return number if math.isfinite(number) else None
