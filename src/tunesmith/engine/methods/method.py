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
class Scores:
    """What the model says of a micro-batch.

    `logps_S`: sum over the trained tokens of weight * log-probability (nats, float32, carries the gradient);
    `weights_S`: the sum of those weights (the number of trained tokens when every weight is 1);
    `reference_S`: `logps_S` of the reference model, when the method asks for it; `is_desirable_E` likewise (KTO).
    """

    logps_S: Tensor
    weights_S: Tensor
    reference_S: Tensor | None = None
    is_desirable_E: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Totals:
    """Of the whole optimizer step: its examples, and the sum of weights of their first sequences (SFT's trained
    tokens).

    `kl` is KTO's estimate of how far the model is from its reference, in nats, 0 for every other method.
    """

    examples: int
    weight: float
    kl: float = 0.0


class Method(Protocol):
    """A loss. Adding one: a module beside this, a row in `choose.py`, its parity test."""

    sequences_per_example: int
    uses_reference: bool

    def loss(self, scores: Scores, totals: Totals) -> Tensor:
        """This micro-batch's share of the step's loss: a scalar; the shares of all micro-batches add up to it."""
        ...
