"""One optimizer step's loss and gradient, whatever the micro-batches are.

    gradient = d/dw  (sum over the step of weighted token losses) / (sum over the step of weights)

Each micro-batch adds its share of that sum; the divisor is that of the whole step. When memory runs out the same step
is repeated with half the rows at once: the batch, its order and the schedule stay as they were.

Shapes: B rows, T tokens, S shared tokens, N trained positions, D hidden.
"""

import math
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel

from tunesmith.engine.batches import MicroBatch, collate, micro_batches
from tunesmith.engine.head import hidden_states, keeps_plain_cache, logits_of
from tunesmith.engine.load import LoadedModel
from tunesmith.engine.loss import token_loss
from tunesmith.engine.memory import is_out_of_memory, return_unused_memory
from tunesmith.errors import TrainingError, name_some
from tunesmith.records import TokenArrays

TOKENS_AT_ONCE = 1024  # about 2 MB of activations each with SmolLM2-135M in bfloat16
STEPS_BETWEEN_TRIMS = 8


class Stepper:
    """Computes losses and gradients of batches; remembers how many rows fit into memory."""

    def __init__(self, loaded: LoadedModel, most_rows: int | None, longest: int = 0) -> None:
        self.loaded = loaded
        self.most_rows = most_rows or 1 << 30
        self.most_tokens = TOKENS_AT_ONCE if most_rows is None else 1 << 62
        self.can_share = keeps_plain_cache(loaded.model)
        if longest > TOKENS_AT_ONCE:  # a single example needs more memory than that: pay with time
            enable_checkpointing(loaded.model)
            self.can_share = False

    def backward(self, arrays: TokenArrays, batch: Sequence[int], step: int) -> float:
        """Add the gradient of the batch's loss per trained token to the adapter; return that loss.

        Errors: `TrainingError` when the loss is not finite, or one example alone does not fit into memory.
        """
        while True:
            try:
                loss = self._accumulate(arrays, batch, step)
                if step % STEPS_BETWEEN_TRIMS == 0:
                    return_unused_memory()
                return loss
            except (RuntimeError, MemoryError) as error:
                self._halve_rows(error, arrays, batch, f"step {step}")
            self.loaded.model.zero_grad(set_to_none=True)

    def _accumulate(self, arrays: TokenArrays, batch: Sequence[int], step: int) -> float:
        count = sum(float(arrays.example(e)[1][1:].sum()) for e in batch)
        total = 0.0
        for piece in micro_batches(arrays, batch, self.most_rows, self.most_tokens):
            loss, _ = self._loss(collate(arrays, piece, self.loaded.device, can_share=self.can_share))
            share = loss.item() / count
            if not math.isfinite(share):
                raise TrainingError(
                    "loss-not-finite", "The loss is not a finite number; the step was not applied.",
                    where=f"step {step}, train examples number {name_some(piece, 8)}", found=f"loss {share}",
                    do="lower training.learning_rate, or set training.precision to float32",
                )  # fmt: skip
            (loss / count).backward()
            total += share
        return total

    def _halve_rows(self, error: BaseException, arrays: TokenArrays, batch: Sequence[int], where: str) -> None:
        """After an allocation failed, allow half of the rows; any other error goes on its way."""
        if not is_out_of_memory(error):
            raise error
        rows = max(len(piece) for piece in micro_batches(arrays, batch, self.most_rows, self.most_tokens))
        if rows == 1:
            longest = max(len(arrays.example(e)[0]) for e in batch)
            raise TrainingError(
                "out-of-memory",
                "Memory ran out with a single example at once.",
                where=where,
                found=f"the longest example there has {longest:,} tokens",
                do="lower data.max_tokens, or use a smaller model",
            ) from None
        self.most_rows = rows // 2

    def mean_loss(self, arrays: TokenArrays) -> float:
        """Loss per trained token over all examples, nothing trained. Errors: `TrainingError` when memory runs out."""
        everything = range(len(arrays))
        while True:
            try:
                return self._mean_loss(arrays, everything)
            except (RuntimeError, MemoryError) as error:
                self._halve_rows(error, arrays, everything, "validation split")

    @torch.no_grad()
    def _mean_loss(self, arrays: TokenArrays, examples: Sequence[int]) -> float:
        total = count = 0.0
        for piece in micro_batches(arrays, examples, self.most_rows, self.most_tokens):
            loss, weight = self._loss(collate(arrays, piece, self.loaded.device, can_share=self.can_share))
            total, count = total + loss.item(), count + weight
        return total / count

    def _loss(self, batch: MicroBatch) -> tuple[Tensor, float]:
        model = self.loaded.model
        hidden_BTD = _hidden_of(model, batch)
        hidden_ND = hidden_BTD[batch.rows_N, batch.columns_N]
        return token_loss(hidden_ND, batch.targets_N, batch.weights_N, partial(logits_of, model))


def enable_checkpointing(model: PreTrainedModel) -> None:
    """Recompute each layer in the backward pass instead of keeping its activations (its name changed within v5)."""
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": False})


def clip_gradient(parameters: Sequence[nn.Parameter], most: float, batch: Sequence[int], step: int) -> float:
    """Scale the gradient down to norm `most`; return its norm before. Errors: `TrainingError` when it is not finite."""
    norm = float(nn.utils.clip_grad_norm_(parameters, most))
    if not math.isfinite(norm):
        raise TrainingError(
            "gradient-not-finite", "The gradient is not finite; the step was not applied.",
            where=f"step {step}, train examples number {name_some(batch, 8)}", found=f"norm {norm}",
            do="lower training.learning_rate, or set training.precision to float32",
        )  # fmt: skip
    return norm


def _hidden_of(model: PreTrainedModel, batch: MicroBatch) -> Tensor:
    """Hidden states of the rows, BTD. Keys and values of the shared beginning are made once, with their gradients."""
    cache = None
    if len(batch.shared_S):
        cache = DynamicCache(config=model.config)
        hidden_states(model, batch.shared_S[None], cache=cache)
        cache.batch_repeat_interleave(len(batch.tokens_BT))
    return hidden_states(model, batch.tokens_BT, cache=cache)
