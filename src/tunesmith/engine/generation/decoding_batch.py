"""The batch of answers under way: rows enter when places are free, take a token each in every pass, and leave.

Rows of about the same length that continue the same trunk enter together as a bank (`attention/decode.py`). All banks
take part in every pass. Waiting prompts enter when half of the places are free, the longest of a group first: memory
peaks early, and the last rows to finish are short.
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
"""Of prompts, in one pass: about 2 MB of activations each with SmolLM2-135M in bfloat16."""
MIN_FILL_FRACTION = 0.75  # a bank takes rows that will be at least this share as long as its longest ...
MAX_LENGTH_SLACK = 32  # ... or shorter by at most so many tokens


@dataclass(frozen=True, slots=True)
class PrefixModel:
    """A model whose attention these banks can compute, and how far back each of its layers looks (None: all)."""

    model: PreTrainedModel
    windows: Sequence[int | None]

    def prefill(self, cache: KVCache, texts: Sequence[Sequence[int]]) -> Tensor:
        """Feed each row of a new bank its text; the last hidden state of each, BD. Some rows at a time."""
        last: list[Tensor] = []
        for run in _split_runs(texts):
            longest = max(map(len, texts[run]))
            for at in range(0, longest, MAX_PREFILL_TOKENS):  # only a text that is alone has a second piece
                pieces = [text[at : at + MAX_PREFILL_TOKENS] for text in texts[run]]
                fed: list[Sequence[int]] = [[]] * run.start + pieces + [[]] * (len(texts) - run.stop)
                hidden_ND = self.run_pass([PassInput.from_tokens(cache, fed, self.model.device)])
            last += hidden_ND[torch.tensor([len(piece) for piece in pieces]).cumsum(0) - 1]
        return torch.stack(last)

    def prefill_prefix(self, tokens: Sequence[int]) -> SharedPrefix:
        """Keys and values of a beginning."""
        bank = KVCache(1)
        self.prefill(bank, [tokens])
        return bank.to_shared_prefix()

    def run_pass(self, parts: Sequence[PassInput]) -> Tensor:
        """One pass: the last hidden states of all tokens, ND."""
        return run_pass(self.model, parts, self.windows)


def _split_runs(texts: Sequence[Sequence[int]]) -> Iterator[slice]:
    """Texts beside each other that have at most `TOKENS_AT_ONCE` tokens in all, or one that has more."""
    begin = total = 0
    for t, text in enumerate(texts):
        if t > begin and total + len(text) > MAX_PREFILL_TOKENS:
            yield slice(begin, t)
            begin, total = t, 0
        total += len(text)
    yield slice(begin, len(texts))


@dataclass
class _WaitingGroup:
    """Prompts of a group that wait, the next one at the end; their trunk is computed when the first one enters."""

    group: PromptGroup
    waiting: list[int]
    prefix: SharedPrefix | None = None
    seconds_each: float = 0.0


@dataclass
class _ActiveGroup:
    """The rows of a bank; `reserved`: the most tokens each may come to."""

    cache: KVCache
    sequences: list[SequenceState]
    reserved_tokens: int


@dataclass
class DecodingBatch:
    """Fills `answers`, one for each of `prompts`. Keys and values of at most `most_tokens` are held at once."""

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
            self._waiting_groups.append(_WaitingGroup(group, sorted(group.prompts, key=lambda p: len(self.prompts[p]))))

    def iterate_steps(self) -> Iterator[list[SequenceState]]:
        """After every pass, the rows that are done. The caller may stop in between."""
        while self._waiting_groups or self._active_groups:
            if self._waiting_groups and self._has_capacity():
                self._admit()
            else:
                self._decode_next_tokens()
            yield self._take_finished()

    @property
    def active_sequences(self) -> list[SequenceState]:
        """The rows under way."""
        return [row for living in self._active_groups for row in living.sequences]

    def _has_capacity(self) -> bool:
        """Whether as many can enter as are alive, or all that wait."""
        waiting = sum(len(queue.waiting) for queue in self._waiting_groups)
        return self._count_free_slots(self._waiting_groups[0]) >= min(waiting, max(1, len(self.active_sequences)))

    def _count_free_slots(self, waiting_group: _WaitingGroup) -> int:
        """How many rows as long as the queue's next one can enter; at least one where nobody is alive."""
        free = self.max_sequences - len(self.active_sequences)
        held = waiting_group.group.length + sum(
            len(living.sequences) * living.reserved_tokens for living in self._active_groups
        )
        places = min(
            free,
            (self.max_cached_tokens - held) // self._count_reserved_tokens(waiting_group, waiting_group.waiting[-1]),
        )
        return places if self._active_groups else max(1, places)

    def _admit(self) -> None:
        """Let in as many as there are places for."""
        while self._waiting_groups and (members := self._take_next_members(self._waiting_groups[0])):
            queue = self._waiting_groups[0]
            if queue.group.length and queue.prefix is None:
                began = time.perf_counter()
                queue.prefix = self.prefix_model.prefill_prefix(self.prompts[members[0]][: queue.group.length])
                queue.seconds_each = (time.perf_counter() - began) / len(queue.group.prompts)
            self._start_group(queue, members)
            if not queue.waiting:
                self._waiting_groups.pop(0)

    def _take_next_members(self, waiting_group: _WaitingGroup) -> list[int]:
        """Take the prompts of the next bank from the queue; none when they have to wait."""
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
        """A new bank reads its prompts; each row gets its first token."""
        began = time.perf_counter()
        bank = KVCache(len(members), waiting_group.prefix)
        rows = [self.answers[prompt] for prompt in members]
        hidden_BD = self.prefix_model.prefill(
            bank, [self.prompts[prompt][waiting_group.group.length :] for prompt in members]
        )
        self._append_tokens(rows, hidden_BD, began)
        for row in rows:
            row.seconds += waiting_group.seconds_each
        self._active_groups.append(_ActiveGroup(bank, rows, self._count_reserved_tokens(waiting_group, members[0])))

    def _decode_next_tokens(self) -> None:
        """One token further in every row."""
        began = time.perf_counter()
        device = self.prefix_model.model.device
        parts = [
            PassInput.from_tokens(living.cache, [row.tokens[-1:] for row in living.sequences], device)
            for living in self._active_groups
        ]
        self._append_tokens(self.active_sequences, self.prefix_model.run_pass(parts), began)

    def _append_tokens(self, sequences: Sequence[SequenceState], hidden_BD: Tensor, began: float) -> None:
        append_tokens(self.prefix_model.model, hidden_BD, sequences)
        seconds = (time.perf_counter() - began) / len(sequences)
        for row in sequences:
            row.seconds += seconds

    def _take_finished(self) -> list[SequenceState]:
        """Remove and return the rows that said a stop token (it is taken off) or reached the limit."""
        done: list[SequenceState] = []
        for living in self._active_groups:
            stays = list(range(len(living.sequences)))
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
