"""Python code by execution: the reference holds tests, and the answer's code must pass them.

Below a line `# tests` of the reference stand its tests, above it a solution (so that the example can be learned from);
a reference without that line is tests altogether. What an answer writes below such a line of its own is left out.

Every answer gets a process of its own, with limits, without a network and, where the system has Landlock, without any
file but its own (`in_child/code.py`). It runs what a model wrote: so this scorer is never chosen by looking, only by
name, and `describe_protection` says what held the code on this system.
"""

import re
from collections.abc import Mapping, Sequence

from tunesmith.evaluation.sandbox import SandboxLimits, TaskFailure, run_in_sandbox
from tunesmith.evaluation.sandbox_worker.confinement import get_landlock_version
from tunesmith.evaluation.scorers.code_fence import extract_last_fence
from tunesmith.evaluation.scorers.scorer_protocol import CorpusMetric, ScoringFailure, ScoringInput, score_one

LIMITS = SandboxLimits(task_timeout_seconds=10.0, total_timeout_seconds=3600.0, memory_bytes=2**30, file_bytes=2**24)
_TESTS = re.compile(r"^#[ \t]*tests[ \t]*:?[ \t]*$", re.IGNORECASE | re.MULTILINE)


class CodeScorer:
    """1 when all tests pass."""

    name = "code"
    metric = "tests_passed"
    corpus_metrics: Mapping[str, CorpusMetric] = {}

    def __init__(self, limits: SandboxLimits = LIMITS) -> None:
        self._limits = limits

    def find_reference_error(self, reference: str) -> str | None:
        """Tests must be Python, and there must be some."""
        tests = _split_reference(reference)[1]
        if not tests.strip():
            return "it holds no tests"
        try:
            compile(tests, "<tests>", "exec")
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            return f"its tests are not Python: {error}"
        return None

    def score(self, answer: str, reference: str) -> dict[str, float]:
        """`tests_passed`: 0 or 1."""
        return score_one(self, answer, reference)

    def score_items(self, items: Sequence[ScoringInput]) -> list[dict[str, float] | ScoringFailure]:
        """One child process each. Code that hangs, or takes its process down, has not passed."""
        pieces = [
            {"solution": _TESTS.split(extract_last_fence(item.answer))[0], "tests": _split_reference(item.reference)[1]}
            for item in items
        ]
        told = run_in_sandbox("code_execution", None, pieces, self._limits, is_fresh=True)
        return [
            ScoringFailure(one.reason)
            if isinstance(one, TaskFailure) and one.is_not_started
            else {self.metric: float(not isinstance(one, TaskFailure) and one["passed"])}
            for one in told
        ]


def describe_protection() -> str:
    """One sentence for people: what holds the code that this scorer runs on this system."""
    if get_landlock_version():
        return (
            "Each answer's code runs in a process that the system (Landlock) confines to an empty folder, "
            "without network."
        )
    return (
        "This system has no Landlock: an audit hook alone holds the answers' code, which stops accidents "
        "and not a determined attacker; run tunesmith in a container."
    )


def _split_reference(reference: str) -> tuple[str, str]:
    """(solution, tests)."""
    found = _TESTS.search(reference)
    return (reference[: found.start()], reference[found.end() :]) if found else ("", reference)
