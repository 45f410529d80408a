"""ORPO: imitate the chosen and lower the rejected answer in one step, without a reference.

    m(y)      = mean log-probability of the answer's tokens
    log odds  = m - log(1 - exp m)
    loss      = cross-entropy of the chosen answers, per token of the step  (SFT)
              - beta * log sigmoid(log odds(chosen) - log odds(rejected)), mean over the pairs

Source: Hong et al. 2024, arXiv:2403.07691, equations 6 and 7 (beta is its lambda). TRL's
cross-entropy covers prompt and answer; ours covers the answer only, as in the paper and in SFT.
"""

from typing import Self

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from tunesmith.engine.methods.simpo import Simpo
from tunesmith.engine.methods.training_method import (
    StepTotals,
    TokenLogprobs,
    TrainingMethod,
    split_pairs,
)
from tunesmith.records import Recipe

LOG_HALF = -0.6931471805599453


class Orpo(TrainingMethod):
    """Imitates the chosen answer, and raises its odds against the rejected one."""

    sequences_per_example = 2
    is_preferred_E = Simpo.is_preferred_E

    @classmethod
    def from_recipe(cls, recipe: Recipe) -> Self:
        """The method with the options of a recipe."""
        return cls(recipe.orpo.beta)

    def __init__(self, beta: float) -> None:
        self.beta = beta

    def compute_loss(self, logprobs: TokenLogprobs, totals: StepTotals) -> Tensor:
        """Nats per trained token, plus beta times nats per pair. Shapes: () from S."""
        imitation = -split_pairs(logprobs.logps_S)[0].sum() / totals.weight
        chosen_E, rejected_E = split_pairs(log_odds(logprobs.mean_logps_S))
        return imitation - self.beta * logsigmoid(chosen_E - rejected_E).sum() / totals.examples


def log_odds(m_S: Tensor) -> Tensor:
    """log(p / (1 - p)) for p = exp(m), m <= 0, in nats. m is clamped just below 0, because the odds
    of a certain answer would be infinite."""
    m_S = m_S.clamp(max=-torch.finfo(m_S.dtype).eps)
    # log(1 - exp m) loses precision near m = 0 in one form and far from 0 in the other, so each is
    # used at its end.
    near_0, far = torch.log(-torch.expm1(m_S)), torch.log1p(-torch.exp(m_S))
    return m_S - torch.where(m_S > LOG_HALF, near_0, far)
