"""Tool calls in an answer: from the text that a model writes to names and arguments.

Wherever answers are stored, compared or shown, calls stand in one form: behind the answer's own
text, one line of canonical JSON for each (`records/example.py`):

    {"arguments":{"town":"Iasi"},"name":"get_weather"}

`find_calls` reads that form and every other in which a call is one JSON object: in tags (Qwen,
Hermes), in a list (Mistral), bare (Llama 3), with `parameters` for `arguments`, with arguments as
JSON text, as OpenAI's `tool_calls`. `CallFormat` reads what a chat template writes in its own way.
It renders a call of marked parts, as the training renderer does, and learns from the text that the
model's tokenizer would decode what stands around them:

    name before JSON     NAME ```json {...} ```        (DeepSeek, Kimi, harmony)
    keys and values      <arg_key>K</arg_key><arg_value>V</arg_value>    (GLM, Qwen3-Coder)

A value without quotes may be text or a number: the type in the tool's definition decides, else it
is a JSON value where it is one.
"""

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NoReturn
from weakref import WeakKeyDictionary

from tunesmith.data.final_answer import extract_final_answer
from tunesmith.data.read.row_errors import InvalidRow
from tunesmith.data.read.tool_call_parsing import parse_calls
from tunesmith.errors import ResourceLimitExceeded, TunesmithError
from tunesmith.records import ChatTokenizer, Example, Message, dump_canonical_json, format_answer

Function = dict[str, Any]
"""`{"name": ..., "arguments": {...}}`"""
_Arguments = tuple[dict[str, Any], int]
"""The arguments of a call, and where they end."""
MAX_CHARACTERS = 1_000_000
"""Longer answers are not searched for calls."""
MAX_CHECKED_EXAMPLES = 20
"""Examples whose calls are written and read back before a model is asked."""
MAX_FAILED_OBJECTS = 1_000
"""Braces that open no object, up to which an answer is searched: each may be read to the end."""
_LOOKS_LIKE_CALL = re.compile(
    r'<tool_call|<function=|\[TOOL_CALLS\]|<\|python_tag\|>|"(?:arguments|parameters)"\s*:',
    re.IGNORECASE,
)
_OPENED_OBJECT = re.compile(r'\{\s*"(?:name|arguments|parameters|function)"\s*:')
_CALL_OPENING = re.compile(
    r"(?:<tool_call>|<\|python_tag\|>|\[TOOL_CALLS\]|```\w*|functools|\[|\s)+\Z", re.IGNORECASE
)
_NAME = r"[A-Za-z_][\w.\-]*"
_PROBE_NAME = "qzx7310001q"
_PROBE_KEYS = ("qzx7310002q", "qzx7310004q")
_PROBE_VALUES = ("qzx7310003q", "qzx7310005q")
_PROBE_ARGUMENTS = dict(zip(_PROBE_KEYS, _PROBE_VALUES, strict=True))


@dataclass(frozen=True, slots=True)
class FoundCalls:
    """The calls of an answer and the text before the first; `is_broken`: it holds a call that
    cannot be read.
    """

    text: str
    functions: tuple[Function, ...] = ()
    is_broken: bool = False

    @property
    def as_text(self) -> str:
        """The answer in the common form."""
        return format_answer(self.text, self.functions)


def find_calls(answer: str) -> FoundCalls:
    """The calls that are JSON objects in this answer."""
    # An answer without end is no call; searching it would take as long as it is.
    if len(answer) > MAX_CHARACTERS:
        return FoundCalls(answer, is_broken=True)
    functions: list[Function] = []
    begin, is_broken = len(answer), False
    for place, value in _iterate_json_objects(answer):
        found = _read_functions(value)
        if found:
            begin = min(begin, place)
            functions += found
        # A broken call beside a readable one makes the whole answer wrong: half of what was asked
        # would be called.
        elif value is None or found is None:
            is_broken = True
    if not functions:
        return FoundCalls(answer, (), is_broken or _LOOKS_LIKE_CALL.search(answer) is not None)
    return FoundCalls(_strip_opening(answer[:begin]), tuple(functions), is_broken)


def is_call_line(line: str) -> bool:
    """Whether this line is a call in the common form, character by character."""
    if not line.startswith('{"arguments":{'):
        return False
    value = _parse_json(line)
    if not isinstance(value, dict) or value.keys() != {"arguments", "name"}:
        return False
    return isinstance(value["arguments"], dict) and line == dump_canonical_json(value)


def has_calls(answer: str) -> bool:
    """Whether an answer in the common form ends with a call."""
    return is_call_line(answer.rstrip("\n").rpartition("\n")[2])


