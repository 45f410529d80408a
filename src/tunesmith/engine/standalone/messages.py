"""The messages that the model gets for a question, as prompt.json describes them."""

import html
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

BUNDLE_FOLDER = Path(__file__).parent
PROMPT: dict[str, Any] = json.loads((BUNDLE_FOLDER / "prompt.json").read_text("utf-8"))
PLACEHOLDER = re.compile(r"\{\{\s*(?:input|question|prompt)\s*\}\}|\{(?:input|question|prompt)\}")
Messages = list[dict[str, Any]]


def build_messages(
    conversation: Messages, fits: Callable[[Messages], bool] = lambda messages: True
) -> Messages:
    """The conversation with system message, template, examples and passages added.

    `fits` limits the retrieved entries to those that leave room in the context.
    """
    messages = list(conversation)
    if PROMPT["system"] and messages[0]["role"] != "system":
        messages.insert(0, {"role": "system", "content": PROMPT["system"]})
    if PROMPT["template"]:
        last = max(i for i, message in enumerate(messages) if message["role"] == "user")
        question = messages[last]["content"]
        # A function, because backslashes in a plain replacement string would be interpreted.
        text = PLACEHOLDER.sub(lambda _: question, PROMPT["template"])
        messages[last] = {**messages[last], "content": text}
    if PROMPT["instruction"]:
        system = f"{messages.pop(0)['content']}\n\n" if messages[0]["role"] == "system" else ""
        messages.insert(0, {"role": "system", "content": system + PROMPT["instruction"]})
    messages = with_shots(messages, PROMPT["shots"])
    if not PROMPT["retrieval"]:
        return messages
    from retrieve import find_nearest  # type: ignore[import-not-found]  # next to this file in a bundle

    found = find_nearest(messages)
    with_found = (
        with_passages if found and "text" in found[0] else lambda m, some: with_shots(m, some[::-1])
    )
    # Entries that do not fit are left out, the least similar first.
    counts = range(len(found), 0, -1)
    return next((told for n in counts if fits(told := with_found(messages, found[:n]))), messages)


def answer_lines(answer: Callable[[Messages], str], as_json: bool) -> None:
    """Answer each line of stdin: a question, or a JSON object with a conversation's messages."""
    for line in filter(None, map(str.strip, sys.stdin)):
        try:
            told = {"text": answer(parse_conversation(line)), "error": None}
        except ValueError as error:
            told = {"text": "", "error": str(error)}
        print(
            json.dumps(told, ensure_ascii=False) if as_json else told["text"] or told["error"],
            flush=True,
        )


def parse_conversation(line: str) -> Messages:
    """The conversation that an input line stands for."""
    try:
        value = json.loads(line)
    except ValueError:
        value = None
    is_conversation = isinstance(value, dict) and isinstance(value.get("messages"), list)
    return value["messages"] if is_conversation else [{"role": "user", "content": line}]


def with_shots(messages: Messages, shots: list[dict[str, Any]]) -> Messages:
    """Insert the examples as answered turns between the system message and the question."""
    turns = [turn for shot in shots for turn in shot["messages"] if turn["role"] != "system"]
    system = [message for message in messages if message["role"] == "system"]
    return [*system, *turns, *(message for message in messages if message["role"] != "system")]


def with_passages(messages: Messages, passages: list[dict[str, Any]]) -> Messages:
    """Append passages to the system message, between tags that their text cannot close."""
    texts = [message["content"] for message in messages if message["role"] == "system"]
    texts.append(PROMPT["retrieval"]["passages_head"])
    for passage in passages:
        text = passage["text"].replace("</passage", "&lt;/passage")
        texts.append(f'<passage source="{html.escape(passage["source"])}">\n{text}\n</passage>')
    rest = [message for message in messages if message["role"] != "system"]
    return [{"role": "system", "content": "\n\n".join(texts)}, *rest]
