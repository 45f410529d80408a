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

from tunesmith.engine.answering.choose import Row, append_tokens
from tunesmith.engine.answering.trunks import Group, group_by_beginning
from tunesmith.engine.attention.decode import Bank, Part, Trunk, feed

TOKENS_AT_ONCE = 2048
"""Of prompts, in one pass: about 2 MB of activations each with SmolLM2-135M in bfloat16."""
FILLED = 0.75  # a bank takes rows that will be at least this share as long as its longest ...
SLACK = 32  # ... or shorter by at most so many tokens


@dataclass(frozen=True, slots=True)
class Reader:
    """A model whose attention these banks can compute, and how far back each of its layers looks (None: all)."""

    model: PreTrainedModel
    windows: Sequence[int | None]

    def read(self, bank: Bank, texts: Sequence[Sequence[int]]) -> Tensor:
        """Feed each row of a new bank its text; the last hidden state of each, BD. Some rows at a time."""
        last: list[Tensor] = []
        for run in _runs(texts):
            longest = max(map(len, texts[run]))
            for at in range(0, longest, TOKENS_AT_ONCE):  # only a text that is alone has a second piece
                pieces = [text[at : at + TOKENS_AT_ONCE] for text in texts[run]]
                fed: list[Sequence[int]] = [[]] * run.start + pieces + [[]] * (len(texts) - run.stop)
                hidden_ND = self.feed([Part.of(bank, fed, self.model.device)])
            last += hidden_ND[torch.tensor([len(piece) for piece in pieces]).cumsum(0) - 1]
        return torch.stack(last)

    def read_trunk(self, tokens: Sequence[int]) -> Trunk:
        """Keys and values of a beginning."""
        bank = Bank(1)
        self.read(bank, [tokens])
        return bank.as_trunk()

    def feed(self, parts: Sequence[Part]) -> Tensor:
        """One pass: the last hidden states of all tokens, ND."""
        return feed(self.model, parts, self.windows)


def _runs(texts: Sequence[Sequence[int]]) -> Iterator[slice]:
    """Texts beside each other that have at most `TOKENS_AT_ONCE` tokens in all, or one that has more."""
    begin = total = 0
    for t, text in enumerate(texts):
        if t > begin and total + len(text) > TOKENS_AT_ONCE:
            yield slice(begin, t)
            begin, total = t, 0
        total += len(text)
    yield slice(begin, len(texts))


@dataclass
class _Queue:
    """Prompts of a group that wait, the next one at the end; their trunk is computed when the first one enters."""

    group: Group
    waiting: list[int]
    trunk: Trunk | None = None
    seconds_each: float = 0.0


@dataclass
class _Living:
    """The rows of a bank; `reserved`: the most tokens each may come to."""

    bank: Bank
    rows: list[Row]
    reserved: int


@dataclass
class Batch:
    """Fills `answers`, one for each of `prompts`. Keys and values of at most `most_tokens` are held at once."""

    reader: Reader
    prompts: Sequence[list[int]]
    answers: Sequence[Row]
    max_new_tokens: int
    stop_ids: set[int]
    most_rows: int
    most_tokens: int
    _queues: list[_Queue] = field(default_factory=list)
    _living: list[_Living] = field(default_factory=list)

    def __post_init__(self) -> None:
        for group in group_by_beginning(self.prompts):
            self._queues.append(_Queue(group, sorted(group.prompts, key=lambda p: len(self.prompts[p]))))

    def steps(self) -> Iterator[list[Row]]:
        """After every pass, the rows that are done. The caller may stop in between."""
        while self._queues or self._living:
            if self._queues and self._has_room():
                self._admit()
            else:
                self._feed_last_tokens()
            yield self._take_finished()

    @property
    def rows(self) -> list[Row]:
        """The rows under way."""
        return [row for living in self._living for row in living.rows]

    def _has_room(self) -> bool:
        """Whether as many can enter as are alive, or all that wait."""
        waiting = sum(len(queue.waiting) for queue in self._queues)
        return self._places(self._queues[0]) >= min(waiting, max(1, len(self.rows)))

    def _places(self, queue: _Queue) -> int:
        """How many rows as long as the queue's next one can enter; at least one where nobody is alive."""
        free = self.most_rows - len(self.rows)
        held = queue.group.length + sum(len(living.rows) * living.reserved for living in self._living)
        places = min(free, (self.most_tokens - held) // self._reserved(queue, queue.waiting[-1]))
        return places if self._living else max(1, places)

    def _admit(self) -> None:
        """Let in as many as there are places for."""
        while self._queues and (members := self._next_members(self._queues[0])):
            queue = self._queues[0]
            if queue.group.length and queue.trunk is None:
                began = time.perf_counter()
                queue.trunk = self.reader.read_trunk(self.prompts[members[0]][: queue.group.length])
                queue.seconds_each = (time.perf_counter() - began) / len(queue.group.prompts)
            self._begin(queue, members)
            if not queue.waiting:
                self._queues.pop(0)

    def _next_members(self, queue: _Queue) -> list[int]:
        """Take the prompts of the next bank from the queue; none when they have to wait."""
        places, reserved = self._places(queue), self._reserved(queue, queue.waiting[-1])
        least = min(FILLED * reserved, reserved - SLACK)
        members: list[int] = []
        while queue.waiting and len(members) < places and self._reserved(queue, queue.waiting[-1]) >= least:
            members.append(queue.waiting.pop())
        return members

    def _reserved(self, queue: _Queue, prompt: int) -> int:
        return len(self.prompts[prompt]) - queue.group.length + self.max_new_tokens

    def _begin(self, queue: _Queue, members: Sequence[int]) -> None:
        """A new bank reads its prompts; each row gets its first token."""
        began = time.perf_counter()
        bank = Bank(len(members), queue.trunk)
        rows = [self.answers[prompt] for prompt in members]
        hidden_BD = self.reader.read(bank, [self.prompts[prompt][queue.group.length :] for prompt in members])
        self._append(rows, hidden_BD, began)
        for row in rows:
            row.seconds += queue.seconds_each
        self._living.append(_Living(bank, rows, self._reserved(queue, members[0])))

    def _feed_last_tokens(self) -> None:
        """One token further in every row."""
        began = time.perf_counter()
        device = self.reader.model.device
        parts = [Part.of(living.bank, [row.tokens[-1:] for row in living.rows], device) for living in self._living]
        self._append(self.rows, self.reader.feed(parts), began)

    def _append(self, rows: Sequence[Row], hidden_BD: Tensor, began: float) -> None:
        append_tokens(self.reader.model, hidden_BD, rows)
        seconds = (time.perf_counter() - began) / len(rows)
        for row in rows:
            row.seconds += seconds

    def _take_finished(self) -> list[Row]:
        """Remove and return the rows that said a stop token (it is taken off) or reached the limit."""
        done: list[Row] = []
        for living in self._living:
            stays = list(range(len(living.rows)))
            for place in range(len(living.rows) - 1, -1, -1):
                row = living.rows[place]
                row.stop(self.stop_ids)
                if row.finished or len(row.tokens) == self.max_new_tokens:
                    done.append(row)
                    last = stays.pop()  # the last row takes the place of the one that leaves
                    if place < len(stays):
                        stays[place] = last
            if len(stays) < len(living.rows):
                living.rows = [living.rows[place] for place in stays]
                living.bank.keep(stays)
        self._living = [living for living in self._living if living.rows]
        return done
