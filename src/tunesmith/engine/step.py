"""One optimizer step's loss and gradient, whatever the method and the micro-batches are.

Each micro-batch is run once; the method makes its share of the step's loss from the log-probabilities of its
sequences (`methods/method.py`), and the shares add up. How large micro-batches are is a `MemoryPlan`, found before step
1 (`budget.py`). When memory runs out nevertheless the same step is repeated in pieces of half the size, and at last
with activation checkpointing: the batch, its order and the schedule stay as they were.

Shapes: B rows, T tokens, N tokens of all rows, U predictions, K trained tokens, S sequences, E examples, D hidden.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import Literal

import numpy as np
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
from tunesmith.engine.memory import counting_memory, is_out_of_memory, return_unused_memory
from tunesmith.engine.methods.method import Method, Scores, Totals
from tunesmith.errors import TrainingError, name_some
from tunesmith.records import MemoryPlan, TokenArrays

STEPS_BETWEEN_TRIMS = 64
"""With 8 the peak is the same and a step takes 1 to 3 % longer (docs/lab)."""


class Stepper:
    """Computes losses and gradients of batches by a memory plan, and makes the plan smaller when it does not hold."""

    def __init__(self, loaded: LoadedModel, method: Method, plan: MemoryPlan | None = None, longest: int = 0) -> None:
        self.loaded = loaded
        self.method = method
        self.why_no_forest = why_not_plainly_causal(loaded.model, longest)
        self.follow(plan or MemoryPlan())

    @property
    def unshared(self) -> str | None:
        """What a person is told when forests are not possible; None when they are."""
        why = self.why_no_forest
        return why and f"what examples have in common at their beginning is computed for each of them, because {why}"

    def follow(self, plan: MemoryPlan) -> None:
        """Go by this plan from now on."""
        self.plan = plan
        set_checkpointing(self.loaded.model, plan.checkpointing)

    def bytes_for(self, arrays: TokenArrays, piece: Sequence[int], checkpointing: bool) -> int:
        """The most memory that forward and backward of one micro-batch hold; weights and random state stay as they are.

        What is counted is tensors, times what the allocator usually needs for them (`memory.py`).
        """
        model, device = self.loaded.model, self.loaded.device
        was_training = model.training
        model.train()
        set_checkpointing(model, checkpointing)
        arrays = replace(arrays, reference_S=np.zeros(len(arrays.starts_S1) - 1), mismatched=None)
        try:
            with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), self._attending():
                with counting_memory(device) as most_bytes:
                    self.method.loss(self._scores(arrays, piece), self._totals(arrays, piece)).backward()
                return most_bytes()
        finally:
            model.zero_grad(set_to_none=True)
            model.train(was_training)
            set_checkpointing(model, self.plan.checkpointing)

    def backward(self, arrays: TokenArrays, batch: Sequence[int], step: int) -> float:
        """Add the gradient of the batch's loss to the trained weights; return that loss.

        Errors: `TrainingError` when the loss is not finite, or one example alone does not fit into memory. There may be
        some gradient then; whoever goes on takes it away.
        """
        while True:
            try:
                loss = self._accumulate(arrays, batch, step)
                if step % STEPS_BETWEEN_TRIMS == 0 or self.plan.checkpointing:  # then memory is short
                    return_unused_memory()
                return loss
            except (RuntimeError, MemoryError) as error:
                self._halve(error, arrays, batch, f"step {step}")
            self.loaded.model.zero_grad(set_to_none=True)

    def _accumulate(self, arrays: TokenArrays, batch: Sequence[int], step: int) -> float:
        totals = self._totals(arrays, batch)
        shares: list[tuple[list[int], Tensor]] = []
        for piece in self._pieces(arrays, batch):
            with self._attending():
                share = self.method.loss(self._scores(arrays, piece), totals)
                faults.hit("train.micro_batch")
                share.backward()
            shares.append((piece, share.detach()))
        # Not read before: a device that has to tell the loss first has nothing queued to go on with.
        return sum(_finite(share, piece, step) for piece, share in shares)

    def _attending(self) -> AbstractContextManager[None]:
        return nullcontext() if self.why_no_forest else attending_by_forest(self.loaded.model)

    def _halve(self, error: BaseException, arrays: TokenArrays, batch: Sequence[int], where: str) -> None:
        """After an allocation failed, allow pieces of half the size, at last keep less; raise any other error."""
        if not is_out_of_memory(error):
            raise error
        most = max(map(len, self._pieces(arrays, batch)))
        if most == 1 and not self.plan.checkpointing and torch.is_grad_enabled():
            self.follow(self.plan.model_copy(update={"checkpointing": True}))
            return
        if most == 1:
            longest = max(len(arrays.sequence(s)[0]) for e in batch for s in arrays.sequences_of(e))
            raise TrainingError(
                "out-of-memory",
                "Memory ran out with a single example at once.",
                where=where,
                found=f"the longest example there has {longest:,} tokens",
                do="lower data.max_tokens, or use a smaller model",
            ) from None
        self.follow(self.plan.model_copy(update={"most_examples": most // 2}))

    def validate(self, arrays: TokenArrays, examples: int | None = None) -> tuple[float, float | None]:
        """Over the first so many examples (None: all), nothing trained: the method's loss, and the share of them where
        the model prefers what it should, None for a method without preferences.

        Errors: `TrainingError` when memory runs out.
        """
        everything = range(len(arrays) if examples is None else examples)
        while True:
            try:
                with torch.no_grad():
                    return self._validate(arrays, everything)
            except (RuntimeError, MemoryError) as error:
                self._halve(error, arrays, everything, "validation split")

    def _validate(self, arrays: TokenArrays, everything: Sequence[int]) -> tuple[float, float | None]:
        totals = self._totals(arrays, everything)
        loss, won = 0.0, None
        for piece in self._pieces(arrays, everything):
            with self._attending():
                scores = self._scores(arrays, piece)
            loss += float(self.method.loss(scores, totals))
            is_won_E = self.method.is_won_E(scores, totals)
            if is_won_E is not None:
                won = (won or 0) + int(is_won_E.sum())
        return loss, None if won is None else won / len(everything)

    def sequence_logps(self, arrays: TokenArrays, examples: Sequence[int]) -> Tensor:
        """`Scores.logps_S` of all sequences of these examples, in their order, float64 on the CPU, nothing trained and
        no dropout. Errors: `TrainingError` when memory runs out."""
        place = {e: k * arrays.sequences_per_example for k, e in enumerate(examples)}
        logps_S = torch.empty(len(examples) * arrays.sequences_per_example, dtype=torch.float64)
        while True:
            try:
                with torch.no_grad(), answering(self.loaded.model), self._attending():
                    for piece in self._pieces(arrays, examples):
                        places = [place[e] + k for e in piece for k in range(arrays.sequences_per_example)]
                        logps_S[places] = self._scores(arrays, piece).logps_S.double().cpu()
                return logps_S
            except (RuntimeError, MemoryError) as error:
                self._halve(error, arrays, examples, "the reference model's answers")

    def _totals(self, arrays: TokenArrays, batch: Sequence[int]) -> Totals:
        """What a method may divide by, and KTO's estimate: how much likelier the model finds mismatched answers."""
        firsts = (arrays.sequence(arrays.sequences_of(e)[0])[1] for e in batch)
        weight, kl = sum(float(weights_T[1:].sum()) for weights_T in firsts), 0.0
        if arrays.mismatched is not None:
            gained_E = self.sequence_logps(arrays.mismatched, batch) - reference_of(arrays.mismatched, batch)
            kl = max(0.0, float(gained_E.mean()))
        return Totals(examples=len(batch), weight=weight, kl=kl)

    def _pieces(self, arrays: TokenArrays, batch: Sequence[int]) -> list[list[int]]:
        as_forest = self.why_no_forest is None
        return micro_batches(arrays, batch, self.plan.most_examples, self.plan.most_tokens, as_forest=as_forest)

    def _scores(self, arrays: TokenArrays, piece: Sequence[int]) -> Scores:
        device = self.loaded.device
        batch = collate(arrays, piece, device, as_forest=self.why_no_forest is None)
        losses_U = token_losses(self.loaded.model, _hidden_of(self.loaded, batch)[batch.places_U], batch.targets_U)
        zeros_S = torch.zeros(batch.sequences, dtype=losses_U.dtype, device=device)
        weight_K = batch.weight_K.to(losses_U.dtype)
        logps_S = zeros_S.index_add(0, batch.sequence_K, -losses_U[batch.prediction_K] * weight_K)
        has_reference, is_desirable_E = arrays.reference_S is not None, arrays.is_desirable_E
        return Scores(
            logps_S=logps_S,
            weights_S=zeros_S.index_add(0, batch.sequence_K, weight_K),
            reference_S=reference_of(arrays, piece).to(device, losses_U.dtype) if has_reference else None,
            is_desirable_E=None if is_desirable_E is None else torch.from_numpy(is_desirable_E[piece]).to(device),
        )


