"""KTO: answers rated individually as desirable or undesirable; no pairs are needed.

    r(x, y) = log p(y | x) - log p_ref(y | x)
    z  = max(0, mean of r(x, y') over the optimizer step), y' the answer to another prompt; carries no gradient
    loss    = w_desirable   * (1 - sigmoid(beta * (r - z)))      for a desirable answer
              w_undesirable * (1 - sigmoid(beta * (z - r)))  for an undesirable one; mean over the examples

z estimates the KL divergence of the model from its reference: what all answers have gained on
average. An answer counts only as far as it differs from that. The mismatched prompts and answers of
the estimate are formed once, before training (`build_mismatched`), so that the reference's part of
it is computed only once too.

Source: Ethayarajh et al. 2024, arXiv:2402.01306, equations 7 and 8.
"""  # noqa: E501

from typing import Self

import numpy as np
import torch
from torch import Tensor

from tunesmith.engine.methods.training_method import SequenceLogprobs, StepTotals
from tunesmith.records import Recipe, TokenArrays


class Kto:
    """Raises desirable and lowers undesirable answers, relative to the gain of all answers."""

    sequences_per_example = 1
    uses_reference = True
    estimates_kl = True

    @classmethod
    def from_recipe(cls, recipe: Recipe) -> Self:
        """The method with the options of a recipe."""
        return cls(
            recipe.kto.beta,
            recipe.kto.desirable_weight or 1.0,
            recipe.kto.undesirable_weight or 1.0,
        )

    def __init__(self, beta: float, wanted_weight: float, unwanted_weight: float) -> None:
        self.beta, self.desirable_weight, self.undesirable_weight = (
            beta,
            wanted_weight,
            unwanted_weight,
        )

    def compute_loss(self, scores: SequenceLogprobs, totals: StepTotals) -> Tensor:
        """Loss between 0 and the larger weight (no unit), mean over the examples of the step.
        Shapes: () from S.
        """
        assert scores.is_desirable_E is not None  # the data of this method always has it
        value_E = torch.sigmoid(self.beta * self._compute_margin_E(scores, totals))
        wanted, unwanted = value_E.new_tensor((self.desirable_weight, self.undesirable_weight))
        weight_E = torch.where(scores.is_desirable_E, wanted, unwanted)
        return (weight_E * (1 - value_E)).sum() / totals.examples

    def is_preferred_E(self, scores: SequenceLogprobs, totals: StepTotals) -> Tensor:
        """Whether a desirable answer is above z, or an undesirable one below it, E."""
        return self._compute_margin_E(scores, totals) > 0

    def _compute_margin_E(self, scores: SequenceLogprobs, totals: StepTotals) -> Tensor:
        assert scores.is_desirable_E is not None  # the data of this method always has it
        beyond_E = scores.log_ratios_S - totals.kl
        return torch.where(scores.is_desirable_E, beyond_E, -beyond_E)


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
