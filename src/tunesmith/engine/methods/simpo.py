"""SimPO: prefer the chosen answer by its mean log-probability, without a reference model.

    loss = - log sigmoid(beta * (mean log p(chosen) - mean log p(rejected)) - margin)

The mean is over the tokens of each answer, so that a long answer is not preferred for its length.

Source: Meng et al. 2024, arXiv:2405.14734, equation 6 (margin is its gamma).
"""

from typing import Self

from torch import Tensor
from torch.nn.functional import logsigmoid

from tunesmith.engine.methods.training_method import (
    StepTotals,
    TokenLogprobs,
    TrainingMethod,
    split_pairs,
)
from tunesmith.records import Recipe


class Simpo(TrainingMethod):
    """Prefers the chosen answer by a margin in mean log-probability."""

    sequences_per_example = 2

    @classmethod
    def from_recipe(cls, recipe: Recipe) -> Self:
        """The method with the options of a recipe."""
        return cls(recipe.simpo.beta, recipe.simpo.margin)

    def __init__(self, beta: float, margin: float) -> None:
        self.beta, self.margin = beta, margin

    def compute_loss(self, logprobs: TokenLogprobs, totals: StepTotals) -> Tensor:
        """Loss in nats, mean over the pairs of the step. Shapes: () from S."""
        chosen_E, rejected_E = split_pairs(logprobs.mean_logps_S)
        return (
            -logsigmoid(self.beta * (chosen_E - rejected_E) - self.margin).sum() / totals.examples
        )

    def is_preferred_E(self, logprobs: TokenLogprobs, totals: StepTotals) -> Tensor:
        """Whether the chosen answer has the higher mean log-probability per token, E."""
        chosen_E, rejected_E = split_pairs(logprobs.mean_logps_S)
        return chosen_E > rejected_E