def _finite(share: Tensor, piece: Sequence[int], step: int) -> float:
    """A micro-batch's part of the loss. Errors: `TrainingError` when it is not finite."""
    value = faults.value("train.loss", share.item())
    if not math.isfinite(value):
        raise _not_finite("loss", value, piece, step)
    return value


def _not_finite(what: Literal["loss", "gradient"], found: float, examples: Sequence[int], step: int) -> TrainingError:
    return TrainingError(
        f"{what}-not-finite", f"The {what} is not finite; the step was not applied.",
        where=f"step {step}, train examples number {name_some(examples, 8)}",
        found=f"{'norm' if what == 'gradient' else what} {found}",
        do="lower training.learning_rate, or set training.precision to float32",
    )  # fmt: skip


def reference_of(arrays: TokenArrays, examples: Sequence[int]) -> Tensor:
    """The reference model's log-probabilities of all sequences of these examples, in their order, float64."""
    assert arrays.reference_S is not None  # `reference.py` has filled it
    return torch.from_numpy(arrays.reference_S[arrays.sequences_of_all(examples)])


@contextmanager
def answering(model: nn.Module) -> Iterator[None]:
    """Within this block dropout is off."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def _hidden_of(loaded: LoadedModel, batch: MicroBatch) -> Tensor:
    """Last hidden states of all tokens along all rows, ND."""
    if batch.forest is not None:
        return forest_hidden_states(loaded.model, batch.forest)
    return hidden_states(loaded.model, batch.tokens_BT).flatten(end_dim=1)


def set_checkpointing(model: PreTrainedModel, is_on: bool) -> None:
    """Whether each layer is computed again in the backward pass instead of keeping its activations.

    A model that does not support it stays as it is. (The names of the switches changed within transformers 5.)
    """
    was_on = any(getattr(module, "gradient_checkpointing", False) for module in model.modules())
    if is_on == was_on or not model.supports_gradient_checkpointing:
        return
    if not is_on:
        (getattr(model, "activation_checkpointing_disable", None) or model.gradient_checkpointing_disable)()
        return
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": False})
    model.disable_input_require_grads()  # only reentrant checkpointing needs gradients of the embedded tokens


def adamw(parameters: Sequence[nn.Parameter], device: torch.device, **options: float) -> torch.optim.AdamW:
    """The optimizer of all trainings; where there is a kernel for the whole of it, with that."""
    return torch.optim.AdamW(parameters, betas=(0.9, 0.95), fused=device.type == "cuda", **options)  # type: ignore[arg-type]


def clip_gradient(parameters: Sequence[nn.Parameter], most: float, batch: Sequence[int], step: int) -> float:
    """Scale the gradient down to norm `most`; return its norm before. Errors: `TrainingError` when it is not finite."""
    norm = faults.value("train.gradient", float(nn.utils.clip_grad_norm_(parameters, most)))
    if not math.isfinite(norm):
        raise _not_finite("gradient", norm, batch, step)
    return norm
