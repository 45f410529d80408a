"""What one contender answered: the harness scores it, `machine_time.py` fits rates to it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tunesmith.records import Answer, ContenderSpec, Example, Usage


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


def select_answers(answers: Iterable[Answer], examples: Iterable[Example]) -> list[Answer]:
    """The answers to these examples: more were given before the test set was limited."""
    ids = {example.id for example in examples}
    return [answer for answer in answers if answer.example in ids]
