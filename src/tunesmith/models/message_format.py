"""Format a conversation as the variables of one chat template, under the keys that it reads.

transformers passes the arguments of tool calls as an object, and nearly every template writes them
with `tojson`. A template that concatenates them as text ("..." + call.arguments) accepts only JSON
text; rendering one call in both forms shows which of the two it needs. Reasoning is passed under
two keys, as in transformers: `reasoning_content`, and `thinking`, which gpt-oss templates read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith.models.template_process import Conversation, TemplateProcess
from tunesmith.records import Message

# Strings that no template contains, so that finding them in the text proves they were rendered.
_NAME, _KEY, _VALUE = "qzxname", "qzxkey", "qzxvalue"
_FUNCTION = {
    "name": _NAME,
    "description": "probe",
    "parameters": {"type": "object", "properties": {}},
}
_TOOLS = [{"type": "function", "function": _FUNCTION}]


@dataclass(frozen=True)
class MessageFormat:
    """Whether one template takes the arguments of tool calls as JSON text instead of an object."""

    arguments_as_text: bool = False

    def format_messages(self, messages: Sequence[Message]) -> list[dict[str, Any]]:
        """The messages as dictionaries in the form that this template reads."""
        read = [message.as_dict(arguments_as_text=self.arguments_as_text) for message in messages]
        return [
            {"thinking": one["reasoning_content"], **one} if "reasoning_content" in one else one
            for one in read
        ]


def detect_message_format(process: TemplateProcess, name: str) -> MessageFormat:
    """The message format of the template called `name`, found by rendering a tool call.

    Errors: `TemplateFailed` with `is_limit` when the template exceeds a limit.
    """
    call = {
        "id": "probe0000",
        "type": "function",
        "function": {"name": _NAME, "arguments": {_KEY: _VALUE}},
    }
    probe = (Message("user", "probe"), Message("assistant", "", tool_calls=(call,)))
    as_object, as_text = (
        [m.as_dict(arguments_as_text=is_text) for m in probe] for is_text in (False, True)
    )
    takes_text = not _is_call_rendered(process, name, as_object) and _is_call_rendered(
        process, name, as_text
    )
    return MessageFormat(takes_text)


def _is_call_rendered(process: TemplateProcess, name: str, messages: list[dict[str, Any]]) -> bool:
    """Whether name and arguments appear, neither with escaped quotes nor as a Python literal."""
    ((text,),) = process.render([Conversation(name, messages, _TOOLS, [(len(messages), False)])])
    is_there = isinstance(text, str) and all(mark in text for mark in (_NAME, _KEY, _VALUE))
    return is_there and f'\\"{_KEY}' not in str(text) and f"'{_KEY}'" not in str(text)
