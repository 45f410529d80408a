"""What the data stage needs of a tokenizer, so that it need not know where models come from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tunesmith.records.example import Message


@dataclass(frozen=True, slots=True)
class TokenizedText:
    """Token ids of one text and, for each token, its (begin, end) character range in that text."""

    ids: list[int]
    offsets: list[tuple[int, int]]


RenderRequest = tuple[Sequence[Message], Sequence[dict[str, Any]], Sequence[tuple[int, bool]]]
"""A conversation, its tools, and which of its beginnings are meant: (how many messages, open answer)."""


class ChatTokenizer(Protocol):
    """A tokenizer with its chat template. `models/tokenizer.py` is the real one.

    `ids_without_embedding`: tokens that the model has no row for, so no text with them can be read.
    `stop_ids`: tokens after which the model has nothing more to say; the end of turn is the first of them.
    `text_prefix`: what the tokenizer itself puts before a text that no template renders, mostly the BOS token.
    `uses_current_date`: the template asks for the date, so that prompts differ from day to day.
    """

    bos_id: int | None
    end_of_turn_id: int
    pad_id: int | None
    end_of_turn: str
    stop_ids: tuple[int, ...]
    control_tokens: tuple[str, ...]
    tokenizer_sha256: str
    template_sha256: str
    ids_without_embedding: frozenset[int]
    text_prefix: str
    uses_current_date: bool

    def render(
        self, messages: Sequence[Message], tools: Sequence[dict[str, Any]] = (), *, open_answer: bool = False
    ) -> str:
        """The conversation as the model reads it; with `open_answer`, up to where the assistant's answer begins.

        Errors: `ModelError` when the template refuses the conversation (its own reason is kept);
        `ResourceLimitExceeded` when
        the template takes too long or too much memory.
        """
        ...

    def render_ahead(self, requests: Sequence[RenderRequest]) -> None:
        """What `render` will soon be asked for, so that all of it can be rendered at once. Errors:
        `ResourceLimitExceeded`."""
        ...

    def copies_contents(self, messages: Sequence[Message]) -> bool:
        """Whether what is rendered follows from the roles of these messages, with their contents copied into it.

        Surrounding blanks of a content may be left out. False where it is not known.
        """
        ...

    def encode(
        self, texts: Sequence[str], content: Sequence[Sequence[tuple[int, int]]] | None = None
    ) -> list[TokenizedText]:
        """Token ids of rendered texts; nothing is added, nothing is cut.

        `content` gives for each text the character ranges that a person wrote: a control token spelled there is encoded
        as ordinary text, never as the control token.
        """
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """The text of these ids without control tokens."""
        ...
