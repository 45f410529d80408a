"""One optimizer step's loss and gradient, whatever the method and the micro-batches are.

Each micro-batch is run once; the method makes its share of the step's loss from the log-probabilities of its
sequences (`methods/method.py`), and the shares add up. When memory runs out the same step is repeated in pieces of
half the size: the batch, its order and the schedule stay as they were.

Shapes: B rows, T tokens, N tokens of all rows, U predictions, K trained tokens, S sequences, E examples, D hidden.
"""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from tunesmith import faults
from tunesmith.engine.attention.registered import (
    attending_by_forest,
    forest_hidden_states,
    why_not_plainly_causal,
)
from tunesmith.engine.batches import MicroBatch, collate, micro_batches
from tunesmith.engine.head import hidden_states
from tunesmith.engine.load import LoadedModel
from tunesmith.engine.loss import token_losses
from tunesmith.engine.memory import is_out_of_memory, return_unused_memory
from tunesmith.engine.methods.method import Method, Scores, Totals
from tunesmith.errors import TrainingError, name_some
from tunesmith.records import TokenArrays

TOKENS_AT_ONCE = 2048
STEPS_BETWEEN_TRIMS = 8


class Stepper:
    """Computes losses and gradients of batches; remembers how much fits into memory.

    `most_tokens` is of a micro-batch; `references` are the reference model's log-probabilities of whole data sets, by
    the arrays they belong to, for methods that ask for them."""

    def __init__(self, loaded: LoadedModel, method: Method, most_examples: int | None = None, longest: int = 0) -> None:
        self.loaded = loaded
        self.method = method
        self.most_examples = most_examples or 1 << 30
        self.most_tokens = TOKENS_AT_ONCE if most_examples is None else 1 << 62
        self.references: dict[int, Tensor] = {}
        self.why_no_forest = why_not_plainly_causal(loaded.model, longest)
        if longest > TOKENS_AT_ONCE:  # a single example needs more memory than that: pay with time
            enable_checkpointing(loaded.model)

    def backward(self, arrays: TokenArrays, batch: Sequence[int], step: int) -> float:
        """Add the gradient of the batch's loss to the trained weights; return that loss.

        Errors: `TrainingError` when the loss is not finite, or one example alone does not fit into memory.
        """
        while True:
            try:
                loss = self._accumulate(arrays, batch, step)
                if step % STEPS_BETWEEN_TRIMS == 0:
                    return_unused_memory()
                return loss
            except (RuntimeError, MemoryError) as error:
                self._halve(error, arrays, batch, f"step {step}")
            self.loaded.model.zero_grad(set_to_none=True)

    def _accumulate(self, arrays: TokenArrays, batch: Sequence[int], step: int) -> float:
        totals = totals_of(arrays, batch)
        total = 0.0
        for piece in self._pieces(arrays, batch):
            with self._attending():
                share = self.method.loss(self._scores(arrays, piece), totals)
                faults.hit("train.micro_batch")
                value = faults.value("train.loss", share.item())
                if not math.isfinite(value):
                    raise TrainingError(
                        "loss-not-finite", "The loss is not a finite number; the step was not applied.",
                        where=f"step {step}, train examples number {name_some(piece, 8)}", found=f"loss {value}",
                        do="lower training.learning_rate, or set training.precision to float32",
                    )  # fmt: skip
                share.backward()
            total += value
        return total

    def _attending(self) -> AbstractContextManager[None]:
        return nullcontext() if self.why_no_forest else attending_by_forest(self.loaded.model)

    def _halve(self, error: BaseException, arrays: TokenArrays, batch: Sequence[int], where: str) -> None:
        """After an allocation failed, allow pieces of half the size; any other error goes on its way."""
        if not is_out_of_memory(error):
            raise error
        most = max(map(len, self._pieces(arrays, batch)))
        if most == 1:
            longest = max(len(arrays.sequence(s)[0]) for e in batch for s in arrays.sequences_of(e))
            raise TrainingError(
                "out-of-memory",
                "Memory ran out with a single example at once.",
                where=where,
                found=f"the longest example there has {longest:,} tokens",
                do="lower data.max_tokens, or use a smaller model",
            ) from None
        self.most_examples = most // 2

    def mean_loss(self, arrays: TokenArrays) -> float:
        """The method's loss over all examples, nothing trained. Errors: `TrainingError` when memory runs out."""
        everything = range(len(arrays))
        totals = totals_of(arrays, everything)
        while True:
            try:
                with torch.no_grad(), self._attending():
                    pieces = self._pieces(arrays, everything)
                    return sum(float(self.method.loss(self._scores(arrays, piece), totals)) for piece in pieces)
            except (RuntimeError, MemoryError) as error:
                self._halve(error, arrays, everything, "validation split")

    def sequence_logps(self, arrays: TokenArrays) -> Tensor:
        """`Scores.logps_S` of every sequence of a data set, in its order, by the model as it stands."""
        logps_S = torch.empty(len(arrays.starts_S1) - 1, dtype=torch.float64)
        with torch.no_grad(), self._attending():
            for piece in self._pieces(arrays, range(len(arrays))):
                numbers = [s for e in piece for s in arrays.sequences_of(e)]
                logps_S[numbers] = self._scores(arrays, piece, with_reference=False).logps_S.double().cpu()
        return logps_S

    def _pieces(self, arrays: TokenArrays, batch: Sequence[int]) -> list[list[int]]:
        as_forest = self.why_no_forest is None
        return micro_batches(arrays, batch, self.most_examples, self.most_tokens, as_forest=as_forest)

    def _scores(self, arrays: TokenArrays, piece: Sequence[int], *, with_reference: bool = True) -> Scores:
        device = self.loaded.device
        batch = collate(arrays, piece, device, as_forest=self.why_no_forest is None)
        losses_U = token_losses(self.loaded.model, _hidden_of(self.loaded, batch)[batch.places_U], batch.targets_U)
        zeros_S = torch.zeros(batch.sequences, dtype=losses_U.dtype, device=device)
        weight_K = batch.weight_K.to(losses_U.dtype)
        logps_S = zeros_S.index_add(0, batch.sequence_K, -losses_U[batch.prediction_K] * weight_K)
        reference_S = None
        if with_reference and self.method.uses_reference:
            numbers = [s for e in piece for s in arrays.sequences_of(e)]
            reference_S = self.references[id(arrays)][numbers].to(device, losses_U.dtype)
        is_desirable_E = arrays.is_desirable_E
        return Scores(
            logps_S=logps_S,
            weights_S=zeros_S.index_add(0, batch.sequence_K, weight_K),
            reference_S=reference_S,
            is_desirable_E=None if is_desirable_E is None else torch.from_numpy(is_desirable_E[piece]).to(device),
        )


