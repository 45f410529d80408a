"""The keys that messages, calls and tools may have, and how any other key is reported.

An unknown key is never ignored silently. It is an error where it changes what is trained or read (a
misspelled key, a mask, images, reasoning under another name), and a warning otherwise (`id`,
timestamps). A key without a value (null, empty) carries nothing: exports of typed records and
Parquet give every message every key.

Spellings of a turn's weight: `weight` (OpenAI), `train` and `training` (axolotl's
`message_field_training`), `loss` (ms-swift, XTuner), `loss_weight` (LLaMA-Factory). Of reasoning:
`reasoning_content` (DeepSeek, vLLM, Qwen), `reasoning` (OpenRouter, newer vLLM), `thinking`
(gpt-oss, Ollama).
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tunesmith.data.read.row_errors import InvalidRow
from tunesmith.data.read.tool_call_parsing import parse_if_json

WEIGHT_KEYS = (
    "weight",
    "train",
    "training",
    "trainable",
    "train_on",
    "train_on_turn",
    "loss",
    "loss_weight",
)
REASONING_KEYS = ("reasoning_content", "reasoning", "thinking")
NAME_KEYS = ("name", "tool_name")
MESSAGE_KEYS = frozenset(
    (
        "role",
        "from",
        "content",
        "value",
        "tool_calls",
        "function_call",
        "tool_call_id",
        *WEIGHT_KEYS,
        *REASONING_KEYS,
        *NAME_KEYS,
    )
)
CALL_KEYS = frozenset(("id", "type", "function", "name", "arguments", "parameters"))
FUNCTION_KEYS = frozenset(("name", "arguments", "parameters"))
TEXT_PARTS = (None, "text", "input_text", "output_text")
REASONING_PARTS = ("thinking", "reasoning")
PART_KEYS = frozenset(("type", "text", *REASONING_KEYS))
TOOL_KEYS = frozenset(
    ("type", "function", "name", "description", "parameters", "input_schema", "strict", "return")
)

_TRAINING_WORDS = frozenset(
    (
        "train",
        "trained",
        "training",
        "trainable",
        "loss",
        "mask",
        "masked",
        "masks",
        "weight",
        "weights",
        "supervise",
        "supervised",
        "learn",
        "ignore",
        "ignored",
        "skip",
        "reasoning",
        "thinking",
        "think",
        "thought",
        "thoughts",
        "cot",
        "rationale",
        "image",
        "images",
        "audio",
        "audios",
        "video",
        "videos",
        "content",
        "contents",
        "text",
        "tool",
        "tools",
        "function",
        "functions",
        "call",
        "calls",
        "argument",
        "arguments",
        "refusal",
        "channel",
        "recipient",
        "prefix",
        "part",
        "parts",
    )
)
_HARMLESS_KEYS = frozenset(
    ("content_filter_results", "content_filter_result", "thinking_time", "reasoning_tokens")
)
# Splits camelCase and snake_case, so that "trainOnInput" contains the word "train".
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_JSON_COLUMNS = ("messages", "conversations")
_MIN_SIMILARITY = 0.83
"""difflib ratio from which a key misspells a known one: "wieght", "toolcalls", "Content"."""


def find_unused_keys(values: Mapping[str, Any], columns: Iterable[str]) -> dict[str, None]:
    """The unused keys in messages, calls and tools of a row that change nothing, each once.

    Errors: `InvalidRow` for an unknown key that changes what is trained.
    """
    found: dict[str, None] = {}
    for column in columns:
        value = values.get(column)
        if column in ("tools", "functions"):
            _check_tool_keys(parse_if_json(value))
        elif isinstance(value := parse_if_json(value) if column in _JSON_COLUMNS else value, list):
            found |= dict.fromkeys(_check_messages(value))
        elif isinstance(value, dict):  # OpenAI's {"messages": [...], "tools": [...]}
            found |= find_unused_keys(value, ("messages", "tools"))
            found |= dict.fromkeys(
                _find_unread_keys(value, frozenset(("messages", "tools", "functions")), column)
            )
    return found


def find_intended_key(key: str, known: Iterable[str]) -> str | None:
    """The known key that this one misspells, None when it resembles none of them."""
    plain = {re.sub("[^a-z]", "", name.lower()): name for name in known}
    near = difflib.get_close_matches(
        re.sub("[^a-z]", "", key.lower()), plain, n=1, cutoff=_MIN_SIMILARITY
    )
    return plain[near[0]] if near else None


def _check_messages(messages: list[Any]) -> Iterator[str]:
    for message in messages:
        if not isinstance(message, dict):
            continue  # reported by the reader of messages
        yield from _find_unread_keys(message, MESSAGE_KEYS, "message")
        yield from _find_ignored_weights(message)
        content = message.get("content")
        for part in content if isinstance(content, list) and message.get("role") != "tool" else ():
            if isinstance(part, dict) and part.get("type") in TEXT_PARTS + REASONING_PARTS:
                yield from _find_unread_keys(part, PART_KEYS, "content part")
        for name in ("tool_calls", "function_call"):
            calls = message.get(name)
            for call in calls if isinstance(calls, list) else [calls]:
                yield from _find_unread_keys(call, CALL_KEYS, "tool call")
                function = call.get("function") if isinstance(call, dict) else None
                for key in _find_unread_keys(function, FUNCTION_KEYS, "function of a tool call"):
                    raise InvalidRow("unknown-key", key)


def _find_ignored_weights(message: dict[str, Any]) -> Iterator[str]:
    """A positive weight on a turn that is not the assistant's: only answers are trained."""
    role = message.get("role") or message.get("from")
    if role in ("system", "developer", "user", "human", "tool"):
        yield from (
            f'"{key}" of a message of role {role}' for key in WEIGHT_KEYS if message.get(key)
        )


def _find_unread_keys(item: Any, known: frozenset[str], where: str) -> Iterator[str]:
    """Each unused key of an object that has a value, as `"id" of a message`."""
    if not isinstance(item, dict):
        return
    for key in item:
        if key in known or item[key] is None or item[key] in ("", [], {}):
            continue
        near = find_intended_key(key, known)
        words = {word.lower() for word in _WORD.findall(key)}
        if near or (words & _TRAINING_WORDS and key not in _HARMLESS_KEYS):
            meant = f', did you mean "{near}"?' if near else ""
            raise InvalidRow("unknown-key", f'"{key}" of a {where}{meant}')
        yield f'"{key}" of a {where}'


def _check_tool_keys(tools: Any) -> None:
    """The template writes tools unchanged, so only a misspelled key loses anything."""
    for tool in tools if isinstance(tools, list) else ():
        function = tool.get("function", tool) if isinstance(tool, dict) else None
        for item in (tool, function):
            for key in item.keys() - TOOL_KEYS if isinstance(item, dict) else ():
                if near := find_intended_key(key, TOOL_KEYS):
                    raise InvalidRow("unknown-key", f'"{key}" of a tool, did you mean "{near}"?')
