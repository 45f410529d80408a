"""Examples with tools: they can be trained on, but no scorer can judge an answer that calls one."""

from collections.abc import Iterator

from tunesmith.data.check.context import CheckContext
from tunesmith.records import Problem


def check_tools(context: CheckContext) -> Iterator[Problem]:
    """A note: `train` accepts them; `decide` and `evaluate` refuse a test set that has any."""
    found = [i for i in context.unusual if context.examples[i].uses_tools]
    yield from context.report_problems(
        "tools-not-scored",
        "note",
        found,
        "use tools: they can be trained on, but no scorer can evaluate them yet",
        "use tunesmith train; decide and evaluate need a test set without tools",
    )
