"""The interface of a training method: a loss over the log-probabilities of whole answers.

`TrainingStep` runs the model once on the sequences of some examples and passes the method one
number for each sequence: the sum of the log-probabilities of its trained tokens. The method returns
this micro-batch's part of the loss of the whole optimizer step, so the split into micro-batches
changes nothing.

Shapes: S sequences of the micro-batch, in the order of its examples (chosen before rejected); E
examples.
"""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True, slots=True)
class SequenceLogprobs:
    """The model's results for a micro-batch.

    `logps_S`: sum over the trained tokens of weight * log-probability (nats, float32, carries the
    gradient). `weights_S`: sum of those weights (the number of trained tokens when every weight is
    1). `reference_S`: `logps_S` of the reference model, for methods that use one; `is_desirable_E`:
    the ratings, for KTO.
    """

    logps_S: Tensor
    weights_S: Tensor
    reference_S: Tensor | None = None
    is_desirable_E: Tensor | None = None

    @property
    def log_ratios_S(self) -> Tensor:
        """log p(y|x) - log p_ref(y|x) of each answer, in nats."""
        # `TrainingStep` provides it for every method with `uses_reference`.
        assert self.reference_S is not None
        return self.logps_S - self.reference_S

    @property
    def mean_logps_S(self) -> Tensor:
        """Mean log-probability of the trained tokens, in nats per token."""
        return self.logps_S / self.weights_S


@dataclass(frozen=True, slots=True)
class StepTotals:
    """Denominators of the whole optimizer step.

    `examples`: their number. `weight`: sum of the weights of their first sequences (SFT's trained
    tokens). `kl`: KTO's estimate of the divergence from the reference in nats, 0 for every other
    method.
    """

    examples: int
    weight: float
    kl: float = 0.0


class TrainingMethod(Protocol):
    """A loss. A new one needs a module in this folder, a row in `records/method_specs.py`, and a
    parity test.

    `sequences_per_example`: 2 for pairs, else 1. `uses_reference`: needs reference
    log-probabilities. `estimates_kl`: needs mismatched answers.
    """

    sequences_per_example: int
    uses_reference: bool
    estimates_kl: bool

    def compute_loss(self, scores: SequenceLogprobs, totals: StepTotals) -> Tensor:
        """This micro-batch's part of the step's loss, a scalar; the parts add up to it."""
        ...

    def is_preferred_E(self, scores: SequenceLogprobs, totals: StepTotals) -> Tensor | None:
        """Whether the model prefers the right answer, E; None without preferences."""
        ...


def split_pairs(values_S: Tensor) -> tuple[Tensor, Tensor]:
    """(values of the chosen answers, values of the rejected answers), E each."""
    return values_S[0::2], values_S[1::2]
