"""Convert tool calls and tool definitions from any of their forms to one form.

    call    {"id"?, "type": "function", "function": {"name", "arguments": {...}}}
    tool    {"type": "function", "function": {"name", "description"?, "parameters"?, ...}}

Other forms of the same: the call without its "function" level, OpenAI's older `function_call` and
`functions`, arguments as JSON text (what OpenAI's API returns), a whole call or list as JSON text
(what LLaMA-Factory and ms-swift write), Anthropic's `input_schema`. Arguments become an object, as
transformers requires: a template that writes them with `tojson` would write JSON text as a string
with escaped quotes.
"""

import decimal
import math
from collections.abc import Mapping
from typing import Any

from tunesmith.data.read.jsonl_file import parse_json
from tunesmith.data.read.row_errors import InvalidRow, build_type_error
from tunesmith.data.read.text_values import as_text


def parse_if_json(value: Any) -> Any:
    """A list or object given as JSON text, parsed; other values unchanged. Errors: `InvalidRow`."""
    is_json = isinstance(value, str) and value.lstrip().startswith(("[", "{"))
    # surrogatepass: a lone surrogate must reach the parser, which reports it.
    return parse_json(value.encode("utf-8", "surrogatepass")) if is_json else value


def read_tool_calls(item: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    """The tool calls of a message in normal form. Errors: `InvalidRow`."""
    calls = parse_calls(item.get("tool_calls"), "tool_calls")
    older = parse_calls(item.get("function_call"), "function_call")
    # Exports often write both forms; ids exist only in the newer one and are not compared.
    if (
        calls
        and older
        and [call["function"] for call in calls] != [call["function"] for call in older]
    ):
        raise InvalidRow("keys-disagree", '"tool_calls" and "function_call" in one message')
    return calls or older


def parse_calls(value: Any, name: str) -> tuple[dict[str, Any], ...]:
    """One call or a list of calls, also as JSON text; () if there is none. Errors: `InvalidRow`."""
    found = _parse_call(value, name) or []
    found = [found] if isinstance(found, dict) else found
    if not isinstance(found, list):
        raise build_type_error(name, "a list of objects", found)
    return tuple(_normalize_call(_parse_call(call, name), name) for call in found)


def _parse_call(value: Any, name: str) -> Any:
    try:
        return parse_if_json(value)
    except InvalidRow as bad:
        raise InvalidRow("broken-call", f'"{name}" is not valid JSON: {bad.got}') from None


def _normalize_call(call: Any, name: str) -> dict[str, Any]:
    if not isinstance(call, dict):
        raise build_type_error(name, "a list of objects", call)
    if call.get("type") not in (None, "", "function"):
        raise InvalidRow(
            "broken-call", f"a call of type {call['type']!r}; only functions can be called"
        )
    inner = call.get("function")
    function = inner if isinstance(inner, dict) else call
    called = function.get("name")
    if not isinstance(called, str) or not called.strip():
        raise InvalidRow(
            "broken-call",
            f"""a call without the "name" of its function (its keys: {", ".join(call)})""",
        )
    if (number := as_text(call.get("id"))) is None:
        raise build_type_error(f"{name}: id", "text", call["id"])
    value = {
        "type": "function",
        "function": {"name": called, "arguments": _read_arguments(function, called)},
    }
    return {"id": number, **value} if number else value


def _read_arguments(function: Mapping[str, Any], called: str) -> dict[str, Any]:
    """The arguments as an object; absent, null and empty text give {}. Errors: `InvalidRow`."""
    value = function.get("arguments", function.get("parameters"))
    if isinstance(value, str) and value.strip():
        try:
            value = parse_json(value.encode("utf-8", "surrogatepass"))
        except InvalidRow as bad:
            raise InvalidRow(
                "broken-call", f'the arguments of "{called}" are not valid JSON: {bad.got}'
            ) from None
    if value is None or (isinstance(value, str) and not value.strip()):
        return {}
    if not isinstance(value, dict):
        raise InvalidRow(
            "broken-call",
            f'the arguments of "{called}" are {str(value)[:40]!r}, not an object',
        )
    return {key: to_json_value(child, called) for key, child in value.items()}


def to_json_value(value: Any, name: str) -> Any:
    """A table value as JSON: decimals become numbers, dates text. Errors: `InvalidRow`."""
    if isinstance(value, dict):
        return {key: to_json_value(child, name) for key, child in value.items()}
    if isinstance(value, list):
        return [to_json_value(child, name) for child in value]
    if isinstance(value, decimal.Decimal):
        value = float(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidRow("not-a-number", f'{value} in "{name}"')
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if (text := as_text(value)) is None:
        raise build_type_error(name, "JSON values", value)
    return text


def read_tools(values: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    """The tools of a row, from `tools` or OpenAI's older `functions`. Errors: `InvalidRow`."""
    tools, older = (
        _parse_tools(values.get("tools"), "tools"),
        _parse_tools(values.get("functions"), "functions"),
    )
    if tools and older and tools != older:
        raise InvalidRow("keys-disagree", '"tools" and "functions" in one row')
    return tools or older


def _parse_tools(value: Any, name: str) -> tuple[dict[str, Any], ...]:
    if value is None:
        return ()
    items = parse_if_json(value) or []
    if not isinstance(items, list):
        raise build_type_error(name, "a list of objects", items)
    return tuple(_normalize_tool(parse_if_json(item), name) for item in items)


def _normalize_tool(tool: Any, name: str) -> dict[str, Any]:
    if not isinstance(tool, dict):
        raise build_type_error(name, "a list of objects", tool)
    if tool.get("type") not in (None, "", "function"):
        raise build_type_error(name, "a list of functions", tool["type"])
    function = tool.get("function", {key: part for key, part in tool.items() if key != "type"})
    if (
        not isinstance(function, dict)
        or not isinstance(function.get("name"), str)
        or not function["name"].strip()
    ):
        raise build_type_error(name, "a list of functions, each with a name", tool)
    if "input_schema" in function and "parameters" not in function:
        function = {
            "parameters" if key == "input_schema" else key: part for key, part in function.items()
        }
    # Parquet gives every struct every key, absent ones as null, which a template would print.
    function = {key: part for key, part in function.items() if part is not None}
    if isinstance(function.get("parameters"), str):
        function["parameters"] = parse_if_json(function["parameters"])
    return {"type": "function", "function": to_json_value(function, name)}
