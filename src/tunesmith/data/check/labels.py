"""Labels that are rare beside others: accuracy hides them, and a model may never answer them."""

from collections import Counter
from collections.abc import Iterator

from tunesmith.data.check.context import CheckContext
from tunesmith.errors import name_some
from tunesmith.records import Problem

IMBALANCE = 10
"""A label is rare when the commonest one has this many times its examples."""


def check_labels(context: CheckContext) -> Iterator[Problem]:
    if not context.labels:
        return
    counts = Counter(context.labels).most_common()
    commonest, most = counts[0]
    rare = {label for label, count in counts if count * IMBALANCE <= most}
    found = [i for i, label in enumerate(context.labels) if label in rare]
    yield from context.problems(
        "label-imbalance",
        "warning",
        found,
        f"have a rare label: {name_some(sorted(rare))}; the commonest, {commonest!r}, has {most:,}",
        "add examples of the rare labels, and judge by macro-F1 beside accuracy",
    )
