"""A data check: answers in capital letters only, which a model would learn to imitate."""

from collections.abc import Iterator

from tunesmith.data.check.context import CheckContext
from tunesmith.records import Problem

MIN_LETTERS = 5
"""`OK` and `NASA` are words, not shouting."""


def check_shouting(context: CheckContext) -> Iterator[Problem]:
    """A warning with the lines of all answers that shout."""
    found = [i for i, example in enumerate(context.examples) if _is_shouting(example.answer)]
    yield from context.report_problems(
        "shouting", "warning", found, "shouts", "write the answers as they should be given"
    )


def _is_shouting(text: str) -> bool:
    return text.isupper() and sum(map(str.isalpha, text)) >= MIN_LETTERS
