"""Verify that the rendered text contains every part of a conversation.

A chat template silently ignores the parts that it does not support: tools, tool calls, reasoning.
So each part is searched for in rendered text, in two ways:

- In a copy of the conversation with a marker in place of every value ("qzx7310017q"), which no
  template writes by chance. That shows what the template does with conversations of this structure;
  one copy for each structure is enough.
- In the text itself, for each value, because a template may also react to words ("</think>"). A
  value may appear unchanged or with JSON escapes; spaces and line ends are ignored.

An assistant turn that is not trained may lose its reasoning: templates remove it from earlier
turns, and the model will see that text (docs/decisions/094).
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from tunesmith.errors import ResourceLimitExceeded, TunesmithError
from tunesmith.records import ChatTokenizer, Example, Message

Tools = Sequence[dict[str, Any]]
TOOL_DEFINITIONS, TOOL_CALLS = "tool definitions", "tool calls"
_FIRST_MARKER = 7_310_000  # numbers are replaced by numbers, long enough not to occur by chance


class TemplateCoverage:
    """Finds parts missing from rendered conversations; caches the result for each structure."""

    def __init__(self, tokenizer: ChatTokenizer) -> None:
        self._tokenizer = tokenizer
        self._lost_parts_cache: dict[Any, tuple[str, ...]] = {}
        self._dropped_names_cache: dict[Any, bool] = {}

    def describe_lost_parts(
        self, example: Example, whole: str, answers: dict[int, str]
    ) -> str | None:
        """The parts missing from the text as a sentence for an error message; None when complete.

        `whole` is the rendered example; `answers` maps the message index of each trained turn to
        its text.
        """
        lost = self.find_lost_parts(example.messages, example.tools, whole, answers)
        return f"the chat template does not render: {', '.join(lost)}" if lost else None

    def drops_name(self, example: Example) -> bool:
        """Whether a message has a name that is not rendered; a tool result has it in its call."""
        if not any(message.name and message.role != "tool" for message in example.messages):
            return False
        form = _get_conversation_key(example.messages, example.tools, False)
        if form not in self._dropped_names_cache:
            self._dropped_names_cache[form] = self._is_name_dropped(example)
        return self._dropped_names_cache[form]

    def _is_name_dropped(self, example: Example) -> bool:
        mark = f"qzx{_FIRST_MARKER}q"
        marked = [
            replace(m, name=mark) if m.name and m.role != "tool" else m for m in example.messages
        ]
        try:
            text = self._tokenizer.render(marked, example.tools)
        except ResourceLimitExceeded:
            raise
        except TunesmithError:  # the template refuses unknown names, so it does read them
            return False
        return text.count(mark) < sum(message.name == mark for message in marked)

    def find_lost_parts(
        self,
        messages: Sequence[Message],
        tools: Tools,
        whole: str,
        answers: dict[int, str] | None = None,
        *,
        open_answer: bool = False,
    ) -> tuple[str, ...]:
        """The kinds of parts that the template does not write, in order of occurrence."""
        form = _get_conversation_key(messages, tools, open_answer)
        if form not in self._lost_parts_cache:
            self._lost_parts_cache[form] = self._find_lost_by_markers(messages, tools, open_answer)
        return self._lost_parts_cache[form] or _drop_redundant_parts(
            _find_lost_values(messages, tools, whole, answers or {})
        )

    def _find_lost_by_markers(
        self, messages: Sequence[Message], tools: Tools, open_answer: bool
    ) -> tuple[str, ...]:
        """The kinds of parts that the template does not write in conversations like this one."""
        marks = _MarkerFactory()
        marked_tools = [marks.mark_tool(tool) for tool in tools]
        marked = [marks.mark_message(message) for message in messages]
        try:
            text = self._tokenizer.render(marked, marked_tools, open_answer=open_answer)
        except ResourceLimitExceeded:
            raise
        except TunesmithError:  # the template tests the words: only the real text can show
            return ()
        return _drop_redundant_parts(marks.find_missing(text))


def _drop_redundant_parts(lost: Iterable[str]) -> tuple[str, ...]:
    """Each kind once; if calls are missing altogether, their arguments are not listed as well."""
    found = dict.fromkeys(lost)
    return tuple(
        what
        for what in found
        if TOOL_CALLS not in found
        or what in (TOOL_CALLS, TOOL_DEFINITIONS)
        or "argument" not in what
    )


class _MarkerFactory:
    """Creates markers in place of values and remembers what each stands for."""

    def __init__(self) -> None:
        self._count = 0
        self._parts: list[tuple[str, str]] = []
        self._keys: list[str] = []

    def mark_message(self, message: Message) -> Message:
        """The message with markers; empty parts stay empty, because templates test for that."""
        calls = tuple(self._mark_call(call) for call in message.tool_calls)
        return replace(
            message,
            content=(
                self._new_marker(_name_content(message))
                if message.content.strip()
                else message.content
            ),
            reasoning=(
                None
                if message.reasoning is None
                else self._new_marker("reasoning" if message.is_trained else None)
            ),
            tool_calls=calls,
        )

    def mark_tool(self, tool: dict[str, Any]) -> dict[str, Any]:
        """The tool with a marker as its name."""
        return {
            **tool,
            "function": {**tool.get("function", {}), "name": self._new_marker(TOOL_DEFINITIONS)},
        }

    def find_missing(self, text: str) -> Iterator[str]:
        """Each kind whose marker is missing, and arguments that are written in a wrong form."""
        yield from (what for what, mark in self._parts if mark not in text)
        for key in self._keys:
            # Quotes show the form: \" is JSON inside a string, ' is Python's repr.
            if f'\\"{key}' in text or f"'{key}'" in text:
                yield (
                    "arguments of tool calls as JSON (it renders them as quoted text, or in "
                    "Python's form)"
                )

    def _new_marker(self, what: str | None, form: str = "qzx{}q") -> str:
        """A new marker that stands for `what`; None for a part that may be missing."""
        self._count += 1
        mark = form.format(_FIRST_MARKER + self._count)
        if what is not None:
            self._parts.append((what, mark))
        return mark

    def _mark_call(self, call: dict[str, Any]) -> dict[str, Any]:
        name = self._new_marker(TOOL_CALLS)
        arguments = self._mark_arguments(call.get("function", {}).get("arguments", {}))
        return {**call, "function": {"name": name, "arguments": arguments}}

    def _mark_arguments(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {self._mark_key(): self._mark_arguments(child) for child in value.values()}
        if isinstance(value, list):
            return [self._mark_arguments(child) for child in value]
        if isinstance(value, str):
            return self._new_marker("arguments of tool calls") if value else value
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            # A number must stay a number, or the template would quote it.
            return int(self._new_marker("arguments of tool calls", "{}"))
        return value

    def _mark_key(self) -> str:
        self._keys.append(self._new_marker("names of arguments"))
        return self._keys[-1]


def _get_conversation_key(messages: Sequence[Message], tools: Tools, open_answer: bool) -> Any:
    return tuple(map(_get_message_key, messages)), len(tools), open_answer


def _get_message_key(message: Message) -> Any:
    """Everything of a message that a template can test, except its words."""
    has_content = bool(message.content) and not message.content.isspace()
    plain = message.role, has_content, message.weight != 0, message.name is None
    if not message.tool_calls and message.reasoning is None and message.tool_call_id is None:
        return plain  # a shortcut for nearly all messages of most data sets
    functions = tuple(_get_value_key(call.get("arguments")) for call in message.called_functions)
    has_ids = any("id" in call for call in message.tool_calls), message.tool_call_id is not None
    return *plain, message.reasoning is not None, has_ids, functions


def _get_value_key(value: Any) -> Any:
    if isinstance(value, dict):
        return "object", tuple(_get_value_key(child) for child in value.values())
    if isinstance(value, list):
        return "list", tuple(_get_value_key(child) for child in value)
    return value if value in (None, True, False, "") else type(value).__name__


def _name_content(message: Message) -> str:
    if message.role == "assistant":
        return "text of answers that call tools" if message.tool_calls else "answers"
    return {"system": "system messages", "user": "user messages", "tool": "tool results"}[
        message.role
    ]


def _find_lost_values(
    messages: Sequence[Message], tools: Tools, whole: str, answers: dict[int, str]
) -> Iterator[str]:
    for tool in tools:
        if not _is_contained(str(tool.get("function", {}).get("name", "")), whole):
            yield TOOL_DEFINITIONS
    for i, message in enumerate(messages):
        text = answers.get(i, whole)
        if not _is_contained(message.content, text) and (
            i in answers or not _is_contained(_strip_thinking(message), text)
        ):
            yield _name_content(message)
        if (
            i in answers
            and message.reasoning is not None
            and not _is_contained(message.reasoning, text)
        ):
            yield "reasoning"
        for function in message.called_functions if message.tool_calls else ():
            if not _is_contained(str(function.get("name", "")), text):
                yield TOOL_CALLS
            if not all(
                _is_contained(value, text) for value in _iterate_leaves(function.get("arguments"))
            ):
                yield "arguments of tool calls"


def _strip_thinking(message: Message) -> str:
    """The content after reasoning that is written into the content itself."""
    return message.content.rpartition("</think>")[2]


def _iterate_leaves(value: Any) -> Iterator[str]:
    """Every key and value of arguments that must appear in the text."""
    if isinstance(value, dict):
        for key, child in value.items():
            yield key
            yield from _iterate_leaves(child)
    elif isinstance(value, list):
        for child in value:
            yield from _iterate_leaves(child)
    elif isinstance(value, str):
        yield value
    elif value is not None and not isinstance(value, bool):
        yield json.dumps(value)


def _is_contained(value: str, text: str) -> bool:
    # From cheap to expensive: unchanged, JSON-escaped, then without any white space.
    if value in text or value.strip() in text:
        return True
    escaped = (json.dumps(value, ensure_ascii=is_ascii)[1:-1] for is_ascii in (False, True))
    return any(form in text for form in escaped) or "".join(value.split()) in "".join(text.split())
