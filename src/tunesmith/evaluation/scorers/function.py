"""A user-defined Python function: `file.py:function`.

    def my_score(answer: str, reference: str[, question: str]) -> float | bool | dict[str, float]

It returns a number in [0, 1], or numbers by name, of which the one with the function's own name is
the primary metric. It runs in a child process without secrets in its environment, under limits. An
answer on which it raises an error or takes too long counts as wrong if the function can score the
reference as an answer to itself: failing must not pay better than being wrong. If it fails on that
too, or returns anything but scores, the answer is unscored: that is counted, with the reason.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tunesmith.atomic_io import compute_sha256
from tunesmith.errors import RecipeError
from tunesmith.evaluation.sandbox import (
    SandboxLimits,
    TaskFailure,
    WorkerSetupError,
    run_in_sandbox,
)
from tunesmith.evaluation.scorers.scorer_protocol import (
    CorpusMetric,
    ScoringFailure,
    ScoringInput,
    score_one,
)

NOT_STARTED_NOTE = "(not run)"
LIMITS = SandboxLimits(
    task_timeout_seconds=10.0, total_timeout_seconds=1800.0, memory_bytes=8 * 2**30
)


class FunctionScorer:
    """The function's scores. Errors: `RecipeError` if the file or function cannot be used."""

    corpus_metrics: Mapping[str, CorpusMetric] = {}

    def __init__(self, file: Path, function: str, limits: SandboxLimits = LIMITS) -> None:
        if not file.is_file():
            raise RecipeError(
                "no-scorer-file",
                "scorer file not found",
                at="evaluation.scorer",
                got=str(file),
                hint="write file.py:function, with the path relative to the working directory",
            )
        self.name = f"{file.name}:{function}"
        self.metric = function
        self.sha256 = compute_sha256(file)
        self._setup = {"file": str(file.resolve()), "function": function}
        self._limits = limits
        self._names: list[str] = []
        self._run_function([])  # loads the function once, so that errors show before answering

    def find_reference_error(self, reference: str) -> str | None:
        """Always None: only the function knows which references it accepts."""
        return None

    def score(self, answer: str, reference: str) -> dict[str, float]:
        """The function's scores, its own first."""
        return score_one(self, answer, reference)

    def score_items(self, items: Sequence[ScoringInput]) -> list[dict[str, float] | ScoringFailure]:
        """One entry for each item, all computed in one child process."""
        pieces = [
            {"answer": one.answer, "reference": one.reference, "question": one.question}
            for one in items
        ]
        judged = [self._check_result(one) for one in self._run_function(pieces)]
        failed = [
            i
            for i, one in enumerate(judged)
            if isinstance(one, ScoringFailure) and _is_caused_by_answer(one)
        ]
        # The function is called again with the reference as answer: if it scores that, the failure
        # was caused by the answer.
        again = self._run_function(
            [{**pieces[i], "answer": pieces[i]["reference"]} for i in failed]
        )
        for i, one in zip(failed, again, strict=True):
            if isinstance(scores := self._check_result(one), dict):
                judged[i] = dict.fromkeys(scores, 0.0)
        return judged

    def _run_function(
        self, pieces: Sequence[dict[str, str]]
    ) -> list[dict[str, float] | TaskFailure]:
        try:
            return run_in_sandbox("function_call", self._setup, pieces, self._limits)
        except WorkerSetupError as broken:
            raise RecipeError(
                "broken-scorer",
                "cannot use the scorer file",
                at=self._setup["file"],
                got=str(broken),
                hint="fix the file; it is run on its own and can import from its own folder",
            ) from None

    def _check_result(
        self, result: dict[str, float] | TaskFailure
    ) -> dict[str, float] | ScoringFailure:
        """The scores, or why there are none. The first scored answer fixes the names: a metric must
        exist for all examples."""
        if isinstance(result, TaskFailure):
            late = f" {NOT_STARTED_NOTE}" if result.is_not_started else ""
            return ScoringFailure(f"{self.name}: {result.reason}{late}")
        self._names = self._names or list(result)
        if set(result) != set(self._names):
            return ScoringFailure(
                f"{self.name}: it returned {', '.join(result)} now, and "
                f"{', '.join(self._names)} before"
            )
        return {name: result[name] for name in self._names}


def _is_caused_by_answer(unscored: ScoringFailure) -> bool:
    """Whether the function raised an error or took too long on this answer: not a wrong return
    value, and not a task that was never started."""
    return "it returned " not in unscored.reason and not unscored.reason.endswith(NOT_STARTED_NOTE)
