"""KTO: answers rated individually as desirable or undesirable; no pairs are needed.

    r(x, y) = log p(y | x) - log p_ref(y | x)
    z       = max(0, mean of r(x, y') over the optimizer step), y' the answer to another prompt
    loss    = w_desirable   * (1 - sigmoid(beta * (r - z)))      for a desirable answer
              w_undesirable * (1 - sigmoid(beta * (z - r)))      for an undesirable one

The loss is the mean over the examples; z carries no gradient.

z estimates the KL divergence of the model from its reference: what all answers have gained on
average. An answer counts only as far as it differs from that. The mismatched prompts and answers of
the estimate are formed once, before training (`build_mismatched`), so that the reference's part of
it is computed only once too.

Source: Ethayarajh et al. 2024, arXiv:2402.01306, equations 7 and 8.
"""

from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
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

MISMATCHED = "mismatched"
"""Name of the mismatched sequences; checkpoints hold their reference under it."""


class Kto(TrainingMethod):
    """Raises desirable and lowers undesirable answers, relative to the gain of all answers."""

    reference = "sequences"
    columns = (RATING_COLUMN,)

    @classmethod
    def from_recipe(cls, recipe: Recipe) -> Self:
        """The method with the options of a recipe."""
        return cls(recipe.kto.beta, *recipe.kto.answer_weights)

    def __init__(self, beta: float, desirable_weight: float, undesirable_weight: float) -> None:
        self.beta = beta
        self.desirable_weight, self.undesirable_weight = desirable_weight, undesirable_weight

    def prepare(self, arrays: TokenArrays) -> Mapping[str, TokenArrays]:
        """The mismatched sequences, for the estimate of z."""
        return {MISMATCHED: build_mismatched(arrays)}

    def compute_step_context(
        self, model: LogprobSource, arrays: TokenArrays, examples: Sequence[int]
    ) -> float:
        """z in nats, from the mismatched answers of the step."""
        mismatched = arrays.extras[MISMATCHED]
        gained_E = model.compute_sequence_logps(mismatched, examples) - torch.from_numpy(
            mismatched.select_reference(examples)
        )
        return max(0.0, float(gained_E.mean()))

    def compute_loss(self, logprobs: TokenLogprobs, totals: StepTotals) -> Tensor:
        """Loss between 0 and the larger weight (no unit), mean over the examples of the step.
        Shapes: () from S.
        """
        value_E = torch.sigmoid(self.beta * self._compute_margin_E(logprobs, totals))
        desirable, undesirable = value_E.new_tensor(
            (self.desirable_weight, self.undesirable_weight)
        )
        weight_E = torch.where(logprobs.columns_E[RATING_COLUMN], desirable, undesirable)
        return (weight_E * (1 - value_E)).sum() / totals.examples

    def is_preferred_E(self, logprobs: TokenLogprobs, totals: StepTotals) -> Tensor:
        """Whether a desirable answer is above z, or an undesirable one below it, E."""
        return self._compute_margin_E(logprobs, totals) > 0

    def _compute_margin_E(self, logprobs: TokenLogprobs, totals: StepTotals) -> Tensor:
        beyond_E = logprobs.log_ratios_S - totals.context
        return torch.where(logprobs.columns_E[RATING_COLUMN], beyond_E, -beyond_E)


def build_mismatched(arrays: TokenArrays) -> TokenArrays:
    """KTO's mismatched sequences: every prompt with the answer to the next different prompt.

    The answer is truncated where the sequence would exceed the longest example: it is used for an
    estimate only, never trained on.
    """
    prompts, answers = zip(
        *(_split_prompt(*arrays.get_sequence(s)) for s in range(len(arrays))), strict=True
    )
    longest = int(np.diff(arrays.starts_S1).max())
    tokens, weights = [], []
    for prompt_T, other in zip(prompts, _find_next_different(prompts), strict=True):
        answer_T, weights_T = (part[: longest - len(prompt_T)] for part in answers[other])
        tokens.append(np.concatenate([prompt_T, answer_T]))
        weights.append(np.concatenate([np.zeros(len(prompt_T), np.float32), weights_T]))
    starts_S1 = np.cumsum([0, *map(len, tokens)]).astype(np.int64)
    return TokenArrays(np.concatenate(tokens), np.concatenate(weights), starts_S1)


def _split_prompt(
    tokens_T: np.ndarray, weights_T: np.ndarray
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """(prompt, (answer, its weights)); the answer starts at the first trained token."""
    begin = int(np.argmax(weights_T > 0))
    return tokens_T[:begin], (tokens_T[begin:], weights_T[begin:])


def _find_next_different(prompts: tuple[np.ndarray, ...]) -> list[int]:
    """For each prompt the index of the next different one, cyclically (or just the next one)."""
    n, keys = len(prompts), [prompt_T.tobytes() for prompt_T in prompts]
    following = [0] * n
    if len(set(keys)) == 1:
        return [(i + 1) % n for i in range(n)]
    # Two rounds, because the first one has no result yet to wrap around to.
    for i in reversed(range(2 * n)):
        here, after = i % n, (i + 1) % n
        following[here] = after if keys[after] != keys[here] else following[after]
    return following
