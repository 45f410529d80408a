"""Supervised fine-tuning: the answers' cross-entropy per trained token of the optimizer step.

loss = - sum_s sum_t w_st log p(t | before it)  /  sum_s sum_t w_st
"""

from typing import Self

from torch import Tensor

from tunesmith.engine.methods.training_method import StepTotals, TokenLogprobs, TrainingMethod
from tunesmith.records import Recipe


class Sft(TrainingMethod):
    """Imitates the answers."""

    @classmethod
    def from_recipe(cls, recipe: Recipe) -> Self:
        """It has no options."""
        return cls()

    def compute_loss(self, logprobs: TokenLogprobs, totals: StepTotals) -> Tensor:
        """Loss in nats per trained token of the step. Shapes: () from S."""
        return -logprobs.logps_S.sum() / totals.weight
