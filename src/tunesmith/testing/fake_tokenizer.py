"""A tokenizer for tests: one token per UTF-8 byte, a ChatML-like template, and the faults of real
templates.

    <bos><|im_start|>user\\nHi<|im_end|>\\n<|im_start|>assistant\\nHello<|im_end|>\\n

Ids 0 to 3 are the control tokens, then the 256 bytes, so 260 ids are enough for a tiny model.
With `merges_line_ends` two line ends become one token (id 260), which is how a real tokenizer
makes a token across the border of prompt and answer.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith.errors import ModelError
from tunesmith.records import Message, RenderRequest, TokenizedText

CONTROL_TOKENS = ("<pad>", "<bos>", "<|im_start|>", "<|im_end|>")
FIRST_BYTE_ID = len(CONTROL_TOKENS)
MERGED_ID = FIRST_BYTE_ID + 256
VOCABULARY_SIZE = MERGED_ID + 1


@dataclass(frozen=True)
class FakeTokenizer:
    """Passes every check of a `ChatTokenizer` unless one of its faults is switched on."""

    rewrites_earlier_turns: bool = False
    doubles_bos: bool = False
    omits_end_of_turn: bool = False
    pads_with_end_of_turn: bool = False
    rejects_two_users: bool = False
    merges_line_ends: bool = False
    end_of_turn: str = "<|im_end|>"
    control_tokens: tuple[str, ...] = CONTROL_TOKENS
    bos_id: int | None = 1
    end_of_turn_id: int = 3
    tokenizer_sha256: str = "fa" * 32
    template_sha256: str = "fe" * 32
    ids_without_embedding: frozenset[int] = frozenset()
    text_prefix: str = ""
    uses_current_date: bool = False

    @property
    def pad_id(self) -> int | None:
        return self.end_of_turn_id if self.pads_with_end_of_turn else 0

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[dict[str, Any]] = (),
        *,
        open_answer: bool = False,
    ) -> str:
        parts = ["<bos><bos>" if self.doubles_bos else "<bos>"]
        if tools:
            parts.append(f"<|im_start|>system\n{json.dumps(list(tools))}<|im_end|>\n")
        for i, message in enumerate(messages):
            if self.rejects_two_users and i and message.role == messages[i - 1].role == "user":
                raise ModelError(
                    "template-refused",
                    "chat template does not accept this conversation",
                    got="two user messages in a row",
                )
            parts.append(f"<|im_start|>{message.role}\n{self._build_content(messages, i)}")
            parts.append(
                "\n" if self.omits_end_of_turn and message.role == "assistant" else "<|im_end|>\n"
            )
        return "".join(parts) + ("<|im_start|>assistant\n" if open_answer else "")

    def render_ahead(self, wanted: Sequence[RenderRequest]) -> None:
        """Nothing to do: rendering is fast."""

    def copies_contents(self, messages: Sequence[Message]) -> bool:
        return False

    def _build_content(self, messages: Sequence[Message], i: int) -> str:
        content = messages[i].content
        if self.rewrites_earlier_turns and i < len(messages) - 1:
            content = re.sub(r"<think>.*?</think>", "", content)
        reasoning = f"<think>{messages[i].reasoning}</think>" if messages[i].reasoning else ""
        return reasoning + content + "".join(json.dumps(call) for call in messages[i].tool_calls)

    def encode(
        self, texts: Sequence[str], content: Sequence[Sequence[tuple[int, int]]] | None = None
    ) -> list[TokenizedText]:
        ranges = content if content is not None else [()] * len(texts)
        return [self._encode(text, own) for text, own in zip(texts, ranges, strict=True)]

    def _encode(self, text: str, content: Sequence[tuple[int, int]]) -> TokenizedText:
        ids: list[int] = []
        offsets: list[tuple[int, int]] = []
        pattern = "|".join(
            [
                *map(re.escape, self.control_tokens),
                *(["\n\n"] if self.merges_line_ends else []),
                "(?s:.)",
            ]
        )
        for match in re.finditer(pattern, text):
            word, (begin, end) = match.group(), match.span()
            is_written = any(b <= begin and end <= e for b, e in content)
            if word in self.control_tokens and not is_written:
                ids.append(self.control_tokens.index(word))
                offsets.append((begin, end))
            elif word == "\n\n":
                ids.append(MERGED_ID)
                offsets.append((begin, end))
            else:
                for at, character in enumerate(word, start=begin):
                    encoded = character.encode()
                    ids += [FIRST_BYTE_ID + byte for byte in encoded]
                    offsets += [(at, at + 1)] * len(encoded)
        return TokenizedText(ids, offsets)

    def decode(self, ids: Sequence[int]) -> str:
        pieces = (
            b"\n\n" if id_ == MERGED_ID else bytes([id_ - FIRST_BYTE_ID])
            for id_ in ids
            if id_ >= FIRST_BYTE_ID
        )
        return b"".join(pieces).decode("utf-8", "replace")
