"""What the data stage needs from a tokenizer, so that it does not depend on where models come
from.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tunesmith.records.example import Message


@dataclass(frozen=True, slots=True)
class TokenizedText:
    """Token ids of one text and, for each token, its (begin, end) character range in the text."""

    ids: list[int]
    offsets: list[tuple[int, int]]


RenderRequest = tuple[Sequence[Message], Sequence[dict[str, Any]], Sequence[tuple[int, bool]]]
"""A conversation, its tools, and the prefixes to render: (number of messages, open answer) each."""


class ChatTokenizer(Protocol):
    """A tokenizer with its chat template; implemented in `models/tokenizer.py`.

    `ids_without_embedding`: tokens without a row in the embedding matrix: the model cannot read a
    text that contains one. `stop_ids`: tokens that end an answer; the end of turn is the first of
    them. `text_prefix`: what the tokenizer puts before a text that no template renders, usually the
    BOS token. `uses_current_date`: the template inserts the date, so prompts differ from day to
    day.
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
        self,
        messages: Sequence[Message],
        tools: Sequence[dict[str, Any]] = (),
        *,
        open_answer: bool = False,
    ) -> str:
        """The conversation as the model reads it; with `open_answer`, up to where the assistant's
        answer begins.

        Errors: `ModelError` if the template rejects the conversation (with its own reason);
        `ResourceLimitExceeded` if the template takes too much time or memory.
        """
        ...

    def render_ahead(self, requests: Sequence[RenderRequest]) -> None:
        """Announce later `render` calls so that they can be rendered in one batch. Errors:
        `ResourceLimitExceeded`.
        """
        ...

    def copies_contents(self, messages: Sequence[Message]) -> bool:
        """Whether the rendered text depends only on the roles of these messages, with their
        contents copied into it.

        Whitespace around a content may be stripped. False if unknown.
        """
        ...

    def encode(
        self, texts: Sequence[str], content: Sequence[Sequence[tuple[int, int]]] | None = None
    ) -> list[TokenizedText]:
        """Token ids of rendered texts; no token is added and nothing is truncated.

        `content` gives for each text the character ranges that come from the data: a control token
        spelled there is encoded as ordinary text, never as the control token.
        """
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """The text of these ids without control tokens."""
        ...
