"""Examples as token ids with loss weights: the engine's training data, and the proof that the mask
is right.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
    one, or two for preferences (chosen, rejected). `columns_E` are further columns of the data by
    name, one value for each example. The engine adds what its methods need: `reference_S`, float64,
    the log-probability of each sequence under the reference model; `reference_N`, float64, that of
    each trained token (0 for the others); `extras`, further sequences by name, for each example as
    many.
    """

    tokens_N: "np.ndarray"
    weights_N: "np.ndarray"
    starts_S1: "np.ndarray"
    sequences_per_example: int = 1
    columns_E: "Mapping[str, np.ndarray]" = field(default_factory=dict)
    reference_S: "np.ndarray | None" = None
    reference_N: "np.ndarray | None" = None
    extras: "Mapping[str, TokenArrays]" = field(default_factory=dict)

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

    def select(self, examples: Sequence[int]) -> "TokenArrays":
        """These examples alone, in their order, without what the engine added."""
        import numpy as np

        numbers = self.list_sequence_indices(examples)
        sequences = [self.get_sequence(s) for s in numbers]
        return TokenArrays(
            np.concatenate([tokens_T for tokens_T, _ in sequences]),
            np.concatenate([weights_T for _, weights_T in sequences]),
            np.cumsum([0, *(len(tokens_T) for tokens_T, _ in sequences)]).astype(np.int64),
            self.sequences_per_example,
            {name: column_E[list(examples)] for name, column_E in self.columns_E.items()},
        )

    def list_trained_tokens(self, examples: Iterable[int]) -> "np.ndarray":
        """The indices in `tokens_N` of the trained tokens of some examples, in their order: K."""
        import numpy as np

        starts = self.starts_S1
        return np.concatenate(
            [
                starts[s] + 1 + np.flatnonzero(self.get_sequence(s)[1][1:])
                for s in self.list_sequence_indices(examples)
            ]
        )

    def select_reference(self, examples: Iterable[int]) -> "np.ndarray":
        """The reference log-probabilities of these examples' sequences, in order: float64, S."""
        assert self.reference_S is not None  # the engine has added it
        return self.reference_S[self.list_sequence_indices(examples)]

    def with_zero_reference(self, *, by_token: bool = False) -> "TokenArrays":
        """The arrays with a reference of zeros, for trials that measure time or memory."""
        import numpy as np

        return replace(
            self,
            reference_S=np.zeros(len(self.starts_S1) - 1),
            reference_N=np.zeros(len(self.tokens_N)) if by_token else None,
            extras={
                name: extra.with_zero_reference(by_token=by_token)
                for name, extra in self.extras.items()
            },
        )


def name_columns(arrays: TokenArrays) -> "dict[str, np.ndarray]":
    """The further columns of the data under the names that they have in files: `is_desirable_E`."""
    return {f"{name}_E": column_E for name, column_E in arrays.columns_E.items()}


def read_columns(tensors: "Mapping[str, np.ndarray]") -> "dict[str, np.ndarray]":
    """`TokenArrays.columns_E` from the tensors of a file, as `name_columns` named them."""
    return {name[:-2]: tensor for name, tensor in tensors.items() if name.endswith("_E")}


class TextSpan(Record):
    """A part of a rendered example that is either trained or not."""

    text: str
    is_trained: bool


class MaskProof(Record):
    """What the model will be trained on, shown before step 1: the first examples as trained and
    context spans.
    """

    examples: tuple[tuple[TextSpan, ...], ...]
    end_of_turn: str
    is_end_of_turn_trained: bool


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
    content_sha256: str
