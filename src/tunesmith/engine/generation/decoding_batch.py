"""Continuous batching: sequences enter when slots are free and leave when they are finished.

Sequences of similar length that continue the same prefix enter together as one `KVCache`
(`attention/decode_attention.py`). All caches take part in every pass. Waiting prompts are admitted
when half of the slots are free, the longest of a group first: memory peaks early, and the last
sequences to finish are short.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import PreTrainedModel

from tunesmith.engine.attention.decode_attention import KVCache, PassInput, SharedPrefix, run_pass
from tunesmith.engine.generation.sampling import SequenceState, append_tokens
from tunesmith.engine.generation.shared_prefixes import PromptGroup, group_by_prefix

MAX_PREFILL_TOKENS = 2048
"""Prompt tokens in one pass: about 2 MB of activations each with SmolLM2-135M in bfloat16."""
# A cache takes sequences that will be at least this fraction as long as its longest, or shorter by
# at most `MAX_LENGTH_SLACK` tokens: all its sequences have as many columns.
MIN_FILL_FRACTION = 0.75
MAX_LENGTH_SLACK = 32


@dataclass(frozen=True, slots=True)
class PrefixModel:
    """A model that `decode_attention.py` supports; `windows` by layer, None: full attention."""

    model: PreTrainedModel
    windows: Sequence[int | None]

    def prefill(self, cache: KVCache, texts: Sequence[Sequence[int]]) -> Tensor:
        """Feed each sequence of a new cache its text; return the last hidden states, BD."""
        last: list[Tensor] = []
        for run in _split_runs(texts):
            longest = max(map(len, texts[run]))
            # Only a text that is alone in its run has a second piece.
            for at in range(0, longest, MAX_PREFILL_TOKENS):
                pieces = [text[at : at + MAX_PREFILL_TOKENS] for text in texts[run]]
                fed: list[Sequence[int]] = (
                    [[]] * run.start + pieces + [[]] * (len(texts) - run.stop)
                )
                hidden_ND = self.run_pass([PassInput.from_tokens(cache, fed, self.model.device)])
            last += hidden_ND[torch.tensor([len(piece) for piece in pieces]).cumsum(0) - 1]
        return torch.stack(last)

    def prefill_prefix(self, tokens: Sequence[int]) -> SharedPrefix:
        """Keys and values of these tokens, for sequences that continue them."""
        bank = KVCache(1)
        self.prefill(bank, [tokens])
        return bank.to_shared_prefix()

    def run_pass(self, parts: Sequence[PassInput]) -> Tensor:
        """Run one pass of the model; return the last hidden states of all tokens, ND."""
        return run_pass(self.model, parts, self.windows)


def _split_runs(texts: Sequence[Sequence[int]]) -> Iterator[slice]:
    """Ranges of adjacent texts with at most `MAX_PREFILL_TOKENS` tokens, or one longer text."""
    begin = total = 0
    for t, text in enumerate(texts):
        if t > begin and total + len(text) > MAX_PREFILL_TOKENS:
            yield slice(begin, t)
            begin, total = t, 0
        total += len(text)
    yield slice(begin, len(texts))


@dataclass
class _WaitingGroup:
    """Waiting prompts of a group, the next one at the end; the prefix is computed when the first
    one enters.

    `seconds_each`: each prompt's part of the time that the prefix took.
    """

    group: PromptGroup
    waiting: list[int]
    prefix: SharedPrefix | None = None
    seconds_each: float = 0.0


@dataclass
class _ActiveGroup:
    """The sequences of one cache; `reserved_tokens`: the most own tokens that each may reach."""

    cache: KVCache
    sequences: list[SequenceState]
    reserved_tokens: int


@dataclass
class DecodingBatch:
    """Generates `answers` to `prompts`, holding at most `max_cached_tokens` keys and values."""

    prefix_model: PrefixModel
    prompts: Sequence[list[int]]
    answers: Sequence[SequenceState]
    max_new_tokens: int
    stop_ids: set[int]
    max_sequences: int
    max_cached_tokens: int
    _waiting_groups: list[_WaitingGroup] = field(default_factory=list)
    _active_groups: list[_ActiveGroup] = field(default_factory=list)

    def __post_init__(self) -> None:
        for group in group_by_prefix(self.prompts):
            self._waiting_groups.append(
                _WaitingGroup(group, sorted(group.prompts, key=lambda p: len(self.prompts[p])))
            )

    def iterate_steps(self) -> Iterator[list[SequenceState]]:
        """Yield the finished sequences after every pass. The caller may stop in between."""
        while self._waiting_groups or self._active_groups:
            if self._waiting_groups and self._has_capacity():
                self._admit()
            else:
                self._decode_next_tokens()
            yield self._take_finished()

    @property
    def active_sequences(self) -> list[SequenceState]:
        """The sequences that are being generated."""
        return [row for living in self._active_groups for row in living.sequences]

    def _has_capacity(self) -> bool:
        """Whether as many sequences can enter as are active, or all that wait."""
        waiting = sum(len(queue.waiting) for queue in self._waiting_groups)
        return self._count_free_slots(self._waiting_groups[0]) >= min(
            waiting, max(1, len(self.active_sequences))
        )

    def _count_free_slots(self, waiting_group: _WaitingGroup) -> int:
        """Number of sequences as long as the group's next one that can enter; at least 1 when none
        is active.
        """
        free = self.max_sequences - len(self.active_sequences)
        # Each active sequence reserves what it may need at most, so an admitted one never runs out
        # of memory.
        held = waiting_group.group.length + sum(
            len(living.sequences) * living.reserved_tokens for living in self._active_groups
        )
        places = min(
            free,
            (self.max_cached_tokens - held)
            // self._count_reserved_tokens(waiting_group, waiting_group.waiting[-1]),
        )
        return places if self._active_groups else max(1, places)

    def _admit(self) -> None:
        """Admit as many waiting prompts as there are free slots."""
        while self._waiting_groups and (
            members := self._take_next_members(self._waiting_groups[0])
        ):
            queue = self._waiting_groups[0]
            if queue.group.length and queue.prefix is None:
                began = time.perf_counter()
                queue.prefix = self.prefix_model.prefill_prefix(
                    self.prompts[members[0]][: queue.group.length]
                )
                queue.seconds_each = (time.perf_counter() - began) / len(queue.group.prompts)
            self._start_group(queue, members)
            if not queue.waiting:
                self._waiting_groups.pop(0)

    def _take_next_members(self, waiting_group: _WaitingGroup) -> list[int]:
        """Take the prompts of the next cache from a waiting group; empty if they must wait."""
        places, reserved = (
            self._count_free_slots(waiting_group),
            self._count_reserved_tokens(waiting_group, waiting_group.waiting[-1]),
        )
        least = min(MIN_FILL_FRACTION * reserved, reserved - MAX_LENGTH_SLACK)
        members: list[int] = []
        while (
            waiting_group.waiting
            and len(members) < places
            and self._count_reserved_tokens(waiting_group, waiting_group.waiting[-1]) >= least
        ):
            members.append(waiting_group.waiting.pop())
        return members

    def _count_reserved_tokens(self, waiting_group: _WaitingGroup, prompt: int) -> int:
        return len(self.prompts[prompt]) - waiting_group.group.length + self.max_new_tokens

    def _start_group(self, waiting_group: _WaitingGroup, members: Sequence[int]) -> None:
        """Start a cache: prefill its prompts and choose the first token of each sequence."""
        began = time.perf_counter()
        bank = KVCache(len(members), waiting_group.prefix)
        rows = [self.answers[prompt] for prompt in members]
        hidden_BD = self.prefix_model.prefill(
            bank, [self.prompts[prompt][waiting_group.group.length :] for prompt in members]
        )
        self._append_tokens(rows, hidden_BD, began)
        for row in rows:
            row.seconds += waiting_group.seconds_each
        self._active_groups.append(
            _ActiveGroup(bank, rows, self._count_reserved_tokens(waiting_group, members[0]))
        )

    def _decode_next_tokens(self) -> None:
        """Decode one token of every active sequence, in one pass."""
        began = time.perf_counter()
        device = self.prefix_model.model.device
        parts = [
            PassInput.from_tokens(
                living.cache, [row.tokens[-1:] for row in living.sequences], device
            )
            for living in self._active_groups
        ]
        self._append_tokens(self.active_sequences, self.prefix_model.run_pass(parts), began)

    def _append_tokens(
        self, sequences: Sequence[SequenceState], hidden_BD: Tensor, began: float
    ) -> None:
        append_tokens(self.prefix_model.model, hidden_BD, sequences)
        seconds = (time.perf_counter() - began) / len(sequences)
        for row in sequences:
            row.seconds += seconds

    def _take_finished(self) -> list[SequenceState]:
        """Take the sequences that ended with a stop token (stripped) or reached the limit."""
        done: list[SequenceState] = []
        for living in self._active_groups:
            stays = list(range(len(living.sequences)))
            # From the end, so that the sequence that fills the gap has been checked already.
            for place in range(len(living.sequences) - 1, -1, -1):
                row = living.sequences[place]
                row.strip_stop_token(self.stop_ids)
                if row.is_finished or len(row.tokens) == self.max_new_tokens:
                    done.append(row)
                    last = stays.pop()  # the last row takes the place of the one that leaves
                    if place < len(stays):
                        stays[place] = last
            if len(stays) < len(living.sequences):
                living.sequences = [living.sequences[place] for place in stays]
                living.cache.keep_sequences(stays)
        self._active_groups = [living for living in self._active_groups if living.sequences]
        return done
