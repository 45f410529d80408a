"""Examples that the method cannot learn from: without what it compares, or all with one rating."""

from collections.abc import Iterator

from tunesmith.data.check.context import CheckContext
from tunesmith.data.training_sequences import find_mismatch
from tunesmith.records import Problem
from tunesmith.records.method_specs import METHODS


def check_method(context: CheckContext) -> Iterator[Problem]:
    """Errors for examples that do not fit the method; nothing when no method is given."""
    if context.method is None or not context.examples:
        return
    if misfit := find_mismatch(context.examples, context.method):
        yield from context.report_problems(
            misfit.slug, "error", misfit.positions, misfit.description, misfit.hint
        )
    elif METHODS.load(context.method).data == "ratings":
        yield from _check_ratings(context)


def _check_ratings(context: CheckContext) -> Iterator[Problem]:
    """Such a method moves desirable answers up and undesirable ones down: it needs both."""
    ratings = {example.is_desirable for example in context.examples}
    if len(ratings) > 1 or None in ratings:  # a pair has one of each
        return
    (is_desirable,) = ratings
    kind, other = ("desirable", "undesirable")[:: 1 if is_desirable else -1]
    yield from context.report_problems(
        "one-sided-ratings",
        "error",
        range(len(context.examples)),
        f"are rated as {kind}, and none as {other}: {context.method} needs both",
        f"add {other} answers too" + ("; or set method=sft" if is_desirable else ""),
    )