def totals_of(arrays: TokenArrays, batch: Sequence[int]) -> Totals:
    """What a method may divide by."""
    firsts = (arrays.sequence(arrays.sequences_of(e)[0])[1] for e in batch)
    return Totals(examples=len(batch), weight=sum(float(weights_T[1:].sum()) for weights_T in firsts))


def _hidden_of(loaded: LoadedModel, batch: MicroBatch) -> Tensor:
    """Last hidden states of all tokens along all rows, ND."""
    if batch.forest is not None:
        return forest_hidden_states(loaded.model, batch.forest)
    return hidden_states(loaded.model, batch.tokens_BT).flatten(end_dim=1)


def enable_checkpointing(model: PreTrainedModel) -> None:
    """Recompute each layer in the backward pass instead of keeping its activations (its name changed within v5)."""
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": False})


def clip_gradient(parameters: Sequence[nn.Parameter], most: float, batch: Sequence[int], step: int) -> float:
    """Scale the gradient down to norm `most`; return its norm before. Errors: `TrainingError` when it is not finite."""
    norm = faults.value("train.gradient", float(nn.utils.clip_grad_norm_(parameters, most)))
    if not math.isfinite(norm):
        raise TrainingError(
            "gradient-not-finite", "The gradient is not finite; the step was not applied.",
            where=f"step {step}, train examples number {name_some(batch, 8)}", found=f"norm {norm}",
            do="lower training.learning_rate, or set training.precision to float32",
        )  # fmt: skip
    return norm
