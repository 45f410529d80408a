"""Test questions that stand in the training data too: a score on them measures memory.

The split leaves such training examples out; the report says how many, because the pair of files is wrong as it is.
"""

from collections.abc import Iterator

from tunesmith.data.check.context import CheckContext
from tunesmith.data.keys import prompt_key
from tunesmith.records import Problem


def check_leakage(context: CheckContext) -> Iterator[Problem]:
    """Against a separate test file, and between the given splits of a folder."""
    held_out = {prompt_key(example) for example in context.test.examples} if context.test else set()
    sides = context.loaded.sides or ["train"] * len(context.examples)
    for key, side in zip(context.prompt_keys, sides, strict=True):
        if side != "train":
            held_out.add(key)
    found = [
        i
        for i, (key, side) in enumerate(zip(context.prompt_keys, sides, strict=True))
        if side == "train" and key in held_out
    ]
    yield from context.problems(
        "test-leak",
        "warning",
        found,
        "of the training data ask what a held-out example asks",
        "nothing: they are left out of training; take them out of the file to be sure elsewhere too",
    )
