"""Regular expressions: the reference is a pattern, or one pattern extracts the compared part of
answers and references.

    regex            the reference is a pattern that must match somewhere in the answer; an answer
                     that equals it is right, too
    regex:PATTERN    the last match of PATTERN (its first group, if it has one) must be the same in
                     both texts

Patterns are Python's, `^` and `$` match at lines. They run in a child process with a timeout, since
a pattern can take exponential time. An answer that causes this is wrong: failing must not pay
better than being wrong. Unscored is what no answer can avoid: a reference on which the pattern does
not terminate, or whose own pattern is invalid, and what remains when the total time is used up.
"""

import re
from collections.abc import Mapping, Sequence

from tunesmith.data.text_folding import normalize_answer
from tunesmith.errors import RecipeError
from tunesmith.evaluation.sandbox import SandboxLimits, TaskFailure, run_in_sandbox
from tunesmith.evaluation.scorers.scorer_protocol import (
    CorpusMetric,
    ScoringFailure,
    ScoringInput,
    score_one,
)

LIMITS = SandboxLimits(task_timeout_seconds=2.0)


class RegexScorer:
    """1 if the answer matches, else 0."""

    name = "regex"
    metric = "pattern_match"
    corpus_metrics: Mapping[str, CorpusMetric] = {}

    @classmethod
    def from_option(cls, pattern: str, references: Sequence[str]) -> "RegexScorer":
        """`regex:PATTERN`: what is asked of an answer. Errors: `RecipeError`."""
        return cls(pattern)

    def __init__(self, pattern: str = "", limits: SandboxLimits = LIMITS) -> None:
        fault = _find_pattern_error(pattern)
        if fault:
            raise RecipeError(
                "bad-pattern",
                "pattern of the scorer is not a regular expression",
                at="evaluation.scorer",
                got=fault,
                hint="use the syntax of Python's re module",
            )
        self._pattern, self._limits = pattern, limits

    def find_reference_error(self, reference: str) -> str | None:
        """An error if the reference is used as a pattern and is not a valid one."""
        return None if self._pattern else _find_pattern_error(reference)

    def score(self, answer: str, reference: str) -> dict[str, float]:
        """`pattern_match`: 0 or 1."""
        return score_one(self, answer, reference)

    def score_items(self, items: Sequence[ScoringInput]) -> list[dict[str, float] | ScoringFailure]:
        """One entry for each item, all computed in one child process."""
        if self._pattern:
            # Answers and references alternate; the slices below separate them again.
            texts = [text for item in items for text in (item.answer, item.reference)]
            matches = self._find_last_matches([(self._pattern, text) for text in texts])
            return [
                self._score_pair(answer, reference, item)
                for answer, reference, item in zip(matches[::2], matches[1::2], items, strict=True)
            ]
        matches = self._find_last_matches([(item.reference, item.answer) for item in items])
        return [self._score_match(one, item) for one, item in zip(matches, items, strict=True)]

    def _score_match(
        self, match: str | TaskFailure | None, item: ScoringInput
    ) -> dict[str, float] | ScoringFailure:
        if isinstance(match, TaskFailure):
            # A valid reference pattern that ran out of time did so on this answer.
            is_answers_fault = (
                not match.is_not_started and self.find_reference_error(item.reference) is None
            )
            return {self.metric: 0.0} if is_answers_fault else _make_failure(match)
        return {
            self.metric: float(match is not None or item.answer.strip() == item.reference.strip())
        }

    def _find_last_matches(
        self, pairs: Sequence[tuple[str, str]]
    ) -> list[str | TaskFailure | None]:
        """The last match of each (pattern, text): its text, None, or a failure."""
        pieces = [{"pattern": pattern, "text": text} for pattern, text in pairs]
        return run_in_sandbox("regex_search", None, pieces, self._limits)

    def _score_pair(
        self,
        predicted: str | TaskFailure | None,
        expected: str | TaskFailure | None,
        item: ScoringInput,
    ) -> dict[str, float] | ScoringFailure:
        """Compare the two extracted parts. A reference without a match must itself be the
        extracted part."""
        if isinstance(expected, TaskFailure):
            return _make_failure(expected)
        if isinstance(predicted, TaskFailure):
            return _make_failure(predicted) if predicted.is_not_started else {self.metric: 0.0}
        if expected is None:
            # The pattern describes answers; references may be the bare value.
            predicted, expected = predicted or item.answer, item.reference
        return {
            self.metric: float(
                predicted is not None and normalize_answer(predicted) == normalize_answer(expected)
            )
        }


def _make_failure(failed: TaskFailure) -> ScoringFailure:
    return ScoringFailure(
        f"the pattern search timed out or its result was not readable: {failed.reason}"
    )


def _find_pattern_error(pattern: str) -> str | None:
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        return f"{pattern[:80]!r}: {error}"
    return None
