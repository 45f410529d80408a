"""Examples as token ids with loss weights: the engine's training data, and the proof that the mask
is right.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunesmith.records.record import Record

if TYPE_CHECKING:  # importing numpy takes 0.1 s, too long for `tunesmith --help`
    import numpy as np


@dataclass(frozen=True, slots=True)
class TokenArrays:
    """Token sequences, concatenated. S = sequences, N = tokens of all of them, E = examples.

    `tokens_N` int32 ids; `weights_N` float32, the loss weight of predicting that token (0 = context
    only; the first token of a sequence is always 0); `starts_S1` int64 with S+1 entries: sequence s
    is `[starts[s] : starts[s+1]]`. An example is `sequences_per_example` consecutive sequences:
    one, or two for preferences (chosen, rejected). `is_desirable_E` says for each example whether
    its answer is desirable, for methods that need it (KTO). The engine adds what its methods need:
    `reference_S`, float64, the log-probability of each sequence under the reference model;
    `mismatched`, for each example a sequence of its prompt with another example's answer (KTO).
    """

    tokens_N: "np.ndarray"
    weights_N: "np.ndarray"
    starts_S1: "np.ndarray"
    sequences_per_example: int = 1
    is_desirable_E: "np.ndarray | None" = None
    reference_S: "np.ndarray | None" = None
    mismatched: "TokenArrays | None" = None

    def __len__(self) -> int:
        return (len(self.starts_S1) - 1) // self.sequences_per_example

    def get_sequence(self, s: int) -> tuple["np.ndarray", "np.ndarray"]:
        """(token ids, loss weights) of one sequence, both of shape (T,)."""
        piece = slice(int(self.starts_S1[s]), int(self.starts_S1[s + 1]))
        return self.tokens_N[piece], self.weights_N[piece]

    def get_sequence_range(self, e: int) -> range:
        """The indices of the sequences of one example."""
        return range(e * self.sequences_per_example, (e + 1) * self.sequences_per_example)

    def list_sequence_indices(self, examples: Iterable[int]) -> list[int]:
        """The indices of the sequences of some examples, in their order."""
        return [s for e in examples for s in self.get_sequence_range(e)]


class TextSpan(Record):
    """A part of a rendered example that is either trained or not."""

    text: str
    trained: bool


class MaskProof(Record):
    """What the model will be trained on, shown before step 1: the first examples as trained and
    context spans.
    """

    examples: tuple[tuple[TextSpan, ...], ...]
    end_of_turn: str
    end_of_turn_trained: bool


class PreparedSplit(Record):
    """One split, rendered and tokenized. The arrays are stored next to it as `TokenArrays`."""

    split: str
    examples: int
    tokens_read: int
    tokens_trained: int
    longest_tokens: int
    max_tokens: int
    tokenizer_sha256: str
    template_sha256: str
    content: str
