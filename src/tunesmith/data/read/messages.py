"""Messages from the values of a row: chat and ShareGPT forms, tools, weights.

Roles that other formats use for the same thing are translated (`human` is user, `gpt` is assistant, `developer` is
system, `function` is tool); any other role is a fault of the row. An absent answer becomes an empty one, so that the
check can count it with the empty ones.
"""

import json
from collections.abc import Mapping
from typing import Any

from tunesmith.data.read.faults import BadRow
from tunesmith.data.read.jsonl import parse_json
from tunesmith.records import Message, Role

_ROLES: dict[str, Role] = {
    "system": "system", "developer": "system",
    "user": "user", "human": "user",
    "assistant": "assistant", "gpt": "assistant", "chatgpt": "assistant", "bing": "assistant", "bard": "assistant",
    "model": "assistant", "function_call": "assistant",
    "tool": "tool", "function": "tool", "observation": "tool", "function_response": "tool",
}  # fmt: skip


def messages_of(values: Mapping[str, Any], name: str) -> tuple[Message, ...]:
    """The list of messages in this column, at least one. In CSV it may stand as JSON text."""
    items = _parsed(values.get(name))
    if not isinstance(items, list) or not items:
        raise _wrong_type(name, "a list of messages", items)
    return tuple(_message(item, name) for item in items)


def conversation(values: Mapping[str, Any], name: str, role: Role) -> tuple[Message, ...]:
    """A string as one message of this role, or the list of messages that stands there."""
    value = values.get(name)
    if isinstance(value, list):
        return messages_of(values, name)
    return (Message(role, required_text(values, name)),)


def system_of(values: Mapping[str, Any]) -> tuple[Message, ...]:
    """The system column as a message, when there is one and it says something."""
    text = optional_text(values, "system")
    return (Message("system", text),) if text else ()


def required_text(values: Mapping[str, Any], name: str) -> str:
    """The text in this column; null counts as empty."""
    value = values.get(name)
    if value is not None and not isinstance(value, str):
        raise _wrong_type(name, "text", value)
    return value or ""


optional_text = required_text


def as_tools(value: Any) -> tuple[dict[str, Any], ...]:
    """The tool definitions: a list of objects, or the same as JSON text; absent and null are none."""
    items = _parsed(value) or []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise _wrong_type("tools", "a list of objects", items)
    return tuple(items)


def _message(item: Any, name: str) -> Message:
    if not isinstance(item, dict):
        raise _wrong_type(name, "a list of objects", item)
    role_name = item.get("role", item.get("from"))
    if not isinstance(role_name, str) or role_name not in _ROLES:
        raise BadRow("unknown-role", f"role {role_name!r}")
    calls = _parsed(item.get("tool_calls")) or []
    if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
        raise _wrong_type("tool_calls", "a list of objects", calls)
    return Message(
        _ROLES[role_name],
        _content(item.get("content", item.get("value")), name),
        weight=_weight(item.get("weight")),
        name=required_text(item, "name") or None,
        tool_calls=tuple(calls),
        tool_call_id=required_text(item, "tool_call_id") or None,
    )


def _content(value: Any, name: str) -> str:
    """Text, null (a message that only calls tools), or OpenAI's list of text parts."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, list) and all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in value):
        return "".join(part["text"] for part in value)
    raise _wrong_type(f"{name}: content", "text", value)


def _weight(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise _wrong_type("weight", "a number from 0 to 1", value)
    return float(value)


def _parsed(value: Any) -> Any:
    """Lists that a table holds as JSON text."""
    return parse_json(value.encode()) if isinstance(value, str) and value.lstrip().startswith("[") else value


def _wrong_type(name: str, wanted: str, value: Any) -> BadRow:
    shown = json.dumps(value, ensure_ascii=False, default=str)
    return BadRow("wrong-type", f'"{name}" should be {wanted}, is {shown[:40]}{"…" if len(shown) > 40 else ""}')
