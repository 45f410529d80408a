"""One protocol for everything that answers: the prompted base model, retrieval, the tuned model, a remote one.

Evaluation and baselines see every contender as a `Completer`. The same lines score them all: that is the fairness
guarantee. A prompt is a conversation that ends before the answer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from tunesmith.records.example import Message

Prompt = tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Completion:
    """One answer. `finished` is False when it was cut at the token limit; `error` is set when there is no answer.

    `seconds` is this answer's share of the wall time of the batch that it was made in (throughput, not latency).
    """

    text: str
    tokens_in: int
    tokens_out: int
    seconds: float
    finished: bool = True
    error: str | None = None


Progress = Callable[[int, int], None]
"""Called with (answers ready, answers wanted)."""


class Completer(Protocol):
    """Answers prompts. The order of the completions is the order of the prompts."""

    def complete(self, prompts: Sequence[Prompt], progress: Progress | None = None) -> list[Completion]:
        """One completion per prompt; a prompt that cannot be answered gets one with `error` set, never an exception."""
        ...
