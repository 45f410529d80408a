"""Held-out questions that stand in the training data too: `leaks.py` says which, and what a run does about them."""

from collections.abc import Iterator

from tunesmith.data.check.context import CheckContext
from tunesmith.data.leaks import kinds_in_training
from tunesmith.records import LeakKind, Problem


def check_leakage(context: CheckContext) -> Iterator[Problem]:
    """Against a separate test file, and between the given splits of a folder."""
    sides = context.loaded.sides or ["train"] * len(context.examples)
    train = [i for i, side in enumerate(sides) if side == "train"]
    held_out = [example for example, side in zip(context.examples, sides, strict=True) if side != "train"]
    held_out += context.test.examples if context.test else []
    if not held_out:
        return
    kinds = kinds_in_training([context.examples[i] for i in train], held_out)

    def of(*wanted: LeakKind) -> list[int]:
        return [train[j] for j, kind in kinds.items() if kind in wanted]

    yield from context.problems(
        "test-leak",
        "warning",
        of("exact", "normalised"),
        "of the training data ask what a held-out example asks",
        "take them out of one side; a run stops here unless data.allow_leaks names exact and normalised",
    )
    yield from context.problems(
        "near-test-leak",
        "warning",
        of("13-gram", "near"),
        "of the training data have nearly the words of a held-out example, or 13 in a row of them",
        "look at a few and take the copies out; a run stops here unless data.allow_leaks names 13-gram and near",
    )
    yield from context.problems(
        "group-test-leak",
        "warning",
        of("group"),
        "of the training data share a group with a held-out example",
        "keep each group on one side; a run stops here unless data.allow_leaks names group",
    )
