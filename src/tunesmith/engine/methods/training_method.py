"""The interface of a training method: a loss over the log-probabilities of tokens.

`TrainingStep` runs the model once on the sequences of some examples and passes the method the
log-probability of each trained token, with the number of the sequence that it belongs to. The
method returns this micro-batch's part of the loss of the whole optimizer step, so the split into
micro-batches changes nothing. A loss over whole answers reads their sums (`logps_S`).

What a method needs beyond that it declares: which reference log-probabilities (`reference`), which
columns of the data (`columns`), further sequences (`prepare`), and a value that is computed once
for each optimizer step (`compute_step_context`).

Shapes: K trained tokens of the micro-batch; S its sequences, in the order of its examples (chosen
before rejected); E examples.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Literal, Protocol

from torch import Tensor

from tunesmith.errors import TrainingError
from tunesmith.records import TokenArrays

ReferenceDetail = Literal["sequences", "tokens"]
"""What is stored of the reference model: one log-probability for each sequence, or for each token.
"""


def sum_by_sequence(values_K: Tensor, sequence_K: Tensor, sequences: int) -> Tensor:
    """The sum of the values of each sequence's tokens, S."""
    return values_K.new_zeros(sequences).index_add(0, sequence_K, values_K)


@dataclass(frozen=True)
class TokenLogprobs:
    """The model's results for a micro-batch.

    `logps_K`: log-probability of each trained token (nats, float32, carries the gradient).
    `weights_K`: its loss weight. `sequence_K`: the index of its sequence, of `sequences`.
    `reference_S`: `logps_S` of the reference model, for methods with a `reference`; `reference_K`:
    `logps_K` of the reference model, for `reference = "tokens"`. `columns_E`: the columns of the
    data that the method declares.
    """

    logps_K: Tensor
    weights_K: Tensor
    sequence_K: Tensor
    sequences: int
    reference_S: Tensor | None = None
    reference_K: Tensor | None = None
    columns_E: Mapping[str, Tensor] = field(default_factory=dict)

    def sum_by_sequence(self, values_K: Tensor) -> Tensor:
        """The sum of the values of each sequence's tokens, S."""
        return sum_by_sequence(values_K, self.sequence_K, self.sequences)

    # Cached: a loss that reads the sums twice must have one node in the graph for them, or the
    # gradient is rounded differently.
    @cached_property
    def logps_S(self) -> Tensor:
        """log p(y|x): the sum of weight * log-probability of each answer, in nats."""
        return self.sum_by_sequence(self.logps_K * self.weights_K)

    @cached_property
    def weights_S(self) -> Tensor:
        """The sum of the weights of each answer: its trained tokens when every weight is 1."""
        return self.sum_by_sequence(self.weights_K)

    @property
    def log_ratios_S(self) -> Tensor:
        """log p(y|x) - log p_ref(y|x) of each answer, in nats."""
        # `TrainingStep` provides it for every method with a `reference`.
        assert self.reference_S is not None
        return self.logps_S - self.reference_S

    @property
    def log_ratios_K(self) -> Tensor:
        """log p - log p_ref of each token, in nats; for `reference = "tokens"`."""
        # `TrainingStep` provides it for every method with `reference = "tokens"`.
        assert self.reference_K is not None
        return self.logps_K - self.reference_K

    @property
    def mean_logps_S(self) -> Tensor:
        """Mean log-probability of the trained tokens, in nats per token."""
        return self.logps_S / self.weights_S


@dataclass(frozen=True, slots=True)
class StepTotals:
    """What is known of the whole optimizer step.

    `examples`: their number. `weight`: sum of the weights of their first sequences (SFT's trained
    tokens). `context`: what the method's `compute_step_context` returned.
    """

    examples: int
    weight: float
    context: Any = None


class LogprobSource(Protocol):
    """What a method may ask of the model before an optimizer step; `TrainingStep` is one."""

    def compute_sequence_logps(self, arrays: TokenArrays, examples: Sequence[int]) -> Tensor:
        """`TokenLogprobs.logps_S` of all sequences of these examples, in their order: float64 on
        the CPU, without gradient and without dropout."""
        ...


class TrainingMethod(ABC):
    """A loss. A new one needs a module in this folder, a row in `records/method_specs.py`, and a
    parity test.

    `sequences_per_example`: 2 for pairs, else 1. `reference`: which log-probabilities of the
    reference model are stored, None for a loss without a reference. `columns`: the names of the
    columns in `TokenArrays.columns_E` that it reads.
    """

    sequences_per_example: ClassVar[int] = 1
    reference: ClassVar[ReferenceDetail | None] = None
    columns: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def compute_loss(self, logprobs: TokenLogprobs, totals: StepTotals) -> Tensor:
        """This micro-batch's part of the step's loss, a scalar; the parts add up to it."""

    def is_preferred_E(self, logprobs: TokenLogprobs, totals: StepTotals) -> Tensor | None:
        """Whether the model prefers the right answer, E; None for a method without preferences."""
        return None

    def prepare(self, arrays: TokenArrays) -> Mapping[str, TokenArrays]:
        """Further sequences that the method reads, by name: `TokenArrays.extras` from then on.

        Called once for each split before the first step. Each has as many examples as `arrays`, in
        the same order; the reference model reads them as well.
        """
        return {}

    def compute_step_context(
        self, model: LogprobSource, arrays: TokenArrays, examples: Sequence[int]
    ) -> Any:
        """`StepTotals.context`: a value that the micro-batches of an optimizer step share.

        Called before the first of them with all examples of the step. A trial that only measures
        memory calls it with a model and a reference whose log-probabilities are all 0.
        """
        return None


def prepare_arrays(method: TrainingMethod, arrays: TokenArrays) -> TokenArrays:
    """The arrays of a split together with the further sequences that the method reads.

    Errors: `TrainingError` when the data lacks a column that the method declares.
    """
    if missing := sorted(set(method.columns) - arrays.columns_E.keys()):
        raise TrainingError(
            "no-column",
            f"data lacks the column {missing[0]!r}, which the method reads",
            at=type(method).__name__,
            got=f"columns: {', '.join(arrays.columns_E) or 'none'}",
            hint="name the kind of data that has it in the method's spec",
        )
    return replace(arrays, extras=method.prepare(arrays))


def split_pairs(values_S: Tensor) -> tuple[Tensor, Tensor]:
    """(values of the chosen answers, values of the rejected answers), E each."""
    return values_S[0::2], values_S[1::2]
