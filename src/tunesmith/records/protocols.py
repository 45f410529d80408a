"""One protocol for everything that answers: the prompted base model, retrieval, the tuned model, a remote one.

Evaluation and baselines see every contender as a `Completer`. The same lines score them all: that is the fairness
guarantee. A prompt is a conversation that ends before the answer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from tunesmith.records.example import Message
from tunesmith.records.record import Record
from tunesmith.records.storable_text import replace_unstorable

Prompt = tuple[Message, ...]
GenerationMode = Literal["written", "constrained", "picked"]


@dataclass(frozen=True, slots=True)
class Completion:
    """One answer. `finished` is False when it was cut at the token limit; `error` is set when there is no answer.

    `seconds` is this answer's share of the wall time of the batch that it was made in (throughput, not latency).
    `tokens_shared` of the `tokens_in` were computed once for several prompts; `way` is how the answer was made (written
    freely, written under a constraint, or picked among labels): a token costs more or less time in each.
    Whoever answers, here is the border: text and error are storable (`records/storable_text.py`).
    """

    text: str
    tokens_in: int
    tokens_out: int
    seconds: float
    finished: bool = True
    error: str | None = None
    tokens_shared: int = 0
    mode: GenerationMode = "written"

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", replace_unstorable(self.text))
        if self.error is not None:
            object.__setattr__(self, "error", replace_unstorable(self.error))


ProgressCallback = Callable[[int, int], None]
"""Called with (answers ready, answers wanted)."""


class Completer(Protocol):
    """Answers prompts. The order of the completions is the order of the prompts."""

    def complete(self, prompts: Sequence[Prompt], progress: ProgressCallback | None = None) -> list[Completion]:
        """One completion per prompt; a prompt that cannot be answered gets one with `error` set, never an exception."""
        ...


class OutputConstraint(Record):
    """What an answer may look like: one of `labels` (the likeliest is taken), or JSON that fits `json_schema`."""

    labels: tuple[str, ...] = ()
    json_schema: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class AnswerLogprob:
    """How likely a model finds a given answer, end of turn included: natural logarithm, and over how many tokens.

    NaN over 0 tokens where it cannot be asked, because the template refuses the prompt or all of it is too long.
    """

    logprob: float
    tokens: int


class LogprobModel(Protocol):
    """A model that can say how likely given answers are; remote ones often cannot."""

    def compute_logprobs(
        self, prompts: Sequence[Prompt], answers: Sequence[str], progress: ProgressCallback | None = None
    ) -> list[AnswerLogprob]:
        """Of each answer as the continuation of its prompt; an empty prompt asks for the text by itself, without an end
        of turn."""
        ...


class Embedder(Protocol):
    """Texts as points: what means the same lies near."""

    @property
    def name(self) -> str:
        """Which model makes them."""
        ...

    def embed(self, texts: Sequence[str]) -> Any:
        """One row of length 1 for each text: numpy float32, (texts, dimensions)."""
        ...
