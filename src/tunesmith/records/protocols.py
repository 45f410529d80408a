"""One protocol for everything that answers: the prompted base model, retrieval, the tuned model, a
remote one.

Evaluation and baselines see every contender as a `Completer` and score them with the same code:
this is the fairness guarantee. A prompt is a conversation that ends before the answer.
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
    """One answer. `finished` is False if it was truncated at the token limit; `error` is set if
    there is no answer.

    `seconds` is this answer's part of the wall time of its batch (throughput, not latency).
    `tokens_shared` of the `tokens_in` were computed once for several prompts; `mode` is how the
    answer was made (generated freely, generated under a constraint, or picked among labels): the
    time per token differs between them. Whatever the source, text and error are made storable here
    (`records/storable_text.py`).
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
"""Called with (answers ready, total answers)."""


class Completer(Protocol):
    """Answers prompts. The order of the completions is the order of the prompts."""

    def complete(
        self, prompts: Sequence[Prompt], progress: ProgressCallback | None = None
    ) -> list[Completion]:
        """One completion per prompt; a prompt that cannot be answered gets one with `error` set,
        never an exception.
        """
        ...


class OutputConstraint(Record):
    """The allowed form of an answer: one of `labels` (the most likely is taken), or JSON that
    matches `json_schema`.
    """

    labels: tuple[str, ...] = ()
    json_schema: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class AnswerLogprob:
    """Log-probability of a given answer (natural logarithm), end of turn included, and over how
    many tokens.

    NaN over 0 tokens if it cannot be computed, because the template rejects the prompt or the text
    is too long.
    """

    logprob: float
    tokens: int


class LogprobModel(Protocol):
    """A model that can compute the likelihood of given answers; remote ones often cannot."""

    def compute_logprobs(
        self,
        prompts: Sequence[Prompt],
        answers: Sequence[str],
        progress: ProgressCallback | None = None,
    ) -> list[AnswerLogprob]:
        """For each answer as the continuation of its prompt; with an empty prompt for the text by
        itself, without an end of turn.
        """
        ...


class Embedder(Protocol):
    """Maps texts to vectors: texts of similar meaning are close."""

    @property
    def name(self) -> str:
        """Name of the embedding model."""
        ...

    def embed(self, texts: Sequence[str]) -> Any:
        """One unit-length row per text: numpy float32, (texts, dimensions)."""
        ...
