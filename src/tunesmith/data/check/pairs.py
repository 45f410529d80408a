"""Pairs whose two answers are one: a preference method learns nothing from them."""

from collections.abc import Iterator

from tunesmith.data.check.context import CheckContext
from tunesmith.records import Example, Message, Problem


def check_pairs(context: CheckContext) -> Iterator[Problem]:
    found = [i for i, example in enumerate(context.examples) if example.rejected and _says_the_same(example)]
    yield from context.problems(
        "same-answers",
        "error",
        found,
        "have the same chosen and rejected answer",
        "take them out, or correct the answers; a pair teaches by its difference",
    )


def _says_the_same(example: Example) -> bool:
    """Spacing makes no difference: no method should learn to prefer a line end."""
    chosen, rejected = example.messages[-1], example.rejected[-1]
    return _said(chosen) == _said(rejected)


def _said(message: Message) -> tuple[object, ...]:
    return message.content.split(), (message.reasoning or "").split(), message.functions_called
