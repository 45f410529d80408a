"""Loss and gradient of one optimizer step, for every training method and every micro-batch size.

Each micro-batch runs once. The method computes its partial loss from the log-probabilities of the
trained tokens (`methods/training_method.py`), and the partial losses add up to the loss of the
step. The micro-batch size comes from a `MemoryPlan` that is chosen before step 1
(`memory_plan.py`). If memory runs out nevertheless, the same step is repeated with micro-batches of
half the size and finally with activation checkpointing; the examples of the batch, their order and
the learning rate schedule do not change.

Shapes: B rows, T tokens, N tokens of all rows, U predictions, K trained tokens, S sequences, E
examples, D hidden.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal

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
from tunesmith.engine.methods.training_method import (
    LogprobSource,
    StepTotals,
    TokenLogprobs,
    TrainingMethod,
    prepare_arrays,
    sum_by_sequence,
)
from tunesmith.engine.model_loading import LoadedModel
from tunesmith.engine.token_loss import compute_token_losses
from tunesmith.errors import NonFiniteError, TrainingError, truncate_list
from tunesmith.records import MemoryPlan, TokenArrays

STEPS_BETWEEN_TRIMS = 64
"""Steps between two calls of `release_unused_memory`. With 8 the peak memory is the same and a step
takes 1 to 3 % longer (docs/lab/2026-11-26-engine-again.md)."""


class TrainingStep:
    """Computes a batch's loss and gradient within a memory plan, which shrinks if memory runs out.

    `longest`: tokens of the longest sequence, which decides whether prefix forests are possible.
    `may_checkpoint` False: activation checkpointing is not turned on when memory runs out.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        method: TrainingMethod,
        plan: MemoryPlan | None = None,
        longest: int = 0,
        *,
        may_checkpoint: bool = True,
    ) -> None:
        self.loaded = loaded
        self.may_checkpoint = may_checkpoint
        self.method = method
        self.no_forest_reason = find_no_forest_reason(loaded.model, longest)
        self.set_plan(plan or MemoryPlan())

    @property
    def no_sharing_message(self) -> str | None:
        """Why prefixes are not shared, for the user; None where they are."""
        why = self.no_forest_reason
        return why and (f"prefix sharing is disabled because {why}")

    def set_plan(self, plan: MemoryPlan) -> None:
        """Use this plan from now on, for micro-batch sizes and for activation checkpointing."""
        self.plan = plan
        set_checkpointing(self.loaded.model, plan.checkpointing)

    def measure_bytes(self, arrays: TokenArrays, piece: Sequence[int], checkpointing: bool) -> int:
        """Peak memory in bytes of forward and backward of one micro-batch.

        Counts tensors, times the allocator's usual overhead (`memory.py`). Weights and
        random state are left unchanged; gradients are cleared.
        """
        model, device = self.loaded.model, self.loaded.device
        was_training = model.training
        model.train()
        set_checkpointing(model, checkpointing)
        # Zeros cost what real reference log-probabilities cost, which are not computed yet. The
        # passes for a method's step context store no activations, so they never set the peak: they
        # give zeros as well.
        arrays = prepare_arrays(self.method, arrays.select(piece))
        arrays = arrays.with_zero_reference(by_token=self.method.reference == "tokens")
        piece = range(len(arrays))
        totals = self._compute_totals(arrays, piece, _ZeroLogprobs())
        try:
            with (
                torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
                self._use_forest_attention(),
            ):
                with track_peak_memory(device) as most_bytes:
                    self.method.compute_loss(
                        self._compute_logprobs(arrays, piece), totals
                    ).backward()
                return most_bytes()
        finally:
            model.zero_grad(set_to_none=True)
            model.train(was_training)
            set_checkpointing(model, self.plan.checkpointing)

    def backward(self, arrays: TokenArrays, batch: Sequence[int], step: int) -> float:
        """Add the gradient of the batch's loss to the trained weights; return the loss.

        Errors: `TrainingError` when the loss is not finite, or a single example does not fit into
        memory. Part of the gradient may then be accumulated already; the caller must clear it
        before continuing.
        """
        while True:
            try:
                loss = self._accumulate(arrays, batch, step)
                # Checkpointing is only on where memory is short, so there every step is followed by
                # a release.
                if step % STEPS_BETWEEN_TRIMS == 0 or self.plan.checkpointing:
                    release_unused_memory()
                return loss
            except (RuntimeError, MemoryError) as error:
                self._shrink_plan(error, arrays, batch, f"step {step}")
            # The failed attempt accumulated gradients of some micro-batches; the retry starts from
            # zero.
            self.loaded.model.zero_grad(set_to_none=True)

    def _accumulate(self, arrays: TokenArrays, batch: Sequence[int], step: int) -> float:
        totals = self._compute_totals(arrays, batch, self)
        shares: list[tuple[list[int], Tensor]] = []
        for piece in self._split_batch(arrays, batch):
            with self._use_forest_attention():
                share = self.method.compute_loss(self._compute_logprobs(arrays, piece), totals)
                failpoints.hit("train.micro_batch")
                share.backward()
            shares.append((piece, share.detach()))
        # The losses are read only after all micro-batches are queued: `.item()` waits for the
        # device, which would then have nothing queued to continue with.
        return sum(_check_finite(share, piece, step) for piece, share in shares)

    def _use_forest_attention(self) -> AbstractContextManager[None]:
        return nullcontext() if self.no_forest_reason else use_forest_attention(self.loaded.model)

    def _shrink_plan(
        self, error: BaseException, arrays: TokenArrays, batch: Sequence[int], where: str
    ) -> None:
        """After a failed allocation, halve the micro-batch or turn on checkpointing.

        Errors: `TrainingError` when neither is left; any other error is raised again.
        """
        if not is_out_of_memory(error):
            raise error
        # The largest micro-batch of this batch, not the plan's limit: halving a limit that does not
        # bind changes nothing.
        most = max(map(len, self._split_batch(arrays, batch)))
        # Without gradients no activations are stored, so checkpointing would save nothing.
        may_checkpoint = self.may_checkpoint and torch.is_grad_enabled()
        if most == 1 and not self.plan.checkpointing and may_checkpoint:
            self.set_plan(self.plan.replace(checkpointing=True))
            return
        if most == 1:
            longest = max(
                len(arrays.get_sequence(s)[0]) for e in batch for s in arrays.get_sequence_range(e)
            )
            raise TrainingError(
                "out-of-memory",
                "out of memory with a micro-batch of one example",
                at=where,
                got=f"its longest example has {longest:,} tokens",
                hint=(
                    "lower data.max_length, or use a smaller model"
                    if self.may_checkpoint
                    else "lower data.max_length, or set training.gradient_checkpointing=auto"
                ),
            ) from None
        self.set_plan(self.plan.replace(max_examples=most // 2))

    def validate(
        self, arrays: TokenArrays, examples: int | None = None
    ) -> tuple[float, float | None]:
        """Validation loss over the first `examples` examples (None: all), and the fraction of them
        where the model prefers the right answer (None for methods without preferences). Trains
        nothing.

        Errors: `TrainingError` when memory runs out with a single example.
        """
        everything = range(len(arrays) if examples is None else examples)
        while True:
            try:
                with torch.no_grad():
                    return self._validate(arrays, everything)
            except (RuntimeError, MemoryError) as error:
                self._shrink_plan(error, arrays, everything, "validation split")

    def _validate(
        self, arrays: TokenArrays, everything: Sequence[int]
    ) -> tuple[float, float | None]:
        totals = self._compute_totals(arrays, everything, self)
        loss, won = 0.0, None
        for piece in self._split_batch(arrays, everything):
            with self._use_forest_attention():
                logprobs = self._compute_logprobs(arrays, piece)
            loss += float(self.method.compute_loss(logprobs, totals))
            is_won_E = self.method.is_preferred_E(logprobs, totals)
            if is_won_E is not None:
                won = (won or 0) + int(is_won_E.sum())
        return loss, None if won is None else won / len(everything)

    def compute_sequence_logps(self, arrays: TokenArrays, examples: Sequence[int]) -> Tensor:
        """`TokenLogprobs.logps_S` of all sequences of these examples, in their order: float64 on
        the CPU, without gradient and without dropout. Errors: `TrainingError` when memory runs out
        with a single example."""
        sizes = dict.fromkeys(examples, arrays.sequences_per_example)
        return self._read_without_gradient(arrays, sizes, lambda logprobs: logprobs.logps_S)

    def compute_token_logps(self, arrays: TokenArrays, examples: Sequence[int]) -> Tensor:
        """`TokenLogprobs.logps_K` of all trained tokens of these examples, in the order of
        `TokenArrays.list_trained_tokens`; else as `compute_sequence_logps`."""
        sizes = {e: len(arrays.list_trained_tokens([e])) for e in examples}
        return self._read_without_gradient(arrays, sizes, lambda logprobs: logprobs.logps_K)

    def _read_without_gradient(
        self,
        arrays: TokenArrays,
        sizes: Mapping[int, int],
        select: Callable[[TokenLogprobs], Tensor],
    ) -> Tensor:
        """What `select` takes of the results, in the order of the examples that `sizes` names, each
        with its number of values."""
        while True:
            try:
                with (
                    torch.no_grad(),
                    disable_dropout(self.loaded.model),
                    self._use_forest_attention(),
                ):
                    # Micro-batches reorder the examples.
                    found: dict[int, Tensor] = {}
                    for piece in self._split_batch(arrays, list(sizes)):
                        values = select(self._compute_logprobs(arrays, piece)).double().cpu()
                        found.update(
                            zip(piece, values.split([sizes[e] for e in piece]), strict=True)
                        )
                return torch.cat([found[e] for e in sizes])
            except (RuntimeError, MemoryError) as error:
                self._shrink_plan(error, arrays, list(sizes), "the reference model's answers")

    def _compute_totals(
        self, arrays: TokenArrays, batch: Sequence[int], model: LogprobSource
    ) -> StepTotals:
        """The step's denominators, and what the method computes once for it."""
        # The first sequence of an example is its answer, or the chosen one of a pair.
        # Its first token is never predicted, so its weight does not count.
        firsts = (arrays.get_sequence(arrays.get_sequence_range(e)[0])[1] for e in batch)
        return StepTotals(
            examples=len(batch),
            weight=sum(float(weights_T[1:].sum()) for weights_T in firsts),
            context=self.method.compute_step_context(model, arrays, batch),
        )

    def _split_batch(self, arrays: TokenArrays, batch: Sequence[int]) -> list[list[int]]:
        as_forest = self.no_forest_reason is None
        return split_into_micro_batches(
            arrays, batch, self.plan.max_examples, self.plan.max_tokens, as_forest=as_forest
        )

    def _compute_logprobs(self, arrays: TokenArrays, piece: Sequence[int]) -> TokenLogprobs:
        device = self.loaded.device
        batch = collate(arrays, piece, device, as_forest=self.no_forest_reason is None)
        losses_U = compute_token_losses(
            self.loaded.model,
            _compute_batch_hidden_states(self.loaded, batch)[batch.indices_U],
            batch.targets_U,
        )
        weights_K = batch.weight_K.to(losses_U.dtype)
        reference_S = reference_K = None
        if arrays.reference_N is not None:
            tokens_K = arrays.reference_N[arrays.list_trained_tokens(piece)]
            reference_K = torch.from_numpy(tokens_K).to(device, losses_U.dtype)
            reference_S = sum_by_sequence(
                reference_K * weights_K, batch.sequence_K, batch.sequences
            )
        elif arrays.reference_S is not None:
            reference_S = torch.from_numpy(arrays.select_reference(piece))
            reference_S = reference_S.to(device, losses_U.dtype)
        return TokenLogprobs(
            logps_K=-losses_U[batch.prediction_K],
            weights_K=weights_K,
            sequence_K=batch.sequence_K,
            sequences=batch.sequences,
            reference_S=reference_S,
            reference_K=reference_K,
            columns_E={
                name: torch.from_numpy(column_E[piece]).to(device)
                for name, column_E in arrays.columns_E.items()
            },
        )


class _ZeroLogprobs:
    """A model for which every answer is certain: what a trial asks in place of the real one."""

    def compute_sequence_logps(self, arrays: TokenArrays, examples: Sequence[int]) -> Tensor:
        """Zeros, S."""
        return torch.zeros(len(arrays.list_sequence_indices(examples)), dtype=torch.float64)


def _check_finite(partial_loss: Tensor, piece: Sequence[int], step: int) -> float:
    """Value of a micro-batch's partial loss. Errors: `TrainingError` when it is not finite."""
    value = failpoints.inject_nan("train.loss", partial_loss.item())
    if not math.isfinite(value):
        raise _build_non_finite_error("loss", value, piece, step)
    return value


def _build_non_finite_error(
    what: Literal["loss", "gradient"], got: float, examples: Sequence[int], step: int
) -> NonFiniteError:
    return NonFiniteError(
        f"{what}-not-finite",
        f"non-finite {what} (NaN or infinity); the step was not applied",
        at=f"step {step}, train examples {truncate_list(examples, 8)}",
        got=f"{'norm' if what == 'gradient' else what} {got}",
        hint="lower training.learning_rate, or set training.dtype to float32",
    )


@contextmanager
def disable_dropout(model: nn.Module) -> Iterator[None]:
    """Turn dropout off within this block, by evaluation mode; gradients are still computed."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def _compute_batch_hidden_states(loaded: LoadedModel, batch: MicroBatch) -> Tensor:
    """Last hidden states of all tokens of all rows, ND."""
    if batch.forest is not None:
        return compute_forest_hidden_states(loaded.model, batch.forest)
    return compute_hidden_states(loaded.model, batch.tokens_BT).flatten(end_dim=1)


def set_checkpointing(model: PreTrainedModel, is_on: bool) -> None:
    """Turn activation checkpointing (recomputation of layers in backward) on or off.

    A model that does not support it stays as it is.
    """
    was_on = any(getattr(module, "gradient_checkpointing", False) for module in model.modules())
    if is_on == was_on or not model.supports_gradient_checkpointing:
        return
    if not is_on:
        (
            getattr(model, "activation_checkpointing_disable", None)
            or model.gradient_checkpointing_disable
        )()
        return
    # transformers renamed these methods within version 5; both names are supported.
    enable = (
        getattr(model, "activation_checkpointing_enable", None)
        or model.gradient_checkpointing_enable
    )
    enable({"use_reentrant": False})
    # Only reentrant checkpointing needs gradients of the embedded tokens.
    model.disable_input_require_grads()


def clip_gradient(
    parameters: Sequence[nn.Parameter], max_norm: float, batch: Sequence[int], step: int
) -> float:
    """Scale the gradient down to norm `max_norm`; return its L2 norm before that. Errors:
    `TrainingError` when it is not finite."""
    norm = failpoints.inject_nan(
        "train.gradient", float(nn.utils.clip_grad_norm_(parameters, max_norm))
    )
    if not math.isfinite(norm):
        raise _build_non_finite_error("gradient", norm, batch, step)
    return norm
