"""Locate message contents in a rendered conversation, so that control tokens in them stay text.

The conversation is rendered again with a marker in place of every content. The text between markers
is the template's own, so each content's position follows without searching; rebuilding the whole
text verifies it.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from tunesmith.records import ChatTokenizer, Message


def contains_control_token(tokenizer: ChatTokenizer, text: str) -> bool:
    """Whether the text contains the spelling of a control token of this tokenizer."""
    pattern = _compile_any_pattern(tokenizer.control_tokens)
    return pattern is not None and pattern.search(text) is not None


@lru_cache(maxsize=16)
def _compile_any_pattern(tokens: tuple[str, ...]) -> re.Pattern[str] | None:
    return re.compile("|".join(map(re.escape, tokens))) if tokens else None


def find_content_ranges(
    tokenizer: ChatTokenizer,
    messages: Sequence[Message],
    tools: Sequence[dict[str, Any]],
    text: str,
    *,
    open_answer: bool = False,
) -> list[tuple[int, int]] | None:
    """The character range of each message's content in `text`, the rendering of these messages.

    Empty when no message spells a control token, because then the ranges are not needed; None when
    the template rewrites a message, so that its position is unknown.
    """
    if not any(contains_control_token(tokenizer, message.content) for message in messages):
        return []
    marked = [replace(message, content=f"\ue000{i}\ue001") for i, message in enumerate(messages)]
    first, *rest = re.split(
        "\ue000[0-9]+\ue001", tokenizer.render(marked, tools, open_answer=open_answer)
    )
    ranges, rebuilt = [], first
    for message, after in zip(messages, rest, strict=False):
        # Many templates trim contents: accept the content as it is or stripped, nothing else.
        words = (
            message.content
            if text.startswith(message.content, len(rebuilt))
            else message.content.strip()
        )
        ranges.append((len(rebuilt), len(rebuilt) + len(words)))
        rebuilt += words + after
    return ranges if rebuilt == text and len(rest) == len(messages) else None
