"""Pairs whose two answers are one: a preference method learns nothing from them."""

from collections.abc import Iterator

from tunesmith.data.check.context import CheckContext
from tunesmith.records import Example, Problem


def check_pairs(context: CheckContext) -> Iterator[Problem]:
    found = [i for i, example in enumerate(context.examples) if example.rejected and _says_the_same(example)]
    yield from context.problems(
        "same-answers",
        "warning",
        found,
        "have the same chosen and rejected answer",
        "take them out, or mend the answers; nothing can be learned from them but the answer itself",
    )


def _says_the_same(example: Example) -> bool:
    chosen, rejected = example.messages[-1], example.rejected[-1]
    one, other = ((m.content.strip(), (m.reasoning or "").strip(), m.functions_called) for m in (chosen, rejected))
    return one == other