def _iterate_json_objects(text: str) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """(begin, object) of each outermost JSON object; None for one that looks like a call and
    cannot be parsed.
    """
    position = failed = 0
    while (begin := text.find("{", position)) >= 0 and failed < MAX_FAILED_OBJECTS:
        try:
            value, position = _DECODER.raw_decode(text, begin)
            yield begin, value
        except (ValueError, RecursionError):
            # The brace may stand in a text before the call: the search goes on behind it.
            position = begin + 1
            if _OPENED_OBJECT.match(text, begin, begin + 80):
                yield begin, None


def _read_functions(value: dict[str, Any] | None) -> list[Function] | None:
    """The calls in a JSON object; [] if it is none, None if it is a broken one."""
    if value is None:
        return None
    if isinstance(value.get("tool_calls"), list):
        given: Any = value["tool_calls"]
    elif isinstance(value.get("function_call"), dict):
        given = value["function_call"]
    elif isinstance(value.get("function"), dict) or (
        isinstance(value.get("name"), str) and ("arguments" in value or "parameters" in value)
    ):
        given = value
    else:
        return []
    try:
        return [call["function"] for call in parse_calls(given, "tool_calls")]
    except InvalidRow:
        return None


def _strip_opening(text: str) -> str:
    """The text before a call without the tag, fence or bracket that opens it."""
    return _CALL_OPENING.sub("", text)


@dataclass(frozen=True, slots=True)
class CallFormat:
    """How one chat template writes calls that are not JSON objects as a whole.

    `opening` stands before a name and `middle` behind it. Where arguments are not JSON, `middle`
    is followed by a key, `between` by its value; `next_key` stands between a value and the next
    key, `closing` behind the last value.
    """

    opening: str
    middle: str
    between: str = ""
    next_key: str = ""
    closing: str = ""

    @classmethod
    def learn(cls, tokenizer: ChatTokenizer) -> "CallFormat | None":
        """The template's own form; None where `find_calls` reads it, or the template writes no
        calls.
        """
        written = write_call(tokenizer, {"name": _PROBE_NAME, "arguments": _PROBE_ARGUMENTS})
        if written is None or find_calls(written).functions or _PROBE_NAME not in written:
            return None
        opening, _, rest = written.partition(_PROBE_NAME)
        if _PROBE_KEYS[0] not in rest:
            return None
        middle, _, behind = rest.partition(_PROBE_KEYS[0])
        brace = middle.rfind("{")
        if brace >= 0 and _begins_with_object(rest[brace:]):
            return cls(opening, middle[:brace])
        places = [
            behind.find(word) for word in (_PROBE_VALUES[0], _PROBE_KEYS[1], _PROBE_VALUES[1])
        ]
        if -1 in places or places != sorted(places):
            return None
        between = behind[: places[0]]
        next_key = behind[places[0] + len(_PROBE_VALUES[0]) : places[1]]
        closing = behind[places[2] + len(_PROBE_VALUES[1]) :]
        return cls(opening, middle, between, next_key, closing)

    def find_calls(self, answer: str, tools: Sequence[dict[str, Any]] = ()) -> FoundCalls:
        """The calls in an answer of the model; `tools` are those that it was offered."""
        if len(answer) > MAX_CHARACTERS:
            return FoundCalls(answer, is_broken=True)
        functions: list[Function] = []
        begin, position = len(answer), 0
        head = re.compile(f"{_loosen(self.opening)}(?P<name>{_NAME}){_loosen(self.middle)}")
        while match := head.search(answer, position):
            read = self._read_pairs if self.between else self._read_object
            found = read(answer, match.end(), _get_parameter_types(tools, match["name"]))
            if found is None:
                position = (
                    match.end() if self.opening.strip() or self.middle.strip() else len(answer)
                )
                continue
            begin = min(begin, match.start())
            arguments, position = found
            functions.append({"name": match["name"], "arguments": arguments})
        if not functions:
            mark = self.opening.strip() or self.middle.strip()
            return FoundCalls(answer, (), bool(mark) and mark in answer)
        return FoundCalls(answer[:begin].strip(), tuple(functions))

    def _read_object(
        self, answer: str, at: int, types: dict[str, Any]
    ) -> tuple[dict[str, Any], int] | None:
        try:
            value, end = _DECODER.raw_decode(
                answer, at + len(answer[at:]) - len(answer[at:].lstrip())
            )
        except (ValueError, RecursionError):
            return None
        return (value, end) if isinstance(value, dict) else None

    def _read_pairs(
        self, answer: str, at: int, types: dict[str, Any]
    ) -> tuple[dict[str, Any], int] | None:
        pair = re.compile(
            rf"\s*(?P<key>[^<>\n]+?)\s*{_loosen(self.between)}(?P<value>.*?)"
            rf"(?:(?P<more>{_loosen(self.next_key)})|{_loosen(self.closing)})",
            re.DOTALL,
        )
        arguments: dict[str, Any] = {}
        while match := pair.match(answer, at):
            if match["key"] in arguments:
                return None
            arguments[match["key"]] = _read_value(match["value"], types.get(match["key"]))
            at = match.end()
            if match["more"] is None:
                return arguments, at
        return None


