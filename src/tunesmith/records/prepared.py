"""Examples as token ids with loss weights: what the engine trains on, and the proof that the mask is right."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunesmith.records.record import Record

if TYPE_CHECKING:  # numpy costs a tenth of a second that `tunesmith --help` does not have
    import numpy as np


@dataclass(frozen=True, slots=True)
class TokenArrays:
    """Token sequences laid end to end. E = examples, N = tokens of all of them.

    `tokens_N` int32 ids; `weights_N` float32, the loss weight of predicting that token (0 = context only; the first
    token of an example is always 0); `starts_E1` int64 with E+1 entries: example e is `[starts[e] : starts[e+1]]`.
    """

    tokens_N: "np.ndarray"
    weights_N: "np.ndarray"
    starts_E1: "np.ndarray"

    def __len__(self) -> int:
        return len(self.starts_E1) - 1

    def example(self, e: int) -> tuple["np.ndarray", "np.ndarray"]:
        """(token ids, loss weights) of one example, both of shape (T,)."""
        piece = slice(int(self.starts_E1[e]), int(self.starts_E1[e + 1]))
        return self.tokens_N[piece], self.weights_N[piece]


class Piece(Record):
    """A stretch of a rendered example that is either trained or not."""

    text: str
    trained: bool


class MaskProof(Record):
    """What the model will be trained on, shown before step 1: the first examples in trained and context pieces."""

    examples: tuple[tuple[Piece, ...], ...]
    end_of_turn: str
    end_of_turn_trained: bool


class Prepared(Record):
    """One split, rendered and tokenised. The arrays lie beside it as `TokenArrays`."""

    split: str
    examples: int
    tokens_read: int
    tokens_trained: int
    longest_tokens: int
    max_tokens: int
    tokenizer_sha256: str
    template_sha256: str
    content: str
