"""Build messages from the values of a row: chat and ShareGPT forms, reasoning, tool calls, weights.

Roles that other formats use for the same thing are translated (`human` is user, `gpt` is assistant,
`developer` is system, `function` is tool); any other role is an error of the row. A turn of role
`function_call` or `tool_call` is the assistant's, and its content is the call (LLaMA-Factory,
ms-swift). A missing answer becomes an empty one, so that the check counts both together.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tunesmith.data.read.jsonl_file import parse_json
from tunesmith.data.read.message_keys import (
    NAME_KEYS,
    REASONING_KEYS,
    REASONING_PARTS,
    TEXT_PARTS,
    WEIGHT_KEYS,
)
from tunesmith.data.read.row_errors import InvalidRow, build_type_error
from tunesmith.data.read.text_values import as_text
from tunesmith.data.read.tool_call_parsing import (
    parse_calls,
    parse_if_json,
    read_tool_calls,
    to_json_value,
)
from tunesmith.records import Message, Role

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "tool_call": "assistant",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
    "function_response": "tool",
    "tool_response": "tool",
}
_CALL_ROLES = ("function_call", "tool_call")


def read_messages(values: Mapping[str, Any], name: str) -> tuple[Message, ...]:
    """The non-empty list of messages in this column; CSV files hold it as JSON text."""
    items = parse_if_json(values.get(name))
    if not isinstance(items, list) or not items:
        raise build_type_error(name, "a list of messages", items)
    messages: list[Message] = []
    for item in items:
        message = _read_message(item, name)
        # Formats with a turn per call write an assistant's text and its calls as several turns.
        if (
            _get_role_name(item) in _CALL_ROLES
            and messages
            and _is_same_turn(messages[-1], message)
        ):
            before = messages.pop()
            message = replace(before, tool_calls=before.tool_calls + message.tool_calls)
        messages.append(message)
    return _link_tool_results(messages)


def read_conversation(values: Mapping[str, Any], name: str, role: Role) -> tuple[Message, ...]:
    """A text as one message of this role, or the column's messages (in tables as JSON text)."""
    value = values.get(name)
    if isinstance(value, list):
        return read_messages(values, name)
    if isinstance(value, str) and (messages := _parse_messages(value, name)) is not None:
        return read_messages({name: messages}, name)
    return (Message(role, read_required_text(values, name)),)


_LIST_AS_TEXT = re.compile(r"\s*\[\s*\{")
_PYTHON_LIST = re.compile(r"\s*\[\s*\{'(?:role|content)': .*'(?:role|content)': ", re.DOTALL)
# `str(messages)` in Python: single quotes around a known key, twice, so that prose hardly matches.


def may_be_messages(text: str) -> bool:
    """Whether a text begins like a list of messages; `_parse_messages` decides."""
    # Called for every text of a file: one character decides nearly always, before any regex.
    first = text[:1]
    return (first == "[" or first.isspace()) and _LIST_AS_TEXT.match(text) is not None


def _parse_messages(text: str, name: str) -> list[Any] | None:
    """The messages that a text encodes as JSON; None for anything else, since an answer may be
    JSON.

    Errors: `InvalidRow` for a list written by Python (`str(messages)`), which is not JSON.
    """
    if not _LIST_AS_TEXT.match(text):
        return None
    if _PYTHON_LIST.match(text):
        raise build_type_error(name, "a list of messages as JSON", text)
    try:
        items = parse_json(text.encode())
    except InvalidRow:
        return None
    forms = ({"role", "content"}, {"from", "value"})
    are_messages = all(
        isinstance(item, dict) and any(form <= item.keys() for form in forms) for item in items
    )
    return items if items and are_messages else None


def read_system_message(values: Mapping[str, Any]) -> tuple[Message, ...]:
    """The system column as a message; empty when the column is absent or blank."""
    text = read_optional_text(values, "system")
    return (Message("system", text),) if text else ()


def read_required_text(values: Mapping[str, Any], name: str) -> str:
    """The text in this column; null counts as empty, numbers and booleans are written as text.

    Errors: `InvalidRow` for a list or an object.
    """
    text = as_text(values.get(name))
    if text is None:
        raise build_type_error(name, "text", values[name])
    return text


read_optional_text = read_required_text


def _read_message(item: Any, name: str) -> Message:
    if not isinstance(item, dict):
        raise build_type_error(name, "a list of objects", item)
    role_name = _get_role_name(item)
    if not isinstance(role_name, str) or role_name not in _ROLES:
        raise InvalidRow("unknown-role", f"role {role_name!r}")
    role = _ROLES[role_name]
    given = _get_single_value(item, ("content", "value"))
    calls = read_tool_calls(item)
    if role_name in _CALL_ROLES and not calls:
        calls, given = parse_calls(given, f"content of {role_name}"), None
        if not calls:
            raise InvalidRow("broken-call", f"a turn of role {role_name!r} that is not a call")
    # Tool results may be any JSON; all other content is text or parts of text.
    content, reasoning = _read_tool_result(given) if role == "tool" else _read_content(given, name)
    reasoning = _read_reasoning(item) or reasoning
    # A template writes these parts for the assistant only and would drop them silently.
    for what, is_there in (("tool calls", bool(calls)), ("reasoning", reasoning is not None)):
        if is_there and role != "assistant":
            raise InvalidRow("unknown-key", f"{what} of a message whose role is {role_name!r}")
    return Message(
        role,
        content,
        weight=_read_weight(item),
        name=read_required_text({"name": _get_single_value(item, NAME_KEYS)}, "name") or None,
        tool_calls=calls,
        tool_call_id=read_required_text(item, "tool_call_id") or None,
        reasoning=reasoning,
    )


