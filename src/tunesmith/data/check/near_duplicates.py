"""Near duplicates: examples that differ in a word or two, which inflate a score across splits."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, overload

from tunesmith.data.check.context import CheckContext
from tunesmith.data.normalization import normalize_text
from tunesmith.records import Example, Problem

if TYPE_CHECKING:
    import numpy as np

MIN_SIMILARITY = 0.8
PIECE = 4096


def check_near_duplicates(context: CheckContext) -> Iterator[Problem]:
    """Examples at least 80 % similar to an earlier one, prompt and answer; no exact duplicates."""
    from tunesmith.data.check.minhash import (
        find_similar_earlier,
    )  # imports numpy: load it only when needed

    positions_D = context.first_D
    texts = _LazyTexts(context.examples, positions_D)
    later = [int(positions_D[k]) for k in find_similar_earlier(texts, MIN_SIMILARITY)]
    yield from context.report_problems(
        "near-duplicate",
        "note",
        sorted(later),
        f"are at least {MIN_SIMILARITY:.0%} similar to an earlier one",
        "review a few; if they are copies with small changes, keep one, or put them into one "
        "group (--group)",
    )


class _LazyTexts(Sequence[str]):
    """The texts of some examples, built on demand: all together would double the data in memory."""

    def __init__(self, examples: Sequence[Example], positions: "np.ndarray") -> None:
        self._examples, self._positions = examples, positions

    def __len__(self) -> int:
        return len(self._positions)

    def __iter__(self) -> Iterator[str]:
        # In pieces: all indices as Python ints would take 32 MB for a million examples.
        for begin in range(0, len(self), PIECE):
            for position in self._positions[begin : begin + PIECE].tolist():
                yield build_comparison_text(self._examples[position])

    @overload
    def __getitem__(self, k: int) -> str: ...
    @overload
    def __getitem__(self, k: slice) -> Sequence[str]: ...
    def __getitem__(self, k: int | slice) -> str | Sequence[str]:
        if isinstance(k, slice):
            return _LazyTexts(self._examples, self._positions[k])
        return build_comparison_text(self._examples[self._positions[k]])


def build_comparison_text(example: Example) -> str:
    """The last question and its answer, normalized: what a reader would compare to find copies."""
    answer = example.answer
    return normalize_text(f"{example.question} {answer}" if example.messages else answer)
