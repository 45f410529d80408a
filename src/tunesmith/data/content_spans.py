"""Where people's own words stand in a rendered conversation, so that a control token spelled there stays text.

The conversation is rendered again with a marker in place of every message. Between the markers stands the template's
own text, so each content's place follows without searching for it; the whole text is rebuilt to prove it.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from tunesmith.records import ChatTokenizer, Message


def contains_control_token(tokenizer: ChatTokenizer, text: str) -> bool:
    """Whether a control token of this tokenizer is spelled in the text."""
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
    """The character range of each message's content in `text`, which is the rendering of these messages.

    Empty when no message spells a control token, for then nothing needs to be known; None when the template rewrites a
    message, so that the place of its words is not known.
    """
    if not any(contains_control_token(tokenizer, message.content) for message in messages):
        return []
    marked = [replace(message, content=f"\ue000{i}\ue001") for i, message in enumerate(messages)]
    first, *rest = re.split("\ue000[0-9]+\ue001", tokenizer.render(marked, tools, open_answer=open_answer))
    ranges, rebuilt = [], first
    for message, after in zip(messages, rest, strict=False):
        words = message.content if text.startswith(message.content, len(rebuilt)) else message.content.strip()
        ranges.append((len(rebuilt), len(rebuilt) + len(words)))
        rebuilt += words + after
    return ranges if rebuilt == text and len(rest) == len(messages) else None
