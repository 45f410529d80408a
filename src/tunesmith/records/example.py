"""One example: a row of the user's data, in whichever file format it came.

There may be millions of examples, so they are slotted dataclasses, not pydantic models: validated
once by the reader, then passed around. Every format becomes the same thing: a conversation that
ends with the answer, or a text.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any, Literal

from tunesmith.records.origin import Origin, Place, name_places
from tunesmith.records.record import compute_fingerprint, dump_canonical_json

Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant", "tool")


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. `weight` 0 excludes an assistant turn from the loss; None means the default (1 for
    assistant turns).

    A tool call is `{"id"?, "type": "function", "function": {"name", "arguments"}}` with `arguments`
    as an object, whichever form the data had. `reasoning` is what the assistant wrote before its
    answer, apart from `content`. `tools` are the functions offered to whoever answers, on the last
    message of a prompt (`Example.prompt`) and nowhere else.
    """

    role: Role
    content: str
    weight: float | None = None
    name: str | None = None
    # Dictionaries have no hash; messages that differ only in them are still unequal.
    tool_calls: tuple[dict[str, Any], ...] = field(default=(), hash=False)
    tool_call_id: str | None = None
    reasoning: str | None = None
    tools: tuple[dict[str, Any], ...] = field(default=(), hash=False)

    @property
    def is_trained(self) -> bool:
        """Whether this turn is trained on: an assistant turn with a weight above 0."""
        return self.role == "assistant" and self.weight != 0

    @property
    def called_functions(self) -> list[dict[str, Any]]:
        """Name and arguments of each tool call: its content. The id only links a result to its
        call.
        """
        return [call.get("function", {}) for call in self.tool_calls]

    def as_dict(self, *, arguments_as_text: bool = False) -> dict[str, Any]:
        """The dictionary of the chat format, as templates take it. Absent parts are omitted.

        Reasoning is `reasoning_content`, the name that transformers' templates read. With
        `arguments_as_text` the arguments of calls are JSON text, as services expect them.
        """
        parts: dict[str, Any] = {"role": self.role, "content": self.content}
        if self.reasoning is not None:
            parts["reasoning_content"] = self.reasoning
        if self.name is not None:
            parts["name"] = self.name
        if self.tool_calls:
            parts["tool_calls"] = [
                _with_arguments_as_text(call) if arguments_as_text else dict(call)
                for call in self.tool_calls
            ]
        if self.tool_call_id is not None:
            parts["tool_call_id"] = self.tool_call_id
        return parts


@dataclass(frozen=True, slots=True)
class Example:
    """A conversation that ends with the answer, or a plain text.

    `messages` ends with the assistant's answer (the chosen one of a preference pair); `rejected`
    holds the other answer of a pair; `is_desirable` is the rating of a rated answer, None for all
    others; `text` is set instead of messages for plain text. `line` counts from 1 in the source
    file: its lines, or its rows if it has no lines (Parquet, JSON arrays); `origin` is that file.
    `group` marks examples that must stay in one split. `id` is 16 hex digits of the content's
    SHA-256 (never set by hand): equal content has an equal id, wherever it is stored. The order of
    keys in arguments and the ids of tool calls are not content (docs/decisions/093).
    """

    line: int
    messages: tuple[Message, ...] = ()
    text: str | None = None
    rejected: tuple[Message, ...] = ()
    tools: tuple[dict[str, Any], ...] = ()
    group: str | None = None
    is_desirable: bool | None = None
    id: str = ""
    origin: Origin | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not self.id:
            # computed on first access, because a million ids take 80 MB
            object.__delattr__(self, "id")

    # Hidden from type checkers: with a __getattr__ they would accept any attribute.
    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> str:
            """The id, the first time; a changed copy keeps the id of the example it was made
            from.
            """
            if name != "id":
                raise AttributeError(f"an example has no {name!r}")
            object.__setattr__(self, "id", identify(self))
            return self.id

    @property
    def place(self) -> Place:
        """Its place, for `name_places`."""
        return self.origin, self.line

    @property
    def named_place(self) -> str:
        """For example `tickets.jsonl line 17`."""
        return name_places([self.place])

    @property
    def prompt(self) -> tuple[Message, ...]:
        """The messages before the last answer; the last of them offers the example's tools."""
        messages = self.messages[:-1]
        if not self.tools or not messages:
            return messages
        return (*messages[:-1], replace(messages[-1], tools=self.tools))

    @property
    def answer(self) -> str:
        """The last message as one text, its tool calls behind its content, or the plain text.
        Reasoning is not part of it.
        """
        if not self.messages:
            return self.text or ""
        last = self.messages[-1]
        return (
            format_answer(last.content, last.called_functions) if last.tool_calls else last.content
        )

    @property
    def question(self) -> str:
        """The last user turn before the answer: the text that retrieval searches with."""
        for message in reversed(self.messages[:-1]):
            if message.role == "user":
                return message.content
        return ""

    def with_system(self, instruction: str) -> "Example":
        """The same example, with the same id, and a system message in front, unless it has one or
        is plain text.
        """
        if not self.messages or self.messages[0].role == "system":
            return self
        return replace(self, messages=(Message("system", instruction), *self.messages))


