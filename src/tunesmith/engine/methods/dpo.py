"""Direct preference optimization: raise chosen over rejected, relative to a reference model.

    ratio(y) = log p(y | x) - log p_ref(y | x)

    sigmoid   loss = - log sigmoid(beta * (ratio(chosen) - ratio(rejected)))
    ipo       loss = (ratio(chosen) / tokens - ratio(rejected) / tokens - 1 / (2 beta))^2

A larger beta keeps the model closer to its reference. The sigmoid loss has no optimum at a finite
distance: where the preferences are deterministic it drives the ratios apart without limit; IPO
stops at a distance of 1 / (2 beta). Its ratios are per token, as in TRL, whose authors confirmed
with the authors of the paper that its results were obtained that way.

Source: Rafailov et al. 2023, arXiv:2305.18290, equation 7; Azar et al. 2023, arXiv:2310.12036,
equation 17.
"""

from torch import Tensor
from torch.nn.functional import logsigmoid

from tunesmith.engine.methods.training_method import (
    StepTotals,
    TokenLogprobs,
    TrainingMethod,
    split_pairs,
)
from tunesmith.records import Recipe


def build_dpo(recipe: Recipe) -> "Dpo":
    """The loss that the recipe names, with its beta."""
    return Ipo(recipe.dpo.beta) if recipe.dpo.loss == "ipo" else Dpo(recipe.dpo.beta)


class Dpo(TrainingMethod):
    """Prefers the chosen answer, by the log-odds of a Bradley-Terry model."""

    sequences_per_example = 2
    reference = "sequences"

    def __init__(self, beta: float) -> None:
        self.beta = beta

    def compute_loss(self, logprobs: TokenLogprobs, totals: StepTotals) -> Tensor:
        """Loss in nats, mean over the pairs of the step. Shapes: () from S."""
        chosen_E, rejected_E = split_pairs(logprobs.log_ratios_S)
        return -logsigmoid(self.beta * (chosen_E - rejected_E)).sum() / totals.examples

    def is_preferred_E(self, logprobs: TokenLogprobs, totals: StepTotals) -> Tensor:
        """Whether the chosen answer gained more over the reference than the rejected one, E."""
        chosen_E, rejected_E = split_pairs(logprobs.log_ratios_S)
        return chosen_E > rejected_E


class Ipo(Dpo):
    """Prefers the chosen answer by a fixed distance per token and no more."""

    def compute_loss(self, logprobs: TokenLogprobs, totals: StepTotals) -> Tensor:
        """Loss in squared nats per token, mean over the pairs of the step. Shapes: () from S."""
        chosen_E, rejected_E = split_pairs(logprobs.log_ratios_S / logprobs.weights_S)
        return (chosen_E - rejected_E - 1 / (2 * self.beta)).square().sum() / totals.examples
