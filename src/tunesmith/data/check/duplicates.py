"""Exact duplicates: the same content twice. The first of each stays, the others are reported."""

from collections.abc import Iterator

from tunesmith.data.check.context import CheckContext
from tunesmith.records import Problem


def check_duplicates(context: CheckContext) -> Iterator[Problem]:
    seen: set[str] = set()
    again: list[int] = []
    for i, example in enumerate(context.examples):
        if example.id in seen:
            again.append(i)
        seen.add(example.id)
    yield from context.problems(
        "duplicate",
        "warning",
        again,
        "repeat an earlier one exactly",
        "nothing: each is used once, on one side of the split; take them out if that is not meant",
    )