_LEARNED: WeakKeyDictionary[ChatTokenizer, CallFormat | None] = WeakKeyDictionary()


def read_calls(tokenizer: ChatTokenizer, answer: str, tools: Sequence[dict[str, Any]] = ()) -> str:
    """An answer of a model with its calls in the common form; unchanged where none can be read."""
    # Reasoning may mention calls: only the final answer calls.
    final = extract_final_answer(answer)
    if tokenizer not in _LEARNED:
        _LEARNED[tokenizer] = CallFormat.learn(tokenizer)
    own = _LEARNED[tokenizer]
    found = own.find_calls(final, tools) if own is not None else find_calls(final)
    return found.as_text if found.functions and not found.is_broken else answer


def find_unread_call(tokenizer: ChatTokenizer, examples: Sequence[Example]) -> Example | None:
    """The first of some examples whose calls, as the model would learn to write them, are not read
    back as they are; None if there is none.
    """
    calling = (one for one in examples if one.messages and one.messages[-1].tool_calls)
    for example in islice(calling, MAX_CHECKED_EXAMPLES):
        written = _write_answer(tokenizer, example.messages, example.tools)
        if written is None:  # refused by the template, which the gate reports
            continue
        found = find_calls(read_calls(tokenizer, written, example.tools))
        if list(found.functions) != example.messages[-1].called_functions:
            return example
    return None


def write_call(tokenizer: ChatTokenizer, *functions: Function) -> str | None:
    """An answer that calls these functions as the model would write it, control tokens left out;
    None if the template refuses it.
    """
    calls = tuple(
        {"id": f"call0000{i}", "type": "function", "function": function}
        for i, function in enumerate(functions)
    )
    tools = tuple(_define(function["name"]) for function in functions)
    answer = Message("assistant", "", tool_calls=calls)
    return _write_answer(tokenizer, (Message("user", "question"), answer), tools)


def _write_answer(
    tokenizer: ChatTokenizer, messages: Sequence[Message], tools: Sequence[dict[str, Any]]
) -> str | None:
    """The last message as a model would write it, control tokens left out; None if the template
    refuses it.
    """
    try:
        before = tokenizer.render(messages[:-1], tools, open_answer=True)
        whole = tokenizer.render(messages, tools)
    except ResourceLimitExceeded:
        raise
    except TunesmithError:
        return None
    if not whole.startswith(before):
        return None
    return tokenizer.decode(tokenizer.encode([whole[len(before) :]])[0].ids).strip()


def _define(name: str) -> dict[str, Any]:
    function = {"name": name, "description": "", "parameters": {"type": "object"}}
    return {"type": "function", "function": function}


def _begins_with_object(text: str) -> bool:
    try:
        value, _ = _DECODER.raw_decode(text)
    except (ValueError, RecursionError):
        return False
    return bool(value == _PROBE_ARGUMENTS)


def _loosen(frame: str) -> str:
    """The frame as a pattern: any white space where the template has some, and around it."""
    words = [re.escape(word) for word in frame.split()]
    return r"\s*" + r"\s*".join(words) + (r"\s*" if words else "")


def _get_parameter_types(tools: Sequence[dict[str, Any]], name: str) -> dict[str, Any]:
    """The JSON type of each parameter of a function, where its definition says it."""
    found = (tool.get("function", {}) for tool in tools)
    parameters = next((one.get("parameters") for one in found if one.get("name") == name), None)
    properties = parameters.get("properties") if isinstance(parameters, dict) else None
    if not isinstance(properties, dict):
        return {}
    return {key: part.get("type") for key, part in properties.items() if isinstance(part, dict)}


def _read_value(text: str, kind: Any) -> Any:
    if kind == "string":
        return text
    value = _parse_json(text)
    return text if value is None and text.strip() != "null" else value


def _parse_json(text: str) -> Any:
    """The value of strict JSON; None if it is none."""
    try:
        value, end = _DECODER.raw_decode(text.strip())
    except (ValueError, RecursionError):
        return None
    return value if end == len(text.strip()) else None


def _build_unique_dict(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Parsers differ in which of two equal keys they keep, so such an object has no value.
    result = dict(pairs)
    if len(result) < len(pairs):
        raise ValueError("duplicate key")
    return result


def _reject_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _parse_finite(digits: str) -> float:
    number = float(digits)
    return number if math.isfinite(number) else _reject_constant(digits)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_build_unique_dict, parse_constant=_reject_constant, parse_float=_parse_finite
)
