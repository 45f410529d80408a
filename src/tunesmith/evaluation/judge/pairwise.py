"""A judge that says which of two answers is better. It is always asked twice, with the two in both orders.

Models lean towards the first (or the second) of two texts. A verdict that turns with the order is none: it counts as a
tie, and how often that happens is told (Zheng et al. 2023, "Judging LLM-as-a-judge", section 3.4).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tunesmith.evaluation.judge.counted import CountedCompleter
from tunesmith.evaluation.judge.shown import fenced, shown, shown_answer
from tunesmith.evaluation.judge.verdict import RULES, verdict_in
from tunesmith.evaluation.scorers.scorer import Unscored
from tunesmith.records import Message, Progress, Prompt

Winner = Literal["a", "b", "tie"]
RUBRIC = "The better answer is the one that is right, complete and to the point."
_FIRST_IS_A: dict[str, Winner] = {"first": "a", "second": "b", "tie": "tie"}
VERDICTS = tuple(_FIRST_IS_A)
_FIRST_IS_B: dict[str, Winner] = {"first": "b", "second": "a", "tie": "tie"}


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to one question."""

    question: str
    a: str
    b: str
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Preference:
    """Which of two is better; without consistency it is a tie."""

    winner: Winner
    is_consistent: bool


@dataclass(frozen=True, slots=True)
class PairwiseJudge:
    """Compares by a rubric."""

    name: str
    completer: CountedCompleter
    rubric: str = RUBRIC

    @property
    def verdicts(self) -> tuple[str, ...]:
        """What it may say."""
        return VERDICTS

    def preferences(self, pairs: Sequence[Pair], progress: Progress | None = None) -> list[Preference | Unscored]:
        """One for each pair, from two verdicts."""
        straight = [self._prompt(pair, pair.a, pair.b) for pair in pairs]
        swapped = [self._prompt(pair, pair.b, pair.a) for pair in pairs]
        replies = self.completer.complete([*straight, *swapped], progress) if pairs else []
        said = [verdict_in(reply, self.verdicts) for reply in replies]
        return [_joined(one, other) for one, other in zip(said[: len(pairs)], said[len(pairs) :], strict=True)]

    def _prompt(self, pair: Pair, first: str, second: str) -> Prompt:
        asked = (
            f'You compare two answers. {RULES} The verdict is "first", "second", or "tie" where neither is better.\n'
            f"What counts: {self.rubric}"
        )
        texts = [("question", shown(pair.question)), ("reference answer", shown(pair.reference))]
        parts = [fenced(kind, text) for kind, text in texts if text]
        for kind, text in (("first answer", first), ("second answer", second)):
            parts.append(fenced(kind, shown_answer(text, pair.question, pair.reference) or "(empty)"))
        return (Message("system", asked), Message("user", "\n\n".join([*parts, "Which answer is better?"])))


def _joined(straight: str | Unscored, swapped: str | Unscored) -> Preference | Unscored:
    """One preference of the verdicts in both orders."""
    if isinstance(straight, Unscored):
        return straight
    if isinstance(swapped, Unscored):
        return swapped
    one, other = _FIRST_IS_A[straight], _FIRST_IS_B[swapped]
    return Preference(one, True) if one == other else Preference("tie", False)