def format_answer(text: str, functions: Sequence[dict[str, Any]]) -> str:
    """A text and the functions it calls, each as a line of canonical JSON: the one form in which
    calls are stored, compared and shown.
    """
    calls = (dump_canonical_json({"arguments": {}, **function}) for function in functions)
    return "\n".join((text, *calls)).lstrip("\n")


def get_offered_tools(prompt: Sequence[Message]) -> tuple[dict[str, Any], ...]:
    """The tools that a prompt offers: those of its last message that has any."""
    return next((message.tools for message in reversed(prompt) if message.tools), ())


def identify(example: Example) -> str:
    """Compute the id of this content, without storing it."""
    if _is_plain(example):
        return compute_plain_id(example.messages)
    messages = example.messages
    content = [
        [
            [parts, _get_weight_for_id(m)]
            for parts, m in zip(_list_contents(messages), messages, strict=True)
        ],
        example.text,
        _list_contents(example.rejected),
        example.tools,
        # Appended only if set, so that ids of unrated examples stay those of older versions.
        *([] if example.is_desirable is None else [example.is_desirable]),
    ]
    return compute_fingerprint(content)[:16]


def _is_plain(example: Example) -> bool:
    """Whether the messages have nothing but a role and a content each."""
    if (
        example.text is not None
        or example.rejected
        or example.tools
        or example.is_desirable is not None
    ):
        return False
    for m in example.messages:  # a plain loop, because this runs for every row
        if m.weight is not None or m.name is not None or m.tool_calls or m.role == "tool":
            return False
        if m.tool_call_id is not None or m.reasoning is not None:
            return False
    return True


def compute_plain_id(messages: tuple[Message, ...]) -> str:
    """The id of a plain example, from the same text that `dump_canonical_json` would write,
    assembled by hand.

    Most examples are plain, and computing ids takes most of the time of reading a large file.
    """
    return _hash_plain_content(messages).hex()


def compute_id_number(example: Example) -> int:
    """The id as a 64-bit integer, without its text."""
    if _is_plain(example):
        return int.from_bytes(_hash_plain_content(example.messages), "big")
    return int(identify(example), 16)


def _hash_plain_content(messages: tuple[Message, ...]) -> bytes:
    turns = ",".join(
        [f'[{{"content":{encode_basestring(m.content)},"role":"{m.role}"}},null]' for m in messages]
    )
    text = f"[[{turns}],null,[],[]]"
    # Lone surrogates occur in real JSON data and have no UTF-8 encoding.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8]


def _with_arguments_as_text(call: dict[str, Any]) -> dict[str, Any]:
    function = call["function"]
    return {
        **call,
        "function": {
            **function,
            "arguments": json.dumps(function["arguments"], ensure_ascii=False),
        },
    }


def _get_weight_for_id(message: Message) -> float | None:
    """Only a weight that changes training is content: 1 is the default, and other turns are never
    trained on.
    """
    return message.weight if message.role == "assistant" and message.weight != 1 else None


def _list_contents(messages: tuple[Message, ...]) -> list[dict[str, Any]]:
    """The messages without the ids of their calls; a result out of order records which call it
    answers.

    Ids are random each time a conversation is recorded, so the same one recorded twice would count
    as two.
    """
    contents = []
    numbers: dict[str | None, int] = {}
    results = 0
    for message in messages:
        parts = message.as_dict()
        if message.tool_calls:
            parts["tool_calls"] = message.called_functions
            numbers = {call.get("id"): number for number, call in enumerate(message.tool_calls)}
            results = 0
        if message.role == "tool":
            parts.pop("tool_call_id", None)
            number = numbers.get(message.tool_call_id, results) if message.tool_call_id else results
            parts |= {"answers": number} if number != results else {}
            results += 1
        contents.append(parts)
    return contents
