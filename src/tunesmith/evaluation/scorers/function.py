"""A Python function of the user's own: `file.py:function`.

    def my_score(answer: str, reference: str[, question: str]) -> float | bool | dict[str, float]

It gives a number in [0, 1], or numbers by name, among them one with the function's own name, which decides. It runs in
a child process with an environment that holds no secrets, under limits. An answer on which it raises an error or takes
too long is wrong where it judges the reference as an answer to itself: failing must not pay better than being wrong.
Where it fails on that too, or gives something else than scores, the answer is not judged: that is counted, with the
reason.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tunesmith.errors import RecipeError
from tunesmith.evaluation.child import Failed, Limits, WorkBroken, in_child
from tunesmith.evaluation.scorers.scorer import Item, Unscored, WholeSetMetric, score_one
from tunesmith.files import sha256_of

LATE = "(it had no turn)"
LIMITS = Limits(piece_seconds=10.0, all_seconds=1800.0, memory_bytes=8 * 2**30)


class FunctionScorer:
    """What the function gives. Errors: `RecipeError` when file or function cannot be used."""

    whole_set: Mapping[str, WholeSetMetric] = {}

    def __init__(self, file: Path, function: str, limits: Limits = LIMITS) -> None:
        if not file.is_file():
            raise RecipeError(
                "no-scorer-file", "There is no such file with a scorer.", where="evaluation.scorer",
                found=str(file), do="write file.py:function, the path from where you stand",
            )  # fmt: skip
        self.name = f"{file.name}:{function}"
        self.metric = function
        self.sha256 = sha256_of(file)
        self._setup = {"file": str(file.resolve()), "function": function}
        self._limits = limits
        self._names: list[str] = []
        self._run([])

    def fault_of(self, reference: str) -> str | None:
        """Any text may be one; the function itself will say."""
        return None

    def score(self, answer: str, reference: str) -> dict[str, float]:
        """The function's scores, its own first."""
        return score_one(self, answer, reference)

    def score_items(self, items: Sequence[Item]) -> list[dict[str, float] | Unscored]:
        """All of them in one child process."""
        pieces = [{"answer": one.answer, "reference": one.reference, "question": one.question} for one in items]
        judged = [self._checked(one) for one in self._run(pieces)]
        failed = [i for i, one in enumerate(judged) if isinstance(one, Unscored) and _is_by_answer(one)]
        again = self._run([{**pieces[i], "answer": pieces[i]["reference"]} for i in failed])
        for i, one in zip(failed, again, strict=True):
            if isinstance(scores := self._checked(one), dict):
                judged[i] = dict.fromkeys(scores, 0.0)
        return judged

    def _run(self, pieces: Sequence[dict[str, str]]) -> list[dict[str, float] | Failed]:
        try:
            return in_child("function", self._setup, pieces, self._limits)
        except WorkBroken as broken:
            raise RecipeError(
                "broken-scorer", "The scorer's file cannot be used.", where=self._setup["file"],
                found=str(broken), do="mend it; it is run by itself, with its own folder to import from",
            ) from None  # fmt: skip

    def _checked(self, told: dict[str, float] | Failed) -> dict[str, float] | Unscored:
        """The first answer that is judged fixes the names: a metric is one thing over all examples."""
        if isinstance(told, Failed):
            late = f" {LATE}" if told.is_late else ""
            return Unscored(f"{self.name}: {told.why}{late}")
        self._names = self._names or list(told)
        if set(told) != set(self._names):
            return Unscored(f"{self.name}: it gave {', '.join(told)}, and {', '.join(self._names)} before")
        return {name: told[name] for name in self._names}


def _is_by_answer(unscored: Unscored) -> bool:
    """The function raised an error or took too long: not what it gave was wrong, and it had its turn."""
    return "it gave " not in unscored.why and not unscored.why.endswith(LATE)
