"""The protocol of all scorers, and optional ones that a scorer may also implement."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from tunesmith.errors import DataError

FloatArray = NDArray[np.float64]
MAX_OUTLIER_FRACTION = 0.01
"""Maximum fraction of references that a scorer may reject; with more it is the wrong scorer."""


@dataclass(frozen=True, slots=True)
class CorpusMetric:
    """A metric in [0, 1] that is only defined over all examples, as a function of sums.

    `count(answer, reference)` returns one example's counts (D,); the counts of all examples are
    summed, and `combine` turns sums (..., D) into the metric (...). So every bootstrap resample is
    cheap.
    """

    count: Callable[[str, str], FloatArray]
    combine: Callable[[FloatArray], FloatArray]


class Scorer(Protocol):
    """Scores one answer against its reference.

    `metric` names the primary per-example score, which is the first one. In every metric 1 is best
    and 0 worst: a quantity for which lower is better must be inverted. `corpus_metrics` are further
    metrics over all examples; they are never primary.
    """

    name: str
    metric: str

    @property
    def corpus_metrics(self) -> Mapping[str, CorpusMetric]:
        """Metrics over all examples, by name; often empty."""
        ...

    def score(self, answer: str, reference: str) -> dict[str, float]:
        """Scores in [0, 1] by name, always with the same names. Any text is a valid answer: it is
        scored, never rejected.

        Errors: `DataError` if the reference is not valid for this scorer.
        """
        ...


@dataclass(frozen=True, slots=True)
class ScoringInput:
    """An answer with its reference and question."""

    answer: str
    reference: str
    question: str = ""


@dataclass(frozen=True, slots=True)
class ScoringFailure:
    """The reason why the scorer could not judge an answer. Counted and reported, never scored 0."""

    reason: str


def is_free_text(scorer: Scorer) -> bool:
    """Whether the scorer compares texts of which many are right: it declares `is_free_text = True`.
    The probability of the reference answers then says more than the score, and is reported too.
    """
    return bool(getattr(scorer, "is_free_text", False))


@runtime_checkable
class BatchScorer(Protocol):
    """A scorer that judges many answers in one call, because it uses a model or a child process, or
    may fail on single answers."""

    def score_items(self, items: Sequence[ScoringInput]) -> list[dict[str, float] | ScoringFailure]:
        """One entry for each item, in order."""
        ...


@runtime_checkable
class ParsingScorer(Protocol):
    """A scorer that parses an answer and may fail: the answer is then wrong, and reported as such.

    `failure_text` says in words what such answers lack.
    """

    failure_text: str

    def can_parse(self, answer: str) -> bool:
        """Whether the answer contains what is compared."""
        ...


def score_items(
    scorer: Scorer, items: Sequence[ScoringInput]
) -> list[dict[str, float] | ScoringFailure]:
    """One entry for each item, computed in one call if the scorer supports that."""
    if isinstance(scorer, BatchScorer):
        return scorer.score_items(items)
    return [scorer.score(item.answer, item.reference) for item in items]


def score_one(scorer: BatchScorer, answer: str, reference: str) -> dict[str, float]:
    """`Scorer.score` for a batch scorer. Errors: `DataError` if it could not judge the answer."""
    # A single answer has no list of failures to be counted in, so a failure must raise.
    [scored] = scorer.score_items([ScoringInput(answer, reference)])
    if isinstance(scored, ScoringFailure):
        raise DataError(
            "unscored",
            "answer could not be scored",
            got=scored.reason,
            hint="inspect the answer",
        )
    return scored


@runtime_checkable
class ReferenceValidator(Protocol):
    """A scorer that can validate a reference without judging it as an answer to itself."""

    def find_reference_error(self, reference: str) -> str | None:
        """Why the reference is invalid, in words; None if it is valid."""
        ...


def find_reference_error(scorer: Scorer, reference: str) -> str | None:
    """Why the scorer cannot use this reference, None if it can. By default a reference must score 1
    as an answer to itself."""
    if isinstance(scorer, ReferenceValidator):
        return scorer.find_reference_error(reference)
    # A correct answer would be scored wrong with such a reference.
    return (
        None
        if min(scorer.score(reference, reference).values()) == 1
        else "compared with itself it is not scored as correct"
    )
