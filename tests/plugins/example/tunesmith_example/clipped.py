"""A loss over tokens: the clipped policy loss of PPO and GRPO, on stored answers with ratings.

    ratio_k = p(k | before it) / p_ref(k | before it)
    A       = (rating - mean) / std          over the answers of the optimizer step
    loss    = - sum_k min(ratio_k A, clip(ratio_k, 1 - CLIP, 1 + CLIP) A) / tokens of the step

The model before training stands for the policy that wrote the answers.

Source: Shao et al. 2024, DeepSeekMath, arXiv:2402.03300, equation 3; the mean over the tokens of a
step is that of Yu et al. 2025, DAPO, arXiv:2503.14476, equation 8.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tunesmith.engine.methods.training_method import (
    LogprobSource,
    StepTotals,
    TokenLogprobs,
    TrainingMethod,
)
from tunesmith.records import Recipe, TokenArrays
from tunesmith.records.method_specs import RATING_COLUMN

CLIP = 0.2


class StepFigures(NamedTuple):
    """Mean and standard deviation of the step's ratings (1 and 0), and its trained tokens."""

    mean: float
    std: float
    tokens: int


class Clipped(TrainingMethod):
    """Raises and lowers tokens until their probability has moved by a factor of 1 +- CLIP."""

    reference = "tokens"
    columns = (RATING_COLUMN,)

    @classmethod
    def from_recipe(cls, recipe: Recipe) -> "Clipped":
        """It has no options."""
        return cls()

    def compute_step_context(
        self, model: LogprobSource, arrays: TokenArrays, examples: Sequence[int]
    ) -> StepFigures:
        """What all micro-batches of a step divide by."""
        ratings_E = arrays.columns_E[RATING_COLUMN][list(examples)]
        tokens = len(arrays.list_trained_tokens(examples))
        # a step whose answers are rated alike teaches nothing: its advantages are 0
        return StepFigures(float(ratings_E.mean()), float(ratings_E.std()) or 1.0, tokens)

    def compute_loss(self, logprobs: TokenLogprobs, totals: StepTotals) -> Tensor:
        """No unit, mean over the trained tokens of the step. Shapes: () from K."""
        step = StepFigures(*totals.context)
        ratings_E = logprobs.columns_E[RATING_COLUMN].to(logprobs.logps_K.dtype)
        advantage_K = ((ratings_E - step.mean) / step.std)[logprobs.sequence_K]
        ratio_K = logprobs.log_ratios_K.exp()
        clipped_K = ratio_K.clamp(1 - CLIP, 1 + CLIP)
        return -torch.minimum(ratio_K * advantage_K, clipped_K * advantage_K).sum() / step.tokens

    def is_preferred_E(self, logprobs: TokenLogprobs, totals: StepTotals) -> Tensor:
        """Whether a desirable answer gained on the reference, or an undesirable one lost."""
        return (logprobs.log_ratios_S > 0) == logprobs.columns_E[RATING_COLUMN]
