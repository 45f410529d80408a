"""The micro-batch size, chosen before step 1: as large as is useful and fits into memory.

Micro-batches of the longest examples run forward and backward as trials, each twice as large as the
one before, until the target size is proven or the next one would not fit. So memory does not run
out later, at the longest example. Sizes are powers of two, and tensors are counted instead of
resident pages, so the same recipe on the same machine gets the same plan; it is saved with the run,
and a resumed run keeps it (docs/decisions/080).

Larger micro-batches share more prefixes, and are otherwise no faster beyond `get_preferred_tokens`:
the target size is the smallest that computes at most 10 % more tokens than the largest. Activation
checkpointing computes about a third more, so it is used only where smaller micro-batches would cost
more than that, or do not help.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import torch

from tunesmith.engine.batching import (
    count_computed_tokens,
    iterate_batches,
    select_needed_tokens,
    sort_by_length_desc,
    split_into_micro_batches,
)
from tunesmith.engine.memory import (
    get_free_memory_bytes,
    get_used_memory_bytes,
    is_out_of_memory,
    release_unused_memory,
)
from tunesmith.engine.optimizer import BYTES_PER_VALUE, count_values_per_weight
from tunesmith.errors import TrainingError
from tunesmith.records import MemoryPlan, TokenArrays, TrainingRecipe
from tunesmith.records.recipe import CheckpointingChoice

if TYPE_CHECKING:
    from tunesmith.engine.model_loading import LoadedModel
    from tunesmith.engine.training_step import TrainingStep

# For one number per token: 2,048 or 16,384 tokens in bfloat16, half as many in float32.
PREFERRED_BYTES = {"cpu": 4096, "cuda": 32768}
FIRST_TRIAL_TOKENS = 128  # or an eighth of the preferred tokens, if that is more
MIN_TRIAL_TOKENS = 4
MAX_SAMPLED_STEPS = 16
SPARE_FRACTION = 0.1  # reserve for heap fragmentation and other growth
# Forward, forward again and backward (4), instead of forward and backward (3).
CHECKPOINTING_COST_FACTOR = 4 / 3

MemoryTrial = Callable[[TokenArrays, Sequence[int], bool], int]
"""(arrays, examples of one micro-batch, checkpointing) -> peak bytes of forward and backward."""


@dataclass(frozen=True)
class MemoryRequest:
    """The input of a plan: examples, a sample of the steps, the preferred size in tokens.

    `max_examples`: limit on the examples of a micro-batch, None: none.
    """

    arrays: TokenArrays
    steps: Sequence[Sequence[int]]
    as_forest: bool
    preferred_tokens: int
    max_examples: int | None = None
    checkpointing: CheckpointingChoice = "auto"

    @property
    def example_limit(self) -> int:
        """Maximum number of examples in a micro-batch; a large number where there is no limit."""
        return self.max_examples or 1 << 30

    def split_step(self, arrays: TokenArrays, batch: Sequence[int], tokens: int) -> list[list[int]]:
        """The micro-batches of a step with at most `tokens` tokens each."""
        return split_into_micro_batches(
            arrays, batch, self.example_limit, tokens, as_forest=self.as_forest
        )

    def count_all_tokens(self, tokens: int) -> int:
        """Tokens that the sampled steps compute in micro-batches of at most `tokens` tokens."""
        return sum(self.count_step_tokens(self.arrays, step, tokens) for step in self.steps)

    def count_step_tokens(self, arrays: TokenArrays, batch: Sequence[int], tokens: int) -> int:
        """Tokens that one step computes in micro-batches of at most `tokens` tokens."""
        pieces = self.split_step(arrays, batch, tokens)
        return sum(
            count_computed_tokens(arrays, piece, as_forest=self.as_forest) for piece in pieces
        )


def plan_memory(
    training_step: "TrainingStep", train: TokenArrays, recipe: TrainingRecipe, seed: int
) -> MemoryPlan:
    """The plan for training this model in its current state. Errors: as `find_plan`."""
    device = training_step.loaded.device
    release_unused_memory()
    trained = [weight for weight in training_step.loaded.model.parameters() if weight.requires_grad]
    # What the optimizer stores is allocated after the trials.
    stored = count_values_per_weight(recipe.optimizer, trained) * sum(w.numel() for w in trained)
    budget = compute_memory_budget(device, recipe, get_used_memory_bytes(device)) - int(
        BYTES_PER_VALUE * stored
    )
    plan = find_plan(
        build_memory_request(training_step, train, recipe, seed),
        training_step.measure_bytes,
        budget,
    )
    release_unused_memory()
    return plan


def compute_memory_budget(device: torch.device, recipe: TrainingRecipe, held_bytes: int) -> int:
    """Bytes that may be used in addition to `held_bytes`: of the recipe's limit, otherwise of the
    free memory.
    """
    if recipe.memory_gb is not None:
        return int(recipe.memory_gb * 1e9 * (1 - SPARE_FRACTION)) - held_bytes
    # An estimate plans for a model that is not loaded yet; its bytes still count as free.
    not_yet_held = max(0, held_bytes - get_used_memory_bytes(device))
    return int((get_free_memory_bytes(device) - not_yet_held) * (1 - SPARE_FRACTION))


def build_memory_request(
    training_step: "TrainingStep", train: TokenArrays, recipe: TrainingRecipe, seed: int
) -> MemoryRequest:
    """The request for these examples; the first `MAX_SAMPLED_STEPS` steps represent all.

    Errors: `TrainingError` when the recipe asks for a checkpointing that the model lacks.
    """
    model = training_step.loaded.model
    if recipe.gradient_checkpointing == "on" and not model.supports_gradient_checkpointing:
        raise TrainingError(
            "no-checkpointing",
            "model does not support gradient checkpointing",
            at="training.gradient_checkpointing",
            got=type(model).__name__,
            hint="set it to auto or off",
        )
    steps = list(islice(iterate_batches(len(train), recipe.batch_size, seed), MAX_SAMPLED_STEPS))
    preferred = get_preferred_tokens(training_step.loaded)
    return MemoryRequest(
        train,
        steps,
        training_step.no_forest_reason is None,
        preferred,
        recipe.micro_batch_size,
        recipe.gradient_checkpointing,
    )


def get_preferred_tokens(loaded: "LoadedModel") -> int:
    """Micro-batch size in tokens: smaller is slower, larger only needs memory. float32 reaches its
    full speed with half as many as bfloat16 (docs/lab/2026-11-25-float32-machine.md)."""
    return PREFERRED_BYTES[loaded.device.type] // loaded.dtype.itemsize


def find_plan(request: MemoryRequest, trial: MemoryTrial, budget_bytes: int) -> MemoryPlan:
    """The plan for these examples, with `budget_bytes` for one micro-batch.

    Errors: `TrainingError` when the longest example does not fit, not even with checkpointing, or
    not in the one way that the request allows.
    """
    worst = sort_by_length_desc(request.arrays)[: max(map(len, request.steps))]
    longest = count_computed_tokens(request.arrays, worst[:1], as_forest=request.as_forest)
    wanted = max(_choose_target_tokens(request), round_up_to_power_of_two(longest))
    search = _MemoryProbe(request, worst, wanted, trial, budget_bytes)
    if request.checkpointing != "auto":
        only = search.find_largest(checkpointing=request.checkpointing == "on")
        if only.tokens < longest:
            raise _build_too_long_error(longest, only.tokens, budget_bytes, request.checkpointing)
        return only.to_plan(request, budget_bytes)
    plain = search.find_largest(checkpointing=False)
    if plain.tokens == wanted:
        return plain.to_plan(request, budget_bytes)
    saving = search.find_largest(checkpointing=True)
    if saving.tokens < longest and plain.tokens < longest:
        most = max(plain.tokens, saving.tokens)
        raise _build_too_long_error(longest, most, budget_bytes, request.checkpointing)
    costs = [
        request.count_all_tokens(plain.tokens),
        CHECKPOINTING_COST_FACTOR * request.count_all_tokens(saving.tokens),
    ]
    best = plain if plain.tokens >= longest and costs[0] <= costs[1] else saving
    return best.to_plan(request, budget_bytes)


def _build_too_long_error(
    longest: int, most: int, budget_bytes: int, checkpointing: CheckpointingChoice
) -> TrainingError:
    is_off = checkpointing == "off"
    return TrainingError(
        "out-of-memory",
        "longest example does not fit into memory" + " without gradient checkpointing" * is_off,
        got=(
            f"it needs {longest:,} tokens; about {most:,} "
            f"fit into {max(budget_bytes, 0) / 1000000000.0:,.1f} GB"
        ),
        hint="set training.gradient_checkpointing=auto, " * is_off
        + "lower data.max_length, raise training.memory_gb if it is set, or use a smaller model",
    )


def round_up_to_power_of_two(tokens: int) -> int:
    """The smallest power of two that is at least `tokens`."""
    return 1 << max(0, tokens - 1).bit_length()


def _choose_target_tokens(request: MemoryRequest) -> int:
    if request.max_examples is not None:
        largest = (
            count_computed_tokens(request.arrays, piece, as_forest=request.as_forest)
            for step in request.steps
            for piece in request.split_step(request.arrays, step, 1 << 60)
        )
        return round_up_to_power_of_two(max(largest))
    sizes = [request.preferred_tokens << k for k in range(4)]
    least = request.count_all_tokens(sizes[-1])
    return next(size for size in sizes if request.count_all_tokens(size) <= 1.1 * least)


@dataclass(frozen=True)
class _ProbeResult:
    """The largest micro-batch that fits, in tokens; 0 if none does."""

    tokens: int
    checkpointing: bool
    bytes_per_token: int

    def to_plan(self, request: MemoryRequest, budget_bytes: int) -> MemoryPlan:
        return MemoryPlan(
            max_tokens=self.tokens,
            max_examples=request.example_limit,
            checkpointing=self.checkpointing,
            bytes_per_token=self.bytes_per_token,
            budget_bytes=budget_bytes,
        )


@dataclass(frozen=True)
class _MemoryProbe:
    """Trials of growing size. `worst`: the longest examples, as many as a step has."""

    request: MemoryRequest
    worst: Sequence[int]
    target_tokens: int
    trial: MemoryTrial
    budget_bytes: int

    def find_largest(self, *, checkpointing: bool) -> _ProbeResult:
        """Double the size until the target is certain or the next would not fit."""
        needs: list[int] = []
        first = max(FIRST_TRIAL_TOKENS, self.request.preferred_tokens // 8)
        tokens, per_token, shrinks = min(first, self.target_tokens), 0, False
        while tokens >= MIN_TRIAL_TOKENS:
            need, tried, is_whole = self._measure_bytes(tokens, checkpointing)
            if need is None or need > self.budget_bytes:
                tokens, shrinks = tokens // 2, True
                # A failure after a success: the size before it is the largest that fits.
                if needs:
                    break
                continue
            per_token = -(-need // tried)
            needs.append(need)
            # The target is certain to fit if this trial had it, or was a whole step, or leaves
            # ample memory.
            if tokens >= self.target_tokens or is_whole or self._is_certain(needs, tokens):
                return _ProbeResult(self.target_tokens, checkpointing, per_token)
            if shrinks or _extrapolate_bytes(needs) > self.budget_bytes:
                break
            tokens *= 2
        return _ProbeResult(tokens if needs else 0, checkpointing, per_token)

    def _measure_bytes(self, tokens: int, checkpointing: bool) -> tuple[int | None, int, bool]:
        """(peak bytes, None if out of memory; tokens of the trial; whether it was the complete
        worst step).
        """
        # Examples are cut to the trial's size, so that small trials use the worst examples too.
        arrays = truncate_to_tail(self.request.arrays, self.worst, tokens)
        is_cut = len(arrays.tokens_N) < sum(
            len(self.request.arrays.get_sequence(s)[0])
            for e in self.worst
            for s in self.request.arrays.get_sequence_range(e)
        )
        pieces = self.request.split_step(arrays, range(len(arrays)), tokens)
        sizes = [
            count_computed_tokens(arrays, piece, as_forest=self.request.as_forest)
            for piece in pieces
        ]
        largest = int(np.argmax(sizes))
        # Attention grows with the square of a sequence: the piece of the longest example (the first
        # of `worst`) can need more than the piece with the most tokens.
        longest = next(number for number, piece in enumerate(pieces) if 0 in piece)
        try:
            need = max(
                self.trial(arrays, pieces[number], checkpointing) for number in {largest, longest}
            )
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            need = None
        return need, sizes[largest], len(pieces) == 1 and not is_cut

    def _is_certain(self, needs: Sequence[int], tokens: int) -> bool:
        """Whether the target size would need at most half of the budget, even if memory grows with
        the square of the tokens."""
        if len(needs) < 2:
            return False
        need, step = needs[-1], needs[-1] - needs[-2]
        while tokens < self.target_tokens:
            tokens, step = tokens * 2, step * 4
            need += step
        return need * 2 <= self.budget_bytes


def _extrapolate_bytes(needs: Sequence[int]) -> int:
    """Predicted bytes of the next doubling: the last increase times 2 (linear) to 4 (quadratic)."""
    if len(needs) == 1:
        return 2 * needs[0]
    step = needs[-1] - needs[-2]
    bend = 2.0 if len(needs) == 2 else min(4.0, max(2.0, step / max(needs[-2] - needs[-3], 1)))
    return needs[-1] + int(bend * step)


def truncate_to_tail(arrays: TokenArrays, examples: Iterable[int], tokens: int) -> TokenArrays:
    """The given examples, each cut to its last tokens: at most `tokens` read tokens per example,
    divided equally among its sequences, with at least one of them trained."""
    most = max(1, tokens // arrays.sequences_per_example) + 1
    chosen = list(examples)
    numbers = [s for e in chosen for s in arrays.get_sequence_range(e)]
    ends = [len(select_needed_tokens(arrays, s)) + 1 for s in numbers]
    pieces = [
        [x_T[:end] for x_T in arrays.get_sequence(s)] for s, end in zip(numbers, ends, strict=True)
    ]
    weights = [weights_T[-most:].copy() for _, weights_T in pieces]
    for weights_T in weights:
        weights_T[0] = 0.0
        if not weights_T.any():
            weights_T[-1] = 1.0
    return TokenArrays(
        np.concatenate([tokens_T[-most:] for tokens_T, _ in pieces]),
        np.concatenate(weights),
        np.cumsum([0, *map(len, weights)]).astype(np.int64),
        arrays.sequences_per_example,
        {name: column_E[chosen] for name, column_E in arrays.columns_E.items()},
    )
