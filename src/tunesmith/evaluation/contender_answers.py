"""What one contender answered: the harness scores it, `machine_time.py` fits rates to it."""

from collections.abc import Sequence
from dataclasses import dataclass

from tunesmith.records import Answer, ContenderSpec, Usage


@dataclass(frozen=True, slots=True)
class ContenderAnswers:
    """A contender's answers in the order of the examples, the usage of answering, and that of
    judging."""

    spec: ContenderSpec
    answers: Sequence[Answer]
    usage: Usage | None = None
    judge_usage: Usage | None = None

    @property
    def name(self) -> str:
        """The contender's name."""
        return self.spec.name
