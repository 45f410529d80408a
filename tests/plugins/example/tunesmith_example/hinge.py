"""A preference loss: the hinge of DPO's margin, which is zero once a pair is separated.

    ratio(y) = log p(y | x) - log p_ref(y | x)
    loss     = max(0, 1 - beta * (ratio(chosen) - ratio(rejected)))

Source: Zhao et al. 2023, SLiC-HF, arXiv:2305.10425; with DPO's margin in it, Liu et al. 2023, RSO,
arXiv:2309.06657, equation 10.
"""

from torch import Tensor

from tunesmith.engine.methods.training_method import (
    StepTotals,
    TokenLogprobs,
    TrainingMethod,
    split_pairs,
)
from tunesmith.records import Recipe


class Hinge(TrainingMethod):
    """Prefer the chosen answer until it is ahead by 1 / beta nats."""

    sequences_per_example = 2
    reference = "sequences"

    def __init__(self, recipe: Recipe) -> None:
        self.beta = recipe.dpo.beta

    def compute_loss(self, logprobs: TokenLogprobs, totals: StepTotals) -> Tensor:
        """Nats per pair. Shapes: () from S."""
        chosen_E, rejected_E = split_pairs(logprobs.log_ratios_S)
        return (1 - self.beta * (chosen_E - rejected_E)).clamp(min=0).sum() / totals.examples

    def is_preferred_E(self, logprobs: TokenLogprobs, totals: StepTotals) -> Tensor:
        """Whether chosen gained more on the reference than rejected did."""
        chosen_E, rejected_E = split_pairs(logprobs.log_ratios_S)
        return chosen_E > rejected_E
