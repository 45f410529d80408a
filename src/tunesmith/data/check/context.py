"""What every check is given, and how it names the examples it has found."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from tunesmith.data.keys import labels_of, prompt_key
from tunesmith.data.read.dataset import Loaded
from tunesmith.data.read.faults import LINES_KEPT
from tunesmith.data.wording import of_examples
from tunesmith.records import ChatTokenizer, Example, Method, Problem, Severity

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class CheckContext:
    """A data set as read, perhaps with its test set, tokenizer and token limit. Costly views are made once.

    `do_leaks_stop`: whether held-out questions in training are errors; False where the run's own gate follows.
    """

    loaded: Loaded
    test: Loaded | None = None
    tokenizer: ChatTokenizer | None = None
    max_tokens: int | None = None
    model: str | None = None
    method: Method | None = None
    do_leaks_stop: bool = False

    @property
    def examples(self) -> list[Example]:
        return self.loaded.examples

    @cached_property
    def prompt_hashes_E(self) -> "np.ndarray":
        """64 bits of what each example asks, shape (E,) int64: equal questions, equal hashes. Good in this process.

        Eight bytes instead of a text each; among a million examples two different questions meet once in 30 million
        data sets.
        """
        import numpy as np

        return np.fromiter((hash(prompt_key(example)) for example in self.examples), np.int64, len(self.examples))

    @cached_property
    def labels(self) -> list[str] | None:
        return labels_of(self.examples)

    def problems(self, code: str, severity: Severity, found: Sequence[int], message: str, do: str) -> Iterator[Problem]:
        """One problem for each file that has examples in `found` (positions in `examples`).

        `message` goes on after "3 of 10 examples" with a verb.
        """
        for part in self.loaded.parts:
            lines = [self.examples[i].line for i in found if part.begin <= i < part.end]
            if lines:
                yield Problem(
                    code=f"data/{code}",
                    severity=severity,
                    count=len(lines),
                    lines=tuple(lines[:LINES_KEPT]),
                    message=of_examples(len(lines), part.end - part.begin, message),
                    do=do,
                    file=part.file,
                    counted_in=part.counted_in,
                )


Check = Callable[[CheckContext], Iterable[Problem]]
