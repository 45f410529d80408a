"""One example: the row of a person's data, whatever file shape it came in.

Examples are counted in hundreds of thousands, so they are slotted dataclasses, not pydantic models: checked once by the
reader, then passed around. Every shape becomes the same thing: a conversation that ends with the answer, or a text.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

from tunesmith.records.record import fingerprint_of

Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant", "tool")


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. `weight` 0 keeps an assistant turn out of the loss; None means the default (1 for assistant turns)."""

    role: Role
    content: str
    weight: float | None = None
    name: str | None = None
    tool_calls: tuple[dict[str, Any], ...] = ()
    tool_call_id: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The chat format's dictionary: what templates and providers take. Absent parts are left out."""
        parts: dict[str, Any] = {"role": self.role, "content": self.content}
        if self.name is not None:
            parts["name"] = self.name
        if self.tool_calls:
            parts["tool_calls"] = [dict(call) for call in self.tool_calls]
        if self.tool_call_id is not None:
            parts["tool_call_id"] = self.tool_call_id
        return parts


@dataclass(frozen=True, slots=True)
class Example:
    """A conversation that ends with the answer, or a plain text.

    `messages` ends with the assistant's answer (the chosen one of a preference pair); `rejected` holds the other
    answer of a pair; `is_desirable` says of a rated answer whether it is wanted, None for all others; `text` is set
    instead of messages for plain text. `line` counts from 1 in the source file (for CSV and Parquet the row, the header
    not counted). `group` names examples that must stay on one side of a split.
    `id` is 16 hex digits of the content's SHA-256 (never given by hand): equal content, equal id, wherever it stands.
    """

    line: int
    messages: tuple[Message, ...] = ()
    text: str | None = None
    rejected: tuple[Message, ...] = ()
    tools: tuple[dict[str, Any], ...] = ()
    group: str | None = None
    is_desirable: bool | None = None
    id: str = ""

    def __post_init__(self) -> None:
        if self.id:  # a changed copy keeps the id of the example it was made from
            return
        content = [
            [[m.as_dict(), m.weight] for m in self.messages],
            self.text,
            [m.as_dict() for m in self.rejected],
            self.tools,
            *([] if self.is_desirable is None else [self.is_desirable]),
        ]
        object.__setattr__(self, "id", fingerprint_of(content)[:16])

    @property
    def prompt(self) -> tuple[Message, ...]:
        """What stands before the last answer."""
        return self.messages[:-1]

    @property
    def answer(self) -> str:
        """The content of the last message, or the plain text."""
        return self.messages[-1].content if self.messages else self.text or ""

    @property
    def question(self) -> str:
        """The last user turn before the answer: the text that retrieval searches with."""
        return next((m.content for m in reversed(self.prompt) if m.role == "user"), "")

    def with_system(self, instruction: str) -> "Example":
        """The same example, with the same id, and a system message in front, unless it has one or is plain text."""
        if not self.messages or self.messages[0].role == "system":
            return self
        return replace(self, messages=(Message("system", instruction), *self.messages))
