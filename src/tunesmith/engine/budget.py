"""How a step is cut into micro-batches, found before step 1: as large as pays, never larger than memory allows.

Micro-batches of the longest examples are run forward and backward for trial, each twice as large as the one before,
until the wanted size is proven or the next would not fit. So memory does not run out late, at the longest example.
Sizes are powers of two and tensors are counted, not resident pages, so the same recipe on the same machine finds the
same plan; it is kept with the run, and a run that goes on keeps it.

Larger micro-batches share more of what examples begin with, and past `preferred_tokens` are otherwise no faster: the
wanted size is the least that computes no more than a tenth more tokens than the largest. Activation checkpointing
computes about a third more, so it is taken only where cutting smaller would cost more than that, or does not help.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import torch

from tunesmith.engine.batches import batches, longest_first, micro_batches, needed_of, tokens_at_once
from tunesmith.engine.memory import free_memory_bytes, held_memory_bytes, is_out_of_memory, return_unused_memory
from tunesmith.errors import TrainingError
from tunesmith.records import MemoryPlan, TokenArrays, TrainingRecipe

if TYPE_CHECKING:
    from tunesmith.engine.load import LoadedModel
    from tunesmith.engine.step import Stepper

PREFERRED_BYTES = {"cpu": 4096, "cuda": 32768}  # of one number for each token: 2,048 or 16,384 tokens in bfloat16
FIRST_TRIAL_TOKENS = 128  # or an eighth of what is preferred, if that is more
LEAST_TRIAL_TOKENS = 4
MOMENT_BYTES = 2 * 4  # AdamW's, for each trained weight; they come after the trials
STEPS_LOOKED_AT = 16
SPARE_SHARE = 0.1  # for holes in the heap, and whatever else grows
RECOMPUTED = 4 / 3  # forward, forward again and backward, against forward and backward

Trial = Callable[[TokenArrays, Sequence[int], bool], int]
"""(arrays, examples of one micro-batch, checkpointing) -> the most bytes that forward and backward held."""


@dataclass(frozen=True)
class Wish:
    """What a plan is made for: the examples, some of the steps, and whether forests are possible."""

    arrays: TokenArrays
    steps: Sequence[Sequence[int]]
    as_forest: bool
    preferred_tokens: int
    most_examples: int | None = None

    @property
    def limit(self) -> int:
        """The most examples in a micro-batch."""
        return self.most_examples or 1 << 30

    def pieces(self, arrays: TokenArrays, batch: Sequence[int], tokens: int) -> list[list[int]]:
        """The micro-batches of a step."""
        return micro_batches(arrays, batch, self.limit, tokens, as_forest=self.as_forest)

    def computed(self, tokens: int) -> int:
        """Tokens that the steps compute in micro-batches of at most so many."""
        return sum(self.tokens_of(self.arrays, step, tokens) for step in self.steps)

    def tokens_of(self, arrays: TokenArrays, batch: Sequence[int], tokens: int) -> int:
        """Tokens that one step computes in such micro-batches."""
        pieces = self.pieces(arrays, batch, tokens)
        return sum(tokens_at_once(arrays, piece, as_forest=self.as_forest) for piece in pieces)


def plan_of(stepper: "Stepper", train: TokenArrays, recipe: TrainingRecipe, seed: int) -> MemoryPlan:
    """The plan for a training with the model as it stands. Errors: as `find_plan`."""
    device = stepper.loaded.device
    return_unused_memory()
    trained = sum(weight.numel() for weight in stepper.loaded.model.parameters() if weight.requires_grad)
    budget = memory_budget(device, recipe, held_memory_bytes(device)) - MOMENT_BYTES * trained
    plan = find_plan(wish_of(stepper, train, recipe, seed), stepper.bytes_for, budget)
    return_unused_memory()
    return plan


def memory_budget(device: torch.device, recipe: TrainingRecipe, held_bytes: int) -> int:
    """Bytes that may be taken beyond `held_bytes`: of what the recipe allows, else of what is free."""
    if recipe.memory_gb is not None:
        return int(recipe.memory_gb * 1e9 * (1 - SPARE_SHARE)) - held_bytes
    not_yet_held = max(0, held_bytes - held_memory_bytes(device))
    return int((free_memory_bytes(device) - not_yet_held) * (1 - SPARE_SHARE))


def wish_of(stepper: "Stepper", train: TokenArrays, recipe: TrainingRecipe, seed: int) -> Wish:
    """What a plan for these examples has to serve: the first steps stand for all."""
    steps = list(islice(batches(len(train), recipe.batch_size, seed), STEPS_LOOKED_AT))
    preferred = preferred_tokens(stepper.loaded)
    return Wish(train, steps, stepper.why_no_forest is None, preferred, recipe.micro_batch)


def preferred_tokens(loaded: "LoadedModel") -> int:
    """Fewer are slower, more only take memory; float32 is at its full rate with half as many as bfloat16 (docs/lab)."""
    return PREFERRED_BYTES[loaded.device.type] // loaded.dtype.itemsize


def find_plan(wish: Wish, trial: Trial, budget_bytes: int) -> MemoryPlan:
    """The plan for these examples within a budget for what a micro-batch holds.

    Errors: `TrainingError` when the longest example does not fit, not even with checkpointing.
    """
    worst = longest_first(wish.arrays)[: max(map(len, wish.steps))]
    longest = tokens_at_once(wish.arrays, worst[:1], as_forest=wish.as_forest)
    wanted = max(_wanted(wish), power_of_two(longest))
    search = _Search(wish, worst, wanted, trial, budget_bytes)
    plain = search.reach(checkpointing=False)
    if plain.tokens == wanted:
        return plain.plan(wish, budget_bytes)
    saving = search.reach(checkpointing=True)
    if saving.tokens < longest and plain.tokens < longest:
        raise TrainingError(
            "out-of-memory", "The longest example does not fit into memory.",
            found=f"{longest:,} tokens of it are needed; about {max(plain.tokens, saving.tokens):,} fit into "
            f"{max(budget_bytes, 0) / 1e9:,.1f} GB",
            do="lower data.max_tokens, raise training.memory_gb if it is set, or use a smaller model",
        )  # fmt: skip
    costs = [wish.computed(plain.tokens), RECOMPUTED * wish.computed(saving.tokens)]
    best = plain if plain.tokens >= longest and costs[0] <= costs[1] else saving
    return best.plan(wish, budget_bytes)


def power_of_two(tokens: int) -> int:
    """The least power of two that is not below."""
    return 1 << max(0, tokens - 1).bit_length()


def _wanted(wish: Wish) -> int:
    if wish.most_examples is not None:
        largest = (
            tokens_at_once(wish.arrays, piece, as_forest=wish.as_forest)
            for step in wish.steps
            for piece in wish.pieces(wish.arrays, step, 1 << 60)
        )
        return power_of_two(max(largest))
    sizes = [wish.preferred_tokens << k for k in range(4)]
    least = wish.computed(sizes[-1])
    return next(size for size in sizes if wish.computed(size) <= 1.1 * least)


@dataclass(frozen=True)
class _Reached:
    """The largest micro-batch that fits, in tokens; 0 when none does."""

    tokens: int
    checkpointing: bool
    bytes_per_token: int

    def plan(self, wish: Wish, budget_bytes: int) -> MemoryPlan:
        return MemoryPlan(
            most_tokens=self.tokens, most_examples=wish.limit, checkpointing=self.checkpointing,
            bytes_per_token=self.bytes_per_token, budget_bytes=budget_bytes,
        )  # fmt: skip


@dataclass(frozen=True)
class _Search:
    """Trials of growing size. `worst`: the longest examples, as many as make a step."""

    wish: Wish
    worst: Sequence[int]
    wanted: int
    trial: Trial
    budget_bytes: int

    def reach(self, *, checkpointing: bool) -> _Reached:
        """Grow until the wanted size is certain or the next one would not fit; shrink while not even the first does."""
        needs: list[int] = []
        first = max(FIRST_TRIAL_TOKENS, self.wish.preferred_tokens // 8)
        tokens, per_token, shrinks = min(first, self.wanted), 0, False
        while tokens >= LEAST_TRIAL_TOKENS:
            need, tried, is_whole = self._needed(tokens, checkpointing)
            if need is None or need > self.budget_bytes:
                tokens, shrinks = tokens // 2, True
                if needs:
                    break
                continue
            per_token = -(-need // tried)
            needs.append(need)
            if tokens >= self.wanted or is_whole or self._is_certain(needs, tokens):
                return _Reached(self.wanted, checkpointing, per_token)
            if shrinks or _next(needs) > self.budget_bytes:
                break
            tokens *= 2
        return _Reached(tokens if needs else 0, checkpointing, per_token)

    def _needed(self, tokens: int, checkpointing: bool) -> tuple[int | None, int, bool]:
        """Bytes (None: it did not fit), tokens really tried, and whether that was the whole of the worst step."""
        arrays = shortened(self.wish.arrays, self.worst, tokens)
        is_cut = len(arrays.tokens_N) < sum(
            len(self.wish.arrays.sequence(s)[0]) for e in self.worst for s in self.wish.arrays.sequences_of(e)
        )
        pieces = self.wish.pieces(arrays, range(len(arrays)), tokens)
        sizes = [tokens_at_once(arrays, piece, as_forest=self.wish.as_forest) for piece in pieces]
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
        while tokens < self.wanted:
            tokens, step = tokens * 2, step * 4
            need += step
        return need * 2 <= self.budget_bytes


def _next(needs: Sequence[int]) -> int:
    """What the next doubling will need: the same again for a straight line, up to four times for a square."""
    if len(needs) == 1:
        return 2 * needs[0]
    step = needs[-1] - needs[-2]
    bend = 2.0 if len(needs) == 2 else min(4.0, max(2.0, step / max(needs[-2] - needs[-3], 1)))
    return needs[-1] + int(bend * step)


def shortened(arrays: TokenArrays, examples: Iterable[int], tokens: int) -> TokenArrays:
    """Some examples, of each of which no more than so many tokens (a share for each sequence) are read, the last ones,
    with something of it trained."""
    most = max(1, tokens // arrays.sequences_per_example) + 1
    chosen = list(examples)
    numbers = [s for e in chosen for s in arrays.sequences_of(e)]
    ends = [len(needed_of(arrays, s)) + 1 for s in numbers]
    pieces = [[x_T[:end] for x_T in arrays.sequence(s)] for s, end in zip(numbers, ends, strict=True)]
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