def _get_role_name(item: Mapping[str, Any]) -> Any:
    return _get_single_value(item, ("role", "from"))


def _get_single_value(item: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    """The value under these alternative names, which must agree. Errors: `InvalidRow`."""
    given = [(name, item[name]) for name in names if item.get(name) is not None]
    for name, value in given[1:]:
        if value != given[0][1]:
            raise InvalidRow("keys-disagree", f'"{given[0][0]}" and "{name}" of one message')
    return given[0][1] if given else None


def _is_same_turn(before: Message, call: Message) -> bool:
    """Whether a call written as its own message belongs to the message before it."""
    return before.role == "assistant" and before.weight == call.weight


def _read_content(value: Any, name: str) -> tuple[str, str | None]:
    """(text, reasoning) of a text, null (a message that only calls tools), a number, or parts."""
    if (text := as_text(value)) is not None:
        return text, None
    if not isinstance(value, list) or not all(isinstance(part, dict) for part in value):
        raise build_type_error(f"{name}: content", "text", value)
    texts: list[str] = []
    thoughts: list[str] = []
    for part in value:
        kind = part.get("type")
        if kind in REASONING_PARTS:
            thoughts.append(_read_reasoning(part) or _get_part_text(part, name))
        elif kind in TEXT_PARTS:
            texts.append(_get_part_text(part, name))
        else:
            raise InvalidRow("not-text", f"a content part of type {kind!r}")
    return "".join(texts), "".join(thoughts) or None


def _get_part_text(part: Mapping[str, Any], name: str) -> str:
    if not isinstance(part.get("text"), str):
        raise build_type_error(f"{name}: content", "text", part)
    return str(part["text"])


def _read_tool_result(value: Any) -> tuple[str, None]:
    """A tool's result as text: a text, parts of text, or any JSON value, which is serialized."""
    if (
        isinstance(value, list)
        and value
        and all(isinstance(p, dict) and p.get("type") == "text" for p in value)
    ):
        return _read_content(value, "tool")[0], None
    if value is None or isinstance(value, str):
        return value or "", None
    return json.dumps(to_json_value(value, "tool result"), ensure_ascii=False), None


def _read_reasoning(item: Mapping[str, Any]) -> str | None:
    """The assistant's reasoning before its answer, under any of its names. Errors: `InvalidRow`."""
    value = _get_single_value(item, REASONING_KEYS)
    if isinstance(value, list) and all(isinstance(part, dict) for part in value):
        value = "".join(_get_part_text(part, "reasoning") for part in value)
    if value is not None and not isinstance(value, str):
        raise build_type_error("reasoning", "text", value)
    return value if value and value.strip() else None


def _read_weight(item: Mapping[str, Any]) -> float | None:
    """The weight of a turn, 0 to 1 or a boolean, under any of its names. Errors: `InvalidRow`."""
    found = [
        (name, _parse_weight(name, item[name]))
        for name in WEIGHT_KEYS
        if item.get(name) is not None
    ]
    for name, weight in found[1:]:
        if weight != found[0][1]:
            raise InvalidRow("keys-disagree", f'"{found[0][0]}" and "{name}" of one message')
    return found[0][1] if found else None


def _parse_weight(name: str, value: Any) -> float:
    if not isinstance(value, (bool, int, float)) or not 0 <= value <= 1:
        raise build_type_error(name, "a number from 0 to 1, or true or false", value)
    return float(value)


def _link_tool_results(messages: list[Message]) -> tuple[Message, ...]:
    """Give each tool result the name and id of its call, matched by id, name or order.

    OpenAI's format has only the id, older ones only the name, and a template that reads the other
    writes nothing.
    """
    named: list[Message] = []
    # Calls of the latest turn that have no result yet.
    waiting: list[dict[str, Any]] = []
    for message in messages:
        if message.tool_calls:
            # A new turn of calls: results that follow never belong to an earlier turn.
            waiting = list(message.tool_calls)
        elif message.role == "tool" and (call := _find_answered_call(message, waiting)) is not None:
            waiting.remove(call)
            name, number = (
                message.name or call["function"]["name"],
                message.tool_call_id or call.get("id"),
            )
            message = replace(message, name=name, tool_call_id=number)
        named.append(message)
    return tuple(named)


def _find_answered_call(result: Message, waiting: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The first call with the result's id; if calls have no ids, with its name; else the first."""
    if result.tool_call_id is not None and any("id" in call for call in waiting):
        fitting = [call for call in waiting if call.get("id") == result.tool_call_id]
    else:
        fitting = [call for call in waiting if result.name in (None, call["function"]["name"])]
    return fitting[0] if fitting else None
