"""How a step is cut into micro-batches, found before step 1: as large as pays, never larger than memory allows.

Micro-batches of the longest examples are run forward and backward for trial, each twice as large as the one before,
until the wanted size is proven or the next would not fit. So memory does not run out late, at the longest example.
Sizes are powers of two and tensors are counted, not resident pages, so the same recipe on the same machine finds the
same plan; it is kept with the run, and a run that goes on keeps it.

Larger micro-batches share more of what examples begin with, and past `get_preferred_tokens` are otherwise no faster:
the
wanted size is the least that computes no more than a tenth more tokens than the largest. Activation checkpointing
computes about a third more, so it is taken only where cutting smaller would cost more than that, or does not help.
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
from tunesmith.errors import TrainingError
from tunesmith.records import MemoryPlan, TokenArrays, TrainingRecipe

if TYPE_CHECKING:
    from tunesmith.engine.model_loading import LoadedModel
    from tunesmith.engine.training_step import TrainingStep

PREFERRED_BYTES = {"cpu": 4096, "cuda": 32768}  # of one number for each token: 2,048 or 16,384 tokens in bfloat16
FIRST_TRIAL_TOKENS = 128  # or an eighth of what is preferred, if that is more
MIN_TRIAL_TOKENS = 4
OPTIMIZER_STATE_BYTES = 2 * 4  # AdamW's, for each trained weight; they come after the trials
MAX_SAMPLED_STEPS = 16
SPARE_FRACTION = 0.1  # for holes in the heap, and whatever else grows
CHECKPOINTING_COST_FACTOR = 4 / 3  # forward, forward again and backward, against forward and backward

MemoryTrial = Callable[[TokenArrays, Sequence[int], bool], int]
"""(arrays, examples of one micro-batch, checkpointing) -> the most bytes that forward and backward held."""


@dataclass(frozen=True)
class MemoryRequest:
    """What a plan is made for: the examples, some of the steps, and whether forests are possible."""

    arrays: TokenArrays
    steps: Sequence[Sequence[int]]
    as_forest: bool
    preferred_tokens: int
    max_examples: int | None = None

    @property
    def example_limit(self) -> int:
        """The most examples in a micro-batch."""
        return self.max_examples or 1 << 30

    def split_step(self, arrays: TokenArrays, batch: Sequence[int], tokens: int) -> list[list[int]]:
        """The micro-batches of a step."""
        return split_into_micro_batches(arrays, batch, self.example_limit, tokens, as_forest=self.as_forest)

    def count_all_tokens(self, tokens: int) -> int:
        """Tokens that the steps compute in micro-batches of at most so many."""
        return sum(self.count_step_tokens(self.arrays, step, tokens) for step in self.steps)

    def count_step_tokens(self, arrays: TokenArrays, batch: Sequence[int], tokens: int) -> int:
        """Tokens that one step computes in such micro-batches."""
        pieces = self.split_step(arrays, batch, tokens)
        return sum(count_computed_tokens(arrays, piece, as_forest=self.as_forest) for piece in pieces)


def plan_memory(training_step: "TrainingStep", train: TokenArrays, recipe: TrainingRecipe, seed: int) -> MemoryPlan:
    """The plan for a training with the model as it stands. Errors: as `find_plan`."""
    device = training_step.loaded.device
    release_unused_memory()
    trained = sum(weight.numel() for weight in training_step.loaded.model.parameters() if weight.requires_grad)
    budget = compute_memory_budget(device, recipe, get_used_memory_bytes(device)) - OPTIMIZER_STATE_BYTES * trained
    plan = find_plan(build_memory_request(training_step, train, recipe, seed), training_step.measure_bytes, budget)
    release_unused_memory()
    return plan


def compute_memory_budget(device: torch.device, recipe: TrainingRecipe, held_bytes: int) -> int:
    """Bytes that may be taken beyond `used_bytes`: of what the recipe allows, else of what is free."""
    if recipe.memory_gb is not None:
        return int(recipe.memory_gb * 1e9 * (1 - SPARE_FRACTION)) - held_bytes
    not_yet_held = max(0, held_bytes - get_used_memory_bytes(device))
    return int((get_free_memory_bytes(device) - not_yet_held) * (1 - SPARE_FRACTION))


def build_memory_request(
    training_step: "TrainingStep", train: TokenArrays, recipe: TrainingRecipe, seed: int
) -> MemoryRequest:
    """What a plan for these examples has to serve: the first steps stand for all."""
    steps = list(islice(iterate_batches(len(train), recipe.batch_size, seed), MAX_SAMPLED_STEPS))
    preferred = get_preferred_tokens(training_step.loaded)
    return MemoryRequest(train, steps, training_step.no_forest_reason is None, preferred, recipe.micro_batch)


def get_preferred_tokens(loaded: "LoadedModel") -> int:
    """Fewer are slower, more only take memory; float32 is at its full rate with half as many as bfloat16 (docs/lab)."""
    return PREFERRED_BYTES[loaded.device.type] // loaded.dtype.itemsize


def find_plan(request: MemoryRequest, trial: MemoryTrial, budget_bytes: int) -> MemoryPlan:
    """The plan for these examples within a budget for what a micro-batch holds.

    Errors: `TrainingError` when the longest example does not fit, not even with checkpointing.
    """
    worst = sort_by_length_desc(request.arrays)[: max(map(len, request.steps))]
    longest = count_computed_tokens(request.arrays, worst[:1], as_forest=request.as_forest)
    wanted = max(_choose_target_tokens(request), round_up_to_power_of_two(longest))
    search = _MemoryProbe(request, worst, wanted, trial, budget_bytes)
    plain = search.find_largest(checkpointing=False)
    if plain.tokens == wanted:
        return plain.to_plan(request, budget_bytes)
    saving = search.find_largest(checkpointing=True)
    if saving.tokens < longest and plain.tokens < longest:
        raise TrainingError(
            "out-of-memory", "The longest example does not fit into memory.",
            found=f"{longest:,} tokens of it are needed; about {max(plain.tokens, saving.tokens):,} fit into "
            f"{max(budget_bytes, 0) / 1e9:,.1f} GB",
            do="lower data.max_tokens, raise training.memory_gb if it is set, or use a smaller model",
        )  # fmt: skip
    costs = [
        request.count_all_tokens(plain.tokens),
        CHECKPOINTING_COST_FACTOR * request.count_all_tokens(saving.tokens),
    ]
    best = plain if plain.tokens >= longest and costs[0] <= costs[1] else saving
    return best.to_plan(request, budget_bytes)


def round_up_to_power_of_two(tokens: int) -> int:
    """The least power of two that is not below."""
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
    """The largest micro-batch that fits, in tokens; 0 when none does."""

    tokens: int
    checkpointing: bool
    bytes_per_token: int

    def to_plan(self, request: MemoryRequest, budget_bytes: int) -> MemoryPlan:
        return MemoryPlan(
            most_tokens=self.tokens, most_examples=request.example_limit, checkpointing=self.checkpointing,
            bytes_per_token=self.bytes_per_token, budget_bytes=budget_bytes,
        )  # fmt: skip


@dataclass(frozen=True)
class _MemoryProbe:
    """Trials of growing size. `worst`: the longest examples, as many as make a step."""

    request: MemoryRequest
    worst: Sequence[int]
    target_tokens: int
    trial: MemoryTrial
    budget_bytes: int

    def find_largest(self, *, checkpointing: bool) -> _ProbeResult:
        """Grow until the wanted size is certain or the next one would not fit; shrink while not even the first does."""
        needs: list[int] = []
        first = max(FIRST_TRIAL_TOKENS, self.request.preferred_tokens // 8)
        tokens, per_token, shrinks = min(first, self.target_tokens), 0, False
        while tokens >= MIN_TRIAL_TOKENS:
            need, tried, is_whole = self._measure_bytes(tokens, checkpointing)
            if need is None or need > self.budget_bytes:
                tokens, shrinks = tokens // 2, True
                if needs:
                    break
                continue
            per_token = -(-need // tried)
            needs.append(need)
            if tokens >= self.target_tokens or is_whole or self._is_certain(needs, tokens):
                return _ProbeResult(self.target_tokens, checkpointing, per_token)
            if shrinks or _extrapolate_bytes(needs) > self.budget_bytes:
                break
            tokens *= 2
        return _ProbeResult(tokens if needs else 0, checkpointing, per_token)

    def _measure_bytes(self, tokens: int, checkpointing: bool) -> tuple[int | None, int, bool]:
        """Bytes (None: it did not fit), tokens really tried, and whether that was the whole of the worst step."""
        arrays = truncate_to_tail(self.request.arrays, self.worst, tokens)
        is_cut = len(arrays.tokens_N) < sum(
            len(self.request.arrays.get_sequence(s)[0])
            for e in self.worst
            for s in self.request.arrays.get_sequence_range(e)
        )
        pieces = self.request.split_step(arrays, range(len(arrays)), tokens)
        sizes = [count_computed_tokens(arrays, piece, as_forest=self.request.as_forest) for piece in pieces]
        largest = int(np.argmax(sizes))
        try:
            need = self.trial(arrays, pieces[largest], checkpointing)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            need = None
        return need, sizes[largest], len(pieces) == 1 and not is_cut

    def _is_certain(self, needs: Sequence[int], tokens: int) -> bool:
        """Whether the wanted size would fit twice over, were every doubling as dear as the dearest can be."""
        if len(needs) < 2:
            return False
        need, step = needs[-1], needs[-1] - needs[-2]
        while tokens < self.target_tokens:
            tokens, step = tokens * 2, step * 4
            need += step
        return need * 2 <= self.budget_bytes


def _extrapolate_bytes(needs: Sequence[int]) -> int:
    """What the next doubling will need: the same again for a straight line, up to four times for a square."""
    if len(needs) == 1:
        return 2 * needs[0]
    step = needs[-1] - needs[-2]
    bend = 2.0 if len(needs) == 2 else min(4.0, max(2.0, step / max(needs[-2] - needs[-3], 1)))
    return needs[-1] + int(bend * step)


def truncate_to_tail(arrays: TokenArrays, examples: Iterable[int], tokens: int) -> TokenArrays:
    """Some examples, of each of which no more than so many tokens (a share for each sequence) are read, the last ones,
    with something of it trained."""
    most = max(1, tokens // arrays.sequences_per_example) + 1
    chosen = list(examples)
    numbers = [s for e in chosen for s in arrays.get_sequence_range(e)]
    ends = [len(select_needed_tokens(arrays, s)) + 1 for s in numbers]
    pieces = [[x_T[:end] for x_T in arrays.get_sequence(s)] for s, end in zip(numbers, ends, strict=True)]
    weights = [weights_T[-most:].copy() for _, weights_T in pieces]
    for weights_T in weights:
        weights_T[0] = 0.0
        if not weights_T.any():
            weights_T[-1] = 1.0
    wanted_E = arrays.is_desirable_E
    return TokenArrays(
        np.concatenate([tokens_T[-most:] for tokens_T, _ in pieces]),
        np.concatenate(weights),
        np.cumsum([0, *map(len, weights)]).astype(np.int64),
        arrays.sequences_per_example,
        None if wanted_E is None else wanted_E[chosen],
    )
