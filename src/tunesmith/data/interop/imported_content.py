"""Contents of another tool's file: a task (examples and scorer), or a contender's answers."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tunesmith.errors import truncate_list
from tunesmith.records import ROLES, Example, Message

TEXT_PART_TYPES = ("text", "input_text", "output_text")


@dataclass(frozen=True, slots=True)
class ImportedTask:
    """Examples and the scorer that judges as the file requests.

    `scorer` is a scorer name as in a recipe; with `regex` an example's answer is a pattern.
    `unsupported` holds sentences: which features of the file are not supported, and where they
    occur.
    """

    format: str
    name: str
    examples: tuple[Example, ...]
    scorer: str
    scorer_reason: str
    unsupported: tuple[str, ...] = ()

    @property
    def has_answers(self) -> bool:
        """Whether the references are possible answers, not patterns or lists of acceptable ones."""
        # These scorers accept a JSON list of references, of which none alone is the answer.
        lists = self.scorer.partition(":")[0] in ("match", "squad")
        return self.scorer != "regex" and not (
            lists and any(one.answer.startswith('["') for one in self.examples)
        )


@dataclass(frozen=True, slots=True)
class ImportedAnswers:
    """The answers of `contender`: example id -> text, None without an answer (`errors` says why).

    `scores` are the other tool's own, example id -> name -> value, for comparison with ours; the
    examples are in `task`. `matching_score` is the name of the score that `task.scorer` reproduces.
    """

    task: ImportedTask
    contender: str
    answers: dict[str, str | None]
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    matching_score: str = ""


class UnsupportedFeatures:
    """Collects unsupported features, each kind once with all its places."""

    def __init__(self) -> None:
        self._places: dict[str, list[str]] = {}

    def add(self, what: str, place: object = "") -> None:
        """Note a kind of feature and one place where it occurs."""
        self._places.setdefault(what, []).append(str(place))

    def format_sentences(self) -> tuple[str, ...]:
        """One sentence for each kind, with its places in parentheses."""
        told = (
            (what, [place for place in places if place]) for what, places in self._places.items()
        )
        return tuple(
            f"{what} ({truncate_list(places)})" if places else what for what, places in told
        )


class NonTextContent(Exception):
    """A message is not text alone; the exception's text says what it is."""


def parse_messages(value: Any) -> tuple[Message, ...]:
    """A conversation from a text or a list of chat messages. Errors: `NonTextContent`."""
    if isinstance(value, str):
        return (Message("user", value),)
    if not isinstance(value, list) or not value:
        raise NonTextContent("a prompt that is neither text nor messages")
    return tuple(_parse_message(each) for each in value)


def _parse_message(value: Any) -> Message:
    if not isinstance(value, dict) or "role" not in value:
        raise NonTextContent("a prompt that is neither text nor messages")
    # OpenAI renamed the system role for its reasoning models.
    role = "system" if value["role"] == "developer" else value["role"]
    if role not in ROLES or role == "tool" or value.get("tool_calls"):
        raise NonTextContent("messages with tools")
    return Message(role, parse_text(value.get("content")))


def parse_text(content: Any) -> str:
    """The text of a message's content without reasoning; it may be a list of parts.

    Errors: `NonTextContent` for images and other parts.
    """
    if isinstance(content, str):
        return content
    if isinstance(content, list) and all(isinstance(part, (str, dict)) for part in content):
        content = [
            part
            for part in content
            if not isinstance(part, dict) or part.get("type") != "reasoning"
        ]
        texts = [part if isinstance(part, str) else part.get("text") for part in content]
        kinds = [part.get("type") for part in content if isinstance(part, dict)]
        if all(isinstance(text, str) for text in texts) and all(
            kind in TEXT_PART_TYPES for kind in kinds
        ):
            return "".join(texts)
    raise NonTextContent("content that is not text")


def build_example(line: int, prompt: Sequence[Message], answer: str) -> Example:
    """An example whose last turn is the answer of the assistant."""
    return Example(line, (*prompt, Message("assistant", answer)))


def parse_number(value: Any) -> float | None:
    """A finite number or boolean as a float; None for anything else, or an int beyond a float."""
    try:
        number = float(value) if isinstance(value, int | float) else math.nan
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def as_mapping(value: Any) -> dict[str, Any]:
    """The value if it is a mapping, else an empty one: the files are untrusted."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """The value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def parse_references(value: Any) -> list[str] | None:
    """One reference or several, as texts; None for any other type."""
    values = value if isinstance(value, list) else [value]
    is_plain = all(
        isinstance(each, (str, int, float)) and not isinstance(each, bool) for each in values
    )
    return [str(each) for each in values] if values and is_plain else None


def drop_repeated(
    examples: Iterable[Example], unsupported: UnsupportedFeatures
) -> tuple[Example, ...]:
    """Each example once: equal ones have the same id, and answers are stored by id."""
    first: dict[str, Example] = {}
    for example in examples:
        if example.id in first:
            unsupported.add(
                "an example that repeats an earlier one is used once", f"line {example.line}"
            )
        first.setdefault(example.id, example)
    return tuple(first.values())
