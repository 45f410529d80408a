"""What a training method is: a loss over the log-probabilities of whole answers.

The stepper lays the sequences of some examples into a forest, runs the model once, and hands the method one number for
each sequence: the sum of the log-probabilities of its trained tokens. The method gives back this micro-batch's share of
the loss of the whole optimizer step, so how a step is cut into micro-batches changes nothing.

Shapes: S sequences of the micro-batch, in the order of its examples (chosen before rejected); E examples.
"""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True, slots=True)
class SequenceLogprobs:
    """What the model says of a micro-batch.

    `logps_S`: sum over the trained tokens of weight * log-probability (nats, float32, carries the gradient);
    `weights_S`: the sum of those weights (the number of trained tokens when every weight is 1);
    `reference_S`: `logps_S` of the reference model, when the method asks for it; `is_desirable_E` likewise (KTO).
    """

    logps_S: Tensor
    weights_S: Tensor
    reference_S: Tensor | None = None
    is_desirable_E: Tensor | None = None

    @property
    def log_ratios_S(self) -> Tensor:
        """How much likelier each answer is than under the reference model: log p(y|x) / p_ref(y|x), in nats."""
        assert self.reference_S is not None  # the stepper has it for every method with `uses_reference`
        return self.logps_S - self.reference_S

    @property
    def mean_logps_S(self) -> Tensor:
        """Nats per trained token."""
        return self.logps_S / self.weights_S


@dataclass(frozen=True, slots=True)
class StepTotals:
    """Of the whole optimizer step: its examples, and the sum of weights of their first sequences (SFT's trained
    tokens).

    `kl` is KTO's estimate of how far the model is from its reference, in nats, 0 for every other method.
    """

    examples: int
    weight: float
    kl: float = 0.0


class TrainingMethod(Protocol):
    """A loss. Adding one: a module beside this, a row in `choose.py`, its parity test."""

    sequences_per_example: int
    uses_reference: bool
    estimates_kl: bool

    def compute_loss(self, scores: SequenceLogprobs, totals: StepTotals) -> Tensor:
        """This micro-batch's share of the step's loss: a scalar; the shares of all micro-batches add up to it."""
        ...

    def is_preferred_E(self, scores: SequenceLogprobs, totals: StepTotals) -> Tensor | None:
        """Of each example whether the model prefers what it should; None for a method that knows no preference."""
        ...


def split_pairs(values_S: Tensor) -> tuple[Tensor, Tensor]:
    """(of the chosen answers, of the rejected answers), both E."""
    return values_S[0::2], values_S[1::2]
