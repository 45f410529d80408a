"""The one protocol of all scorers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from tunesmith.errors import DataError

FloatArray = NDArray[np.float64]
MAX_OUTLIER_FRACTION = 0.01
"""The scorer may find fault with at most this share of the references; with more it is the wrong scorer."""


@dataclass(frozen=True, slots=True)
class CorpusMetric:
    """A metric in [0, 1] that only exists over all examples, as a function of sums.

    `count(answer, reference)` gives one example's counts (D,); the counts of all examples are added, and
    `combine` turns sums (..., D) into the metric (...). So any resample of the examples is cheap.
    """

    count: Callable[[str, str], FloatArray]
    combine: Callable[[FloatArray], FloatArray]


class Scorer(Protocol):
    """Scores one answer against its reference.

    `metric` names the per-example score that decides; it is the first one. In every metric 1 is best and 0 worst:
    whoever has a quantity where lower is better turns it round. `corpus_metrics` are further metrics over all examples;
    they
    never decide.
    """

    name: str
    metric: str

    @property
    def corpus_metrics(self) -> Mapping[str, CorpusMetric]:
        """Metrics over all examples, by name; often none."""
        ...

    def score(self, answer: str, reference: str) -> dict[str, float]:
        """Scores in [0, 1] by name, always the same names. Any text may come as an answer: it is scored, never refused.

        Errors: `DataError` when the reference cannot be one for this scorer.
        """
        ...


@dataclass(frozen=True, slots=True)
class ScoringInput:
    """An answer beside its reference and the question that was asked."""

    answer: str
    reference: str
    question: str = ""


@dataclass(frozen=True, slots=True)
class ScoringFailure:
    """There is an answer and the scorer could not judge it: why, in words. Counted and shown, never scored 0."""

    reason: str


@runtime_checkable
class BatchScorer(Protocol):
    """A scorer that judges many answers together, because it asks a model or a child process, or may fail on one."""

    def score_items(self, items: Sequence[ScoringInput]) -> list[dict[str, float] | ScoringFailure]:
        """One entry for each item, in their order."""
        ...


@runtime_checkable
class ParsingScorer(Protocol):
    """A scorer that looks for something in an answer and may not find it: the answer is wrong, and that is told.

    `missing` says in words what such answers lack.
    """

    failure_text: str

    def can_parse(self, answer: str) -> bool:
        """Whether the answer holds what is compared."""
        ...


def score_items(scorer: Scorer, items: Sequence[ScoringInput]) -> list[dict[str, float] | ScoringFailure]:
    """Every item judged, together where the scorer can do that."""
    if isinstance(scorer, BatchScorer):
        return scorer.score_items(items)
    return [scorer.score(item.answer, item.reference) for item in items]


def score_one(scorer: BatchScorer, answer: str, reference: str) -> dict[str, float]:
    """What `Scorer.score` of a batch scorer is. Errors: `DataError` where it could not judge the answer."""
    [scored] = scorer.score_items([ScoringInput(answer, reference)])
    if isinstance(scored, ScoringFailure):
        raise DataError("unscored", "An answer could not be judged.", found=scored.reason, do="look at the answer")
    return scored


@runtime_checkable
class ReferenceValidator(Protocol):
    """A scorer that can say what is wrong with a reference without judging it as an answer to itself."""

    def find_reference_error(self, reference: str) -> str | None:
        """Why this cannot be a reference, in words; None where it can."""
        ...


def find_reference_error(scorer: Scorer, reference: str) -> str | None:
    """Why the scorer cannot use this reference; one that is not right as an answer to itself is none."""
    if isinstance(scorer, ReferenceValidator):
        return scorer.find_reference_error(reference)
    return None if min(scorer.score(reference, reference).values()) == 1 else "as an answer to itself it is not right"
