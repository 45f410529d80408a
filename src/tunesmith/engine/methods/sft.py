"""Supervised fine-tuning: the answers' cross-entropy per trained token of the optimizer step.

loss = - sum_s sum_t w_st log p(t | before it)  /  sum_s sum_t w_st
"""

from typing import Self

from torch import Tensor

from tunesmith.engine.methods.training_method import SequenceLogprobs, StepTotals
from tunesmith.records import Recipe


class Sft:
    """Imitates the answers."""

    sequences_per_example = 1
    uses_reference = False
    estimates_kl = False

    @classmethod
    def from_recipe(cls, recipe: Recipe) -> Self:
        """It has no options."""
        return cls()

    def compute_loss(self, scores: SequenceLogprobs, totals: StepTotals) -> Tensor:
        """Loss in nats per trained token of the step. Shapes: () from S."""
        return -scores.logps_S.sum() / totals.weight

    def is_preferred_E(self, scores: SequenceLogprobs, totals: StepTotals) -> None:
        """None: this method has no preferences."""
