"""A Python function of the script that calls tunesmith, as a scorer.

    def my_score(answer: str, reference: str[, question: str]) -> float | bool | dict[str, float]

It returns what the function of a file returns (`function.py`), and failures count in the same way;
but it is called in this process, because it is the script's own.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tunesmith.errors import UsageError
from tunesmith.evaluation.sandbox_worker.function_call import accepts_question, check_scores
from tunesmith.evaluation.scorers.scorer_protocol import (
    CorpusMetric,
    ScoringFailure,
    ScoringInput,
    score_one,
)


class CallableScorer:
    """The function's scores. Errors: `UsageError` if it cannot be called with answer and
    reference.
    """

    corpus_metrics: Mapping[str, CorpusMetric] = {}

    def __init__(self, function: Callable[..., Any]) -> None:
        name = getattr(function, "__name__", type(function).__name__)
        self.metric = "score" if name == "<lambda>" else str(name)
        # not a name that a built-in scorer has: a stored evaluation would be taken for its
        self.name = f"python:{self.metric}"
        self.function = function
        self._names: list[str] = []
        try:
            self._takes_question = accepts_question(function)
        except ImportError as error:
            raise UsageError(
                "not-a-scorer",
                "function cannot score",
                at=self.metric,
                got=str(error),
                hint="write def score(answer, reference): ...",
            ) from None

    def find_reference_error(self, reference: str) -> str | None:
        """Always None: only the function knows which references it accepts."""
        return None

    def score(self, answer: str, reference: str) -> dict[str, float]:
        """The function's scores, its own first. Errors: `DataError` if it gives none."""
        return score_one(self, answer, reference)

    def score_items(self, items: Sequence[ScoringInput]) -> list[dict[str, float] | ScoringFailure]:
        """One entry for each item."""
        return [self._score_item(item) for item in items]

    def _score_item(self, item: ScoringInput) -> dict[str, float] | ScoringFailure:
        try:
            return self._call(item.answer, item)
        # the script's own code may raise anything
        except Exception as error:
            failure = ScoringFailure(f"{self.name}: {type(error).__name__}: {error}")
        try:
            # If it can score the reference, the answer caused the failure: that is wrong, because
            # failing must not pay better than being wrong.
            return dict.fromkeys(self._call(item.reference, item), 0.0)
        except Exception:
            return failure

    def _call(self, answer: str, item: ScoringInput) -> dict[str, float]:
        given = (answer, item.reference, *([item.question] if self._takes_question else []))
        scores = check_scores(self.function(*given), self.metric)
        self._names = self._names or list(scores)
        if set(scores) != set(self._names):  # a metric must exist for all examples
            raise ValueError(f"it gave {', '.join(scores)}, and {', '.join(self._names)} before")
        return {name: scores[name] for name in self._names}
