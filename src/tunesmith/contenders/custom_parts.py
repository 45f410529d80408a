"""What a script adds to a run as Python objects: a scorer, and contenders of its own.

They cannot be stored, so a run keeps their fingerprints: it is resumed by a script that gives them
again.
"""

import inspect
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from tunesmith.errors import RunError, UsageError, truncate_list
from tunesmith.evaluation.harness import RunnableContender
from tunesmith.evaluation.scorers.scorer_protocol import Scorer
from tunesmith.evaluation.scorers.scorer_registry import choose_scorer
from tunesmith.providers.embedder import LocalEmbedder

CONTENDER_KEY = "contender "
"""Begins the name of a contender's fingerprint in a run's identity."""


@dataclass(frozen=True)
class CustomParts:
    """`scorer` decides in place of the recipe's; `contenders` take part like every other;
    `fingerprints` (by name, SHA-256) are what a resumed run must find.
    """

    scorer: Scorer | None = None
    contenders: Sequence[RunnableContender] = ()
    fingerprints: Mapping[str, str] = field(default_factory=dict)

    def choose_scorer(self, answers: Sequence[str], name: str) -> tuple[Scorer, str]:
        """(the scorer, why): this one, or else the one that the recipe names or that fits."""
        if self.scorer is None:
            return choose_scorer(answers, name, LocalEmbedder)
        return self.scorer, f"The scorer {self.scorer.name} was given by a script."

    def check_names(self, taken: Iterable[str]) -> None:
        """Errors: `UsageError` if a contender has the name of another."""
        others = {*taken}
        for contender in self.contenders:
            if contender.spec.name in others:
                raise UsageError(
                    "same-name",
                    "two contenders have the same name",
                    got=contender.spec.name,
                    hint="give a dictionary with another name for it",
                )
            others.add(contender.spec.name)


NO_CUSTOM_PARTS = CustomParts()


def check_custom_contenders(before: Mapping[str, str], now: Collection[str], at: str) -> None:
    """Contenders of a script take part to the end: one that is not given again would be left out
    of the comparison in silence. Errors: `RunError`.
    """
    missing = [name for name in before if name.startswith(CONTENDER_KEY) and name not in now]
    if missing:
        raise RunError(
            "needs-script",
            "run has contenders that only its script can give",
            at=at,
            got=truncate_list([name.removeprefix(CONTENDER_KEY) for name in missing]),
            hint="call tunesmith.resume(run, extra_contenders=...) in the script",
        )


def fingerprint_object(part: object) -> str:
    """SHA-256 of the source of a function, or of an object's class; of its name if there is no
    source (built-in functions, an interactive session).
    """
    described = part if inspect.isroutine(part) else type(part)
    try:
        text = inspect.getsource(described)
    except (OSError, TypeError):
        text = f"{described.__module__}.{described.__qualname__}"
    return sha256(text.encode()).hexdigest()
