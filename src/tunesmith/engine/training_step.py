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

from tunesmith import failpoints
from tunesmith.engine.attention.hf_backend import (
    compute_forest_hidden_states,
    find_no_forest_reason,
    use_forest_attention,
)
from tunesmith.engine.batching import MicroBatch, collate, split_into_micro_batches
from tunesmith.engine.lm_head import compute_hidden_states
from tunesmith.engine.memory import is_out_of_memory, release_unused_memory, track_peak_memory
from tunesmith.engine.methods.training_method import SequenceLogprobs, StepTotals, TrainingMethod
from tunesmith.engine.model_loading import LoadedModel
from tunesmith.engine.token_loss import compute_token_losses
from tunesmith.errors import TrainingError, truncate_list
from tunesmith.records import MemoryPlan, TokenArrays

STEPS_BETWEEN_TRIMS = 64
"""With 8 the peak is the same and a step takes 1 to 3 % longer (docs/lab)."""


class TrainingStep:
    """Computes losses and gradients of batches by a memory plan, and makes the plan smaller when it does not hold."""

    def __init__(
        self, loaded: LoadedModel, method: TrainingMethod, plan: MemoryPlan | None = None, longest: int = 0
    ) -> None:
        self.loaded = loaded
        self.method = method
        self.no_forest_reason = find_no_forest_reason(loaded.model, longest)
        self.set_plan(plan or MemoryPlan())

    @property
    def no_sharing_message(self) -> str | None:
        """What a person is told when forests are not possible; None when they are."""
        why = self.no_forest_reason
        return why and f"what examples have in common at their beginning is computed for each of them, because {why}"

    def set_plan(self, plan: MemoryPlan) -> None:
        """Go by this plan from now on."""
        self.plan = plan
        set_checkpointing(self.loaded.model, plan.checkpointing)

    def measure_bytes(self, arrays: TokenArrays, piece: Sequence[int], checkpointing: bool) -> int:
        """The most memory that forward and backward of one micro-batch hold; weights and random state stay as they are.

        What is counted is tensors, times what the allocator usually needs for them (`memory.py`).
        """
        model, device = self.loaded.model, self.loaded.device
        was_training = model.training
        model.train()
        set_checkpointing(model, checkpointing)
        arrays = replace(arrays, reference_S=np.zeros(len(arrays.starts_S1) - 1), mismatched=None)
        try:
            with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), self._use_forest_attention():
                with track_peak_memory(device) as most_bytes:
                    self.method.compute_loss(
                        self._compute_scores(arrays, piece), self._compute_totals(arrays, piece)
                    ).backward()
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
                    release_unused_memory()
                return loss
            except (RuntimeError, MemoryError) as error:
                self._shrink_plan(error, arrays, batch, f"step {step}")
            self.loaded.model.zero_grad(set_to_none=True)

    def _accumulate(self, arrays: TokenArrays, batch: Sequence[int], step: int) -> float:
        totals = self._compute_totals(arrays, batch)
        shares: list[tuple[list[int], Tensor]] = []
        for piece in self._split_batch(arrays, batch):
            with self._use_forest_attention():
                share = self.method.compute_loss(self._compute_scores(arrays, piece), totals)
                failpoints.hit("train.micro_batch")
                share.backward()
            shares.append((piece, share.detach()))
        # Not read before: a device that has to tell the loss first has nothing queued to go on with.
        return sum(_check_finite(share, piece, step) for piece, share in shares)

    def _use_forest_attention(self) -> AbstractContextManager[None]:
        return nullcontext() if self.no_forest_reason else use_forest_attention(self.loaded.model)

    def _shrink_plan(self, error: BaseException, arrays: TokenArrays, batch: Sequence[int], where: str) -> None:
        """After an allocation failed, allow pieces of half the size, at last keep less; raise any other error."""
        if not is_out_of_memory(error):
            raise error
        most = max(map(len, self._split_batch(arrays, batch)))
        if most == 1 and not self.plan.checkpointing and torch.is_grad_enabled():
            self.set_plan(self.plan.model_copy(update={"checkpointing": True}))
            return
        if most == 1:
            longest = max(len(arrays.get_sequence(s)[0]) for e in batch for s in arrays.get_sequence_range(e))
            raise TrainingError(
                "out-of-memory",
                "Memory ran out with a single example at once.",
                where=where,
                found=f"the longest example there has {longest:,} tokens",
                do="lower data.max_tokens, or use a smaller model",
            ) from None
        self.set_plan(self.plan.model_copy(update={"most_examples": most // 2}))

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
                self._shrink_plan(error, arrays, everything, "validation split")

    def _validate(self, arrays: TokenArrays, everything: Sequence[int]) -> tuple[float, float | None]:
        totals = self._compute_totals(arrays, everything)
        loss, won = 0.0, None
        for piece in self._split_batch(arrays, everything):
            with self._use_forest_attention():
                scores = self._compute_scores(arrays, piece)
            loss += float(self.method.compute_loss(scores, totals))
            is_won_E = self.method.is_preferred_E(scores, totals)
            if is_won_E is not None:
                won = (won or 0) + int(is_won_E.sum())
        return loss, None if won is None else won / len(everything)

    def compute_sequence_logps(self, arrays: TokenArrays, examples: Sequence[int]) -> Tensor:
        """`Scores.logps_S` of all sequences of these examples, in their order, float64 on the CPU, nothing trained and
        no dropout. Errors: `TrainingError` when memory runs out."""
        place = {e: k * arrays.sequences_per_example for k, e in enumerate(examples)}
        logps_S = torch.empty(len(examples) * arrays.sequences_per_example, dtype=torch.float64)
        while True:
            try:
                with torch.no_grad(), disable_dropout(self.loaded.model), self._use_forest_attention():
                    for piece in self._split_batch(arrays, examples):
                        places = [place[e] + k for e in piece for k in range(arrays.sequences_per_example)]
                        logps_S[places] = self._compute_scores(arrays, piece).logps_S.double().cpu()
                return logps_S
            except (RuntimeError, MemoryError) as error:
                self._shrink_plan(error, arrays, examples, "the reference model's answers")

    def _compute_totals(self, arrays: TokenArrays, batch: Sequence[int]) -> StepTotals:
        """What a method may divide by, and KTO's estimate: how much likelier the model finds mismatched answers."""
        firsts = (arrays.get_sequence(arrays.get_sequence_range(e)[0])[1] for e in batch)
        weight, kl = sum(float(weights_T[1:].sum()) for weights_T in firsts), 0.0
        if arrays.mismatched is not None:
            gained_E = self.compute_sequence_logps(arrays.mismatched, batch) - get_reference_logps(
                arrays.mismatched, batch
            )
            kl = max(0.0, float(gained_E.mean()))
        return StepTotals(examples=len(batch), weight=weight, kl=kl)

    def _split_batch(self, arrays: TokenArrays, batch: Sequence[int]) -> list[list[int]]:
        as_forest = self.no_forest_reason is None
        return split_into_micro_batches(
            arrays, batch, self.plan.most_examples, self.plan.most_tokens, as_forest=as_forest
        )

    def _compute_scores(self, arrays: TokenArrays, piece: Sequence[int]) -> SequenceLogprobs:
        device = self.loaded.device
        batch = collate(arrays, piece, device, as_forest=self.no_forest_reason is None)
        losses_U = compute_token_losses(
            self.loaded.model, _compute_batch_hidden_states(self.loaded, batch)[batch.indices_U], batch.targets_U
        )
        zeros_S = torch.zeros(batch.sequences, dtype=losses_U.dtype, device=device)
        weight_K = batch.weight_K.to(losses_U.dtype)
        logps_S = zeros_S.index_add(0, batch.sequence_K, -losses_U[batch.prediction_K] * weight_K)
        has_reference, is_desirable_E = arrays.reference_S is not None, arrays.is_desirable_E
        return SequenceLogprobs(
            logps_S=logps_S,
            weights_S=zeros_S.index_add(0, batch.sequence_K, weight_K),
            reference_S=get_reference_logps(arrays, piece).to(device, losses_U.dtype) if has_reference else None,
            is_desirable_E=None if is_desirable_E is None else torch.from_numpy(is_desirable_E[piece]).to(device),
        )


def _check_finite(partial_loss: Tensor, piece: Sequence[int], step: int) -> float:
    """A micro-batch's part of the loss. Errors: `TrainingError` when it is not finite."""
    value = failpoints.inject_nan("train.loss", partial_loss.item())
    if not math.isfinite(value):
        raise _build_non_finite_error("loss", value, piece, step)
    return value


def _build_non_finite_error(
    what: Literal["loss", "gradient"], found: float, examples: Sequence[int], step: int
) -> TrainingError:
    return TrainingError(
        f"{what}-not-finite", f"The {what} is not finite; the step was not applied.",
        where=f"step {step}, train examples number {truncate_list(examples, 8)}",
        found=f"{'norm' if what == 'gradient' else what} {found}",
        do="lower training.learning_rate, or set training.precision to float32",
    )  # fmt: skip


def get_reference_logps(arrays: TokenArrays, examples: Sequence[int]) -> Tensor:
    """The reference model's log-probabilities of all sequences of these examples, in their order, float64."""
    assert arrays.reference_S is not None  # `reference.py` has filled it
    return torch.from_numpy(arrays.reference_S[arrays.list_sequence_indices(examples)])


@contextmanager
def disable_dropout(model: nn.Module) -> Iterator[None]:
    """Within this block dropout is off."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def _compute_batch_hidden_states(loaded: LoadedModel, batch: MicroBatch) -> Tensor:
    """Last hidden states of all tokens along all rows, ND."""
    if batch.forest is not None:
        return compute_forest_hidden_states(loaded.model, batch.forest)
    return compute_hidden_states(loaded.model, batch.tokens_BT).flatten(end_dim=1)


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


def build_optimizer(parameters: Sequence[nn.Parameter], device: torch.device, **options: float) -> torch.optim.AdamW:
    """The optimizer of all trainings; where there is a kernel for the whole of it, with that."""
    return torch.optim.AdamW(parameters, betas=(0.9, 0.95), fused=device.type == "cuda", **options)  # type: ignore[arg-type]


def clip_gradient(parameters: Sequence[nn.Parameter], max_norm: float, batch: Sequence[int], step: int) -> float:
    """Scale the gradient down to norm `most`; return its norm before. Errors: `TrainingError` when it is not finite."""
    norm = failpoints.inject_nan("train.gradient", float(nn.utils.clip_grad_norm_(parameters, max_norm)))
    if not math.isfinite(norm):
        raise _build_non_finite_error("gradient", norm, batch, step)
    return norm
