"""Held-out questions that stand in the training data too: `leaks.py` says which, and what a run does about them.

The severity is what a run makes of it: what stops one is an error here, likeness is a warning in both.
"""

from collections.abc import Iterator

from tunesmith.data.check.context import CheckContext
from tunesmith.data.leaks import pairs_in_training, shown
from tunesmith.records import LeakKind, Problem, Severity

SHOWN_PAIRS = 2


def check_leakage(context: CheckContext) -> Iterator[Problem]:
    """Against a separate test file, and between the given splits of a folder."""
    sides = context.loaded.sides
    if sides is None and context.test is None:
        return
    sides = sides or ["train"] * len(context.examples)
    train = [i for i, side in enumerate(sides) if side == "train"]
    held_out = [example for example, side in zip(context.examples, sides, strict=True) if side != "train"]
    held_out += context.test.examples if context.test else []
    if not held_out:
        return
    found = pairs_in_training([context.examples[i] for i in train], held_out)

    def of(*wanted: LeakKind) -> list[int]:
        return [train[j] for j, (kind, _) in found.items() if kind in wanted]

    def pairs(*wanted: LeakKind) -> str:
        some = [(context.examples[train[j]], held_out[i]) for j, (kind, i) in found.items() if kind in wanted]
        return "; ".join(
            f'{one.named_place} "{shown(one)}" ~ held-out {other.named_place} "{shown(other)}"'
            for one, other in some[:SHOWN_PAIRS]
        )

    severity: Severity = "error" if context.do_leaks_stop else "warning"
    yield from context.problems(
        "test-leak",
        severity,
        of("exact", "normalised"),
        f"of the training data ask what a held-out example asks: {pairs('exact', 'normalised')}",
        "take them out of one side; a run stops here unless it is given --set 'data.allow_leaks=[exact, normalised]'",
    )
    yield from context.problems(
        "near-test-leak",
        "warning",
        of("13-gram", "near"),
        f"of the training data are nearly the same as a held-out example: {pairs('13-gram', 'near')}",
        "take real copies out of one side; no run stops here, and the score without them is shown beside the full one",
    )
    yield from context.problems(
        "group-test-leak",
        severity,
        of("group"),
        f"of the training data share a group with a held-out example: {pairs('group')}",
        "keep each group on one side; a run stops here unless it is given --set 'data.allow_leaks=[group]'",
    )
