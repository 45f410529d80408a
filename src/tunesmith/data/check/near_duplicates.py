"""Near duplicates: examples that differ in a word or two. Across the sides of a split they make a score too good."""

from collections.abc import Iterator

from tunesmith.data.check.context import CheckContext
from tunesmith.data.keys import normalised
from tunesmith.records import Example, Problem

SIMILARITY = 0.8


def check_near_duplicates(context: CheckContext) -> Iterator[Problem]:
    """Examples whose question and answer are at least 80 % alike to an earlier one, exact duplicates not counted."""
    from tunesmith.data.check.minhash import similar_to_earlier  # numpy

    first_of: dict[str, int] = {}
    for i, example in enumerate(context.examples):
        first_of.setdefault(example.id, i)
    positions = list(first_of.values())
    texts = [compared_text(context.examples[i]) for i in positions]
    later = [positions[k] for k in similar_to_earlier(texts, SIMILARITY)]
    yield from context.problems(
        "near-duplicate",
        "note",
        sorted(later),
        f"are at least {SIMILARITY:.0%} alike to an earlier one",
        "look at a few; if they are copies with small changes, keep one, or put them in one group (--group)",
    )


def compared_text(example: Example) -> str:
    """The last question and its answer, normalised: what a reader would look at to tell copies."""
    answer = example.answer_with_calls
    return normalised(f"{example.question} {answer}" if example.messages else answer)
