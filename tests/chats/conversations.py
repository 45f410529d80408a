"""Varied conversations in the form that transformers asks for, and the same ones in the forms that
people have.

`pick` chooses one of a list: `random.Random(n).choice`, or Hypothesis.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

Pick = Callable[[Sequence[Any]], Any]
Chat = dict[str, Any]

TEXTS = (
    "Where is my card?",
    "Grüße aus Zürich, 20 €",
    "東京の天気は？",
    "ما هو الطقس؟",
    "Погода в Омске",
    "emoji 😀 and 👩‍👩‍👧",
    'He said "no" and C:\\temp\\new',
    "two\nlines",
    "  spaces around  ",
    "a\ttab",
    "5",
    "true",
    "<b>&amp;</b>",
    "it's",
    '{"json": [1, null]}',
    "x",
    "assistant",
    "null",
    "\u00e9 = é",
    "very " * 30 + "long",
    "`code` {{ braces }} {% if %}",
)
NAMES = ("get_weather", "search", "f", "größe_von", "db.query-2")
KEYS = ("town", "days", "unit", "größe", "q")
VALUES: tuple[Any, ...] = (
    *TEXTS,
    5,
    -3,
    0.5,
    1e22,
    True,
    False,
    None,
    [],
    {},
    ["a", 1],
    {"deep": {"list": [1, "two", None]}},
    "",
)


def conversation(
    pick: Pick, texts: Sequence[str] = TEXTS, *, with_tools: bool = True, thinks: bool = True
) -> Chat:
    """`{"messages": [...]}`, perhaps with `tools`; roles in the usual order, an answer last."""
    messages: list[Chat] = []
    if pick((False, True)):
        messages.append({"role": "system", "content": pick(texts)})
    has_tools = with_tools and pick((False, True))
    for turn in range(turns := pick((1, 1, 2, 3))):
        messages.append({"role": "user", "content": pick(texts)})
        is_last = turn == turns - 1
        if has_tools and pick((False, True)):
            called, *results = _calls_and_results(pick, texts)
            messages.append(called)
            if is_last and pick((False, True)):
                break  # the call is the answer
            messages += results
        messages.append(_answer(pick, pick(texts), thinks=thinks and is_last))
    chat: Chat = {"messages": messages}
    return (
        {**chat, "tools": [_tool(name) for name in NAMES[: pick((1, 2, 5))]]} if has_tools else chat
    )


def _answer(pick: Pick, text: str, *, thinks: bool) -> Chat:
    answer: Chat = {"role": "assistant", "content": text}
    if thinks and pick((False, False, True)):
        answer["reasoning_content"] = f"I think about {text}"
    if pick((False, False, True)):
        answer["weight"] = pick((0.5, 1))
    return answer


def _calls_and_results(pick: Pick, texts: Sequence[str]) -> list[Chat]:
    calls = [_call(pick, number) for number in range(pick((1, 1, 2, 3)))]
    text = pick(("", "", pick(texts)))
    called: Chat = {"role": "assistant", "content": text, "tool_calls": calls}
    results = [
        {
            "role": "tool",
            "content": pick(texts),
            "name": call["function"]["name"],
            "tool_call_id": call["id"],
        }
        for call in calls
    ]
    return [called, *results]


def _call(pick: Pick, number: int) -> Chat:
    arguments = {key: pick(VALUES) for key in KEYS[: pick((0, 1, 2, 5))]}
    call = {"name": pick(NAMES), "arguments": arguments}
    return {"id": f"{pick('abcdef')}1234567{number}", "type": "function", "function": call}


def _tool(name: str) -> Chat:
    parameters = {
        "type": "object",
        "properties": {"town": {"type": "string"}},
        "required": ["town"],
    }
    return {
        "type": "function",
        "function": {"name": name, "description": "Gives é < ü", "parameters": parameters},
    }


def written_by_others(chat: Chat, pick: Pick, *, reorders: bool = False) -> Chat:
    """The same conversation as a row of a file, in one of the forms that people have it in.

    With `reorders` the keys of arguments stand in another order, which other tokens follow from.
    """
    row: Chat = {}
    if tools := chat.get("tools"):
        functions = [tool["function"] for tool in tools]
        row |= pick(
            (
                {"tools": tools},
                {"tools": json.dumps(tools)},
                {"tools": functions},
                {"functions": functions},
                {"tools": [json.dumps(tool, indent=1) for tool in tools]},
                {"tools": [{**function, "type": "function"} for function in functions]},
            )
        )
    is_sharegpt = pick((False, False, True))
    messages = [
        part
        for message in chat["messages"]
        for part in _message(message, pick, is_sharegpt, reorders)
    ]
    return {**row, "conversations" if is_sharegpt else "messages": messages}


def _message(message: Chat, pick: Pick, is_sharegpt: bool, reorders: bool) -> list[Chat]:
    given = dict(message)
    weight, thought, calls = (
        given.pop(key, None) for key in ("weight", "reasoning_content", "tool_calls")
    )
    if weight is not None:
        given |= {
            pick(("weight", "train", "loss", "training", "loss_weight")): pick(
                (weight, weight == 1 or weight)
            )
        }
    elif message["role"] == "assistant":
        given |= pick(({}, {"weight": None}, {"train": True}, {"loss": 1}))
    if thought is not None:
        given |= {pick(("reasoning_content", "reasoning", "thinking")): thought}
    if calls:
        given |= _calls(calls, pick, reorders)
        given["content"] = given["content"] or pick(("", None))
    elif message["role"] == "tool":
        given = {
            key: part for key, part in given.items() if key != pick(("", "name", "tool_call_id"))
        }
        given["role"] = pick(("tool", "function")) if "name" in given else "tool"
    elif isinstance(given["content"], str) and pick((False, True)):
        half = len(given["content"]) // 2
        given["content"] = [
            {"type": "text", "text": text}
            for text in (given["content"][:half], given["content"][half:])
        ]
    given |= pick(({}, {"refusal": None, "audio": None, "annotations": []}))
    return [_as_sharegpt(given, pick)] if is_sharegpt else [given]


def _as_sharegpt(given: Chat, pick: Pick) -> Chat:
    role = {"user": "human", "assistant": "gpt", "system": "system"}.get(
        given["role"], "observation"
    )
    if isinstance(given["content"], list):
        given["content"] = "".join(part["text"] for part in given["content"])
    return {"from": role, "value": given["content"]} | {
        k: v for k, v in given.items() if k not in ("role", "content")
    }


def _calls(calls: list[Chat], pick: Pick, reorders: bool) -> Chat:
    written = []
    for call in calls:
        function = {"name": call["function"]["name"]}
        arguments = call["function"]["arguments"]
        if reorders:
            arguments = dict(reversed(arguments.items()))
        forms = [
            arguments,
            json.dumps(arguments),
            json.dumps(arguments, ensure_ascii=False, indent=2),
        ]
        forms += [] if arguments else ["", None]
        function["arguments"] = pick(forms)
        written.append(pick(({**call, "function": function}, {"id": call["id"], **function})))
    if len(calls) == 1 and pick((False, True)):
        return {
            "function_call": {
                key: part
                for key, part in written[0].get("function", written[0]).items()
                if key != "id"
            }
        }
    return {"tool_calls": pick((written, json.dumps(written)))}
