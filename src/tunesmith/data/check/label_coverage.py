"""Rare labels, which accuracy hides and a model may never predict, and unknown held-out labels.

A label of a declared test set that no train example has cannot be learned, and often means that the
true one is unpublished (-1 in GLUE).
"""

from collections import Counter
from collections.abc import Iterator

from tunesmith.data.check.context import CheckContext
from tunesmith.data.final_answer import extract_final_answer, is_blank
from tunesmith.data.normalization import detect_labels, normalize_text
from tunesmith.errors import truncate_list
from tunesmith.records import Problem

MAX_SHOWN_CHARACTERS = 200
IMBALANCE_RATIO = 10
"""A label is rare when the most common one has this many times its examples."""


def check_labels(context: CheckContext) -> Iterator[Problem]:
    """A warning for examples with a rare label, and a problem for unknown held-out labels."""
    yield from _check_unseen(context)
    if not context.labels:
        return
    # Missing answers have an empty label and are reported by their own check.
    counts = Counter(filter(None, context.labels)).most_common()
    commonest, most = counts[0]
    rare = {label for label, count in counts if count * IMBALANCE_RATIO <= most}
    found = [i for i, label in enumerate(context.labels) if label in rare]
    yield from context.report_problems(
        "label-imbalance",
        "warning",
        found,
        f"have a rare label: {truncate_list(sorted(map(_shorten, rare)))}; the most common, "
        f"{_shorten(commonest)!r}, has {most:,}",
        "add examples of the rare labels; and check macro-F1 in addition to accuracy",
    )


def _check_unseen(context: CheckContext) -> Iterator[Problem]:
    """Held-out labels, of the same files or of a test file, that no train example has."""
    if context.loaded.declared_splits is None and context.test is None:
        return
    sides = context.loaded.declared_splits or ["train"] * len(context.examples)
    train = [
        example for example, side in zip(context.examples, sides, strict=True) if side == "train"
    ]
    labels = detect_labels(train)
    if not labels:
        return
    known = set(map(normalize_text, labels))
    for held_out in (context, CheckContext(context.test) if context.test else None):
        if held_out is None or not held_out.loaded.has_answers:
            continue
        is_context = held_out is context
        places = [i for i in range(len(held_out.examples)) if not is_context or sides[i] != "train"]
        finals = {i: extract_final_answer(held_out.examples[i].answer).strip() for i in places}
        # Answers may be withheld in a test set; a missing one is no unknown label.
        places = [i for i in places if not is_blank(finals[i])]
        found = [i for i in places if normalize_text(finals[i]) not in known]
        names = truncate_list(sorted({_shorten(finals[i]) for i in found}))
        # Not one known label means another spelling or numbering, so a score would be meaningless.
        is_all = len(found) == len(places) > 0
        yield from held_out.report_problems(
            "unknown-label",
            "error" if is_all else "warning",
            found,
            f"are held out with a label that no train example has: {names}"
            + ("; no held-out label is in the train data" if is_all else ""),
            "write labels consistently; and remove rows without a real label",
        )


def _shorten(label: str) -> str:
    """The label, truncated to 200 characters: a long text may be mistaken for a label."""
    return label if len(label) <= MAX_SHOWN_CHARACTERS else f"{label[:MAX_SHOWN_CHARACTERS]} …"
