"""Test questions that stand in the training data too: a score on them measures memory.

The split leaves equal questions out of training; the report says how many, because the pair of files is wrong as it is.
Questions that are only alike stay, and are named for a person to look at.
"""

from collections.abc import Iterator

from tunesmith.data.check.context import CheckContext
from tunesmith.data.check.near_duplicates import SIMILARITY, compared_text
from tunesmith.data.keys import prompt_key
from tunesmith.records import Problem


def check_leakage(context: CheckContext) -> Iterator[Problem]:
    """Against a separate test file, and between the given splits of a folder."""
    sides = context.loaded.sides or ["train"] * len(context.examples)
    train = [i for i, side in enumerate(sides) if side == "train"]
    held_out = [example for example, side in zip(context.examples, sides, strict=True) if side != "train"]
    held_out += context.test.examples if context.test else []
    if not held_out:
        return
    asked = {prompt_key(example) for example in held_out}
    yield from context.problems(
        "test-leak",
        "warning",
        [i for i in train if context.prompt_keys[i] in asked],
        "of the training data ask what a held-out example asks",
        "nothing: they are left out of training; take them out of the file to be sure elsewhere too",
    )
    from tunesmith.data.check.minhash import similar_to_earlier  # numpy

    others = [i for i in train if context.prompt_keys[i] not in asked]
    texts = [compared_text(example) for example in [*held_out, *(context.examples[i] for i in others)]]
    alike = similar_to_earlier(texts, SIMILARITY, among=len(held_out))
    yield from context.problems(
        "near-test-leak",
        "warning",
        sorted(others[k - len(held_out)] for k in alike),
        f"of the training data are at least {SIMILARITY:.0%} alike to a held-out example",
        "look at a few; if they are copies with small changes, take them out of the training data",
    )
