"""Python code by execution: the reference contains tests, and the answer's code must pass them.

In the reference, the tests follow a line `# tests`, and a solution precedes it (so that the example
can also be trained on); a reference without that line consists of tests only. In an answer,
everything after such a line is dropped.

Every answer gets its own process, with limits, without a network and, if the system has Landlock,
without any files but its own (`sandbox_worker/code_execution.py`). It executes what a model wrote:
so this scorer is never selected automatically, only by name, and `describe_protection` says what
confines the code on this system.
"""

import re
from collections.abc import Mapping, Sequence

from tunesmith.evaluation.sandbox import SandboxLimits, TaskFailure, run_in_sandbox
from tunesmith.evaluation.sandbox_worker.confinement import get_landlock_version
from tunesmith.evaluation.scorers.code_fence import extract_last_fence
from tunesmith.evaluation.scorers.scorer_protocol import (
    CorpusMetric,
    ScoringFailure,
    ScoringInput,
    score_one,
)

LIMITS = SandboxLimits(
    task_timeout_seconds=10.0, total_timeout_seconds=3600.0, memory_bytes=2**30, file_bytes=2**24
)
_TESTS = re.compile(r"^#[ \t]*tests[ \t]*:?[ \t]*$", re.IGNORECASE | re.MULTILINE)


class CodeScorer:
    """1 if all tests pass, else 0."""

    name = "code"
    metric = "tests_passed"
    corpus_metrics: Mapping[str, CorpusMetric] = {}

    def __init__(self, limits: SandboxLimits = LIMITS) -> None:
        self._limits = limits

    def find_reference_error(self, reference: str) -> str | None:
        """An error if the reference has no tests, or they are not valid Python."""
        tests = _split_reference(reference)[1]
        if not tests.strip():
            return "it has no tests"
        try:
            compile(tests, "<tests>", "exec")
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            return f"its tests are not valid Python: {error}"
        return None

    def score(self, answer: str, reference: str) -> dict[str, float]:
        """`tests_passed`: 0 or 1."""
        return score_one(self, answer, reference)

    def score_items(self, items: Sequence[ScoringInput]) -> list[dict[str, float] | ScoringFailure]:
        """One entry for each item, each run in its own process. Code that hangs or crashes its
        process has not passed."""
        # The answer's own tests are dropped: only those of the reference count.
        pieces = [
            {
                "solution": _TESTS.split(extract_last_fence(item.answer))[0],
                "tests": _split_reference(item.reference)[1],
            }
            for item in items
        ]
        # A fresh process for each answer: code could otherwise change the next answer's result.
        results = run_in_sandbox("code_execution", None, pieces, self._limits, is_fresh=True)
        return [
            (
                ScoringFailure(one.reason)
                if isinstance(one, TaskFailure) and one.is_not_started
                else {self.metric: float(not isinstance(one, TaskFailure) and one["passed"])}
            )
            for one in results
        ]


def describe_protection() -> str:
    """One sentence for the report: what confines the executed code on this system."""
    if get_landlock_version():
        return (
            "Each answer's code runs in a process that the system (Landlock) confines to an empty"
            " folder, without network."
        )
    return (
        "This system has no Landlock: the code of the answers is confined only by an audit "
        "hook, which stops accidents but not a determined attacker; run tunesmith in a "
        "container."
    )


def _split_reference(reference: str) -> tuple[str, str]:
    """(solution, tests)."""
    match = _TESTS.search(reference)
    return (reference[: match.start()], reference[match.end() :]) if match else ("", reference)
