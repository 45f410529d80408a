"""The one protocol of all scorers, and the text normalisation that several of them share."""

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
STRAY_SHARE = 0.01
"""The scorer may find fault with at most this share of the references; with more it is the wrong scorer."""
SENTENCE_MARKS = ".,;:!?。、؟،؛।"


@dataclass(frozen=True, slots=True)
class WholeSetMetric:
    """A metric in [0, 1] that only exists over all examples, as a function of sums.

    `count(answer, reference)` gives one example's counts (D,); the counts of all examples are added, and
    `combine` turns sums (..., D) into the metric (...). So any resample of the examples is cheap.
    """

    count: Callable[[str, str], FloatArray]
    combine: Callable[[FloatArray], FloatArray]


class Scorer(Protocol):
    """Scores one answer against its reference.

    `metric` names the per-example score that decides; it is the first one. In every metric 1 is best and 0 worst:
    whoever has a quantity where lower is better turns it round. `whole_set` are further metrics over all examples; they
    never decide.
    """

    name: str
    metric: str

    @property
    def whole_set(self) -> Mapping[str, WholeSetMetric]:
        """Metrics over all examples, by name; often none."""
        ...

    def score(self, answer: str, reference: str) -> dict[str, float]:
        """Scores in [0, 1] by name, always the same names. Any text may come as an answer: it is scored, never refused.

        Errors: `DataError` when the reference cannot be one for this scorer.
        """
        ...


@dataclass(frozen=True, slots=True)
class Item:
    """An answer beside its reference and the question that was asked."""

    answer: str
    reference: str
    question: str = ""


@dataclass(frozen=True, slots=True)
class Unscored:
    """There is an answer and the scorer could not judge it: why, in words. Counted and shown, never scored 0."""

    why: str


@runtime_checkable
class BatchScorer(Protocol):
    """A scorer that judges many answers together, because it asks a model or a child process, or may fail on one."""

    def score_items(self, items: Sequence[Item]) -> list[dict[str, float] | Unscored]:
        """One entry for each item, in their order."""
        ...


def score_items(scorer: Scorer, items: Sequence[Item]) -> list[dict[str, float] | Unscored]:
    """Every item judged, together where the scorer can do that."""
    if isinstance(scorer, BatchScorer):
        return scorer.score_items(items)
    return [scorer.score(item.answer, item.reference) for item in items]


def normalised(text: str) -> str:
    """NFKC, case folded, single spaces, no quotes, brackets, emphasis or sentence marks at the edges.

    Signs that change a value stay: -5, .5, 5%, C#. Text that is nothing but such marks stays as it is.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    folded = " ".join(folded.split())
    begin, end = 0, len(folded)
    while begin < end and _is_wrapping(folded[begin]):
        begin += 1
    while end > begin and (_is_wrapping(folded[end - 1]) or folded[end - 1] in SENTENCE_MARKS):
        end -= 1
    return folded[begin:end] or folded


def _is_wrapping(character: str) -> bool:
    return character in " \"'`*¿¡" or unicodedata.category(character) in ("Ps", "Pe", "Pi", "Pf")
