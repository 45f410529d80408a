"""A conversation as the variables of one chat template: the same message under the names that this template reads.

transformers asks for arguments of tool calls as an object, and nearly every template writes them with `tojson`. A
template that puts them together as text ("..." + call.arguments) takes only JSON text; which of the two it is shows
when a call is rendered in both forms. Reasoning is `reasoning_content` in nearly every template, `thinking` in some.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from tunesmith.models.template import TemplateRefused, render_template
from tunesmith.records import Message

_NAME, _KEY, _VALUE = "qzxname", "qzxkey", "qzxvalue"
_FUNCTION = {"name": _NAME, "description": "probe", "parameters": {"type": "object", "properties": {}}}
_TOOLS = [{"type": "function", "function": _FUNCTION}]
_REASONING_NAMES = ("reasoning_content", "thinking", "reasoning")


def messages_for(template: str, named_tokens: dict[str, str], messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The messages as this template reads them."""
    has_calls = any(message.tool_calls for message in messages)
    as_text = has_calls and _takes_text(template, tuple(named_tokens.items()))
    read = [message.as_dict(arguments_as_text=as_text) for message in messages]
    if any(message.reasoning for message in messages) and (name := _reasoning_name(template)) != _REASONING_NAMES[0]:
        read = [{name if key == _REASONING_NAMES[0] else key: part for key, part in one.items()} for one in read]
    return read


@lru_cache(maxsize=8)
def _reasoning_name(template: str) -> str:
    """The first of the names that the template mentions."""
    words = set(re.findall(r"\w+", template))
    return next((name for name in _REASONING_NAMES if name in words), _REASONING_NAMES[0])


@lru_cache(maxsize=8)
def _takes_text(template: str, named_tokens: tuple[tuple[str, str], ...]) -> bool:
    """Whether the template writes a call's arguments properly only when they are JSON text."""
    call = {"id": "probe0000", "type": "function", "function": {"name": _NAME, "arguments": {_KEY: _VALUE}}}
    probe = (Message("user", "probe"), Message("assistant", "", tool_calls=(call,)))
    as_object, as_text = ([m.as_dict(arguments_as_text=is_text) for m in probe] for is_text in (False, True))
    return not _is_written(template, named_tokens, as_object) and _is_written(template, named_tokens, as_text)


def _is_written(template: str, named_tokens: tuple[tuple[str, str], ...], messages: list[dict[str, Any]]) -> bool:
    """Whether name and arguments stand in the text, neither with escaped quotes nor in Python's own form."""
    variables = {
        **dict(named_tokens),
        "messages": messages,
        "tools": _TOOLS,
        "documents": None,
        "add_generation_prompt": False,
    }
    try:
        text = render_template(template, variables)
    except TemplateRefused:
        return False
    is_there = all(mark in text for mark in (_NAME, _KEY, _VALUE))
    return is_there and f'\\"{_KEY}' not in text and f"'{_KEY}'" not in text
