"""A judge that says which of two answers is better. Each pair is judged twice, in both orders.

Models favor the first (or the second) of two texts. A verdict that depends on the order counts as a
tie, and the report says how often that happens (Zheng et al. 2023, "Judging LLM-as-a-judge",
section 3.4).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tunesmith.evaluation.judge.caching_completer import CachingCompleter
from tunesmith.evaluation.judge.prompt_sanitizer import sanitize, sanitize_answer, wrap_in_fence
from tunesmith.evaluation.judge.verdict_parsing import RULES, parse_verdict
from tunesmith.evaluation.scorers.scorer_protocol import ScoringFailure
from tunesmith.records import Message, ProgressCallback, Prompt

Winner = Literal["a", "b", "tie"]
DEFAULT_RUBRIC = "The better answer is the one that is right, complete and to the point."
_FIRST_IS_A: dict[str, Winner] = {"first": "a", "second": "b", "tie": "tie"}
VERDICTS = tuple(_FIRST_IS_A)
_FIRST_IS_B: dict[str, Winner] = {"first": "b", "second": "a", "tie": "tie"}


@dataclass(frozen=True, slots=True)
class AnswerPair:
    """Two answers to one question."""

    question: str
    a: str
    b: str
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Preference:
    """The better of two answers; a tie if the verdict depends on the order."""

    winner: Winner
    is_consistent: bool


@dataclass(frozen=True, slots=True)
class PairwiseJudge:
    """Compares two answers by a rubric."""

    name: str
    completer: CachingCompleter
    rubric: str = DEFAULT_RUBRIC

    @property
    def verdicts(self) -> tuple[str, ...]:
        """The verdicts it may give."""
        return VERDICTS

    def compare_pairs(
        self, pairs: Sequence[AnswerPair], progress: ProgressCallback | None = None
    ) -> list[Preference | ScoringFailure]:
        """One preference for each pair, combined from two verdicts."""
        straight = [self._build_prompt(pair, pair.a, pair.b) for pair in pairs]
        swapped = [self._build_prompt(pair, pair.b, pair.a) for pair in pairs]
        # Both orders in one call, so that the completer can process them in one batch.
        replies = self.completer.complete([*straight, *swapped], progress) if pairs else []
        verdicts = [parse_verdict(reply, self.verdicts) for reply in replies]
        return [
            _combine_orders(one, other)
            for one, other in zip(verdicts[: len(pairs)], verdicts[len(pairs) :], strict=True)
        ]

    def _build_prompt(self, pair: AnswerPair, first: str, second: str) -> Prompt:
        asked = (
            f'You compare two answers. {RULES} The verdict is "first", "second", or "tie" where'
            f" neither is better.\nWhat counts: {self.rubric}"
        )
        texts = [
            ("question", sanitize(pair.question)),
            ("reference answer", sanitize(pair.reference)),
        ]
        parts = [wrap_in_fence(kind, text) for kind, text in texts if text]
        for kind, text in (("first answer", first), ("second answer", second)):
            # An empty fence would look like a missing answer.
            parts.append(
                wrap_in_fence(
                    kind, sanitize_answer(text, pair.question, pair.reference) or "(empty)"
                )
            )
        return (
            Message("system", asked),
            Message("user", "\n\n".join([*parts, "Which answer is better?"])),
        )


def _combine_orders(
    straight: str | ScoringFailure, swapped: str | ScoringFailure
) -> Preference | ScoringFailure:
    """One preference from the verdicts in both orders."""
    if isinstance(straight, ScoringFailure):
        return straight
    if isinstance(swapped, ScoringFailure):
        return swapped
    # In the swapped order "first" refers to b.
    one, other = _FIRST_IS_A[straight], _FIRST_IS_B[swapped]
    return Preference(one, True) if one == other else Preference("tie", False)
