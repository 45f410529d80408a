"""The shapes that a row can have, and how each becomes an example.

    messages            {"messages": [{"role", "content", "weight"?, "tool_calls"?}, ...], "tools"?}      (OpenAI chat)
    sharegpt            {"conversations": [{"from", "value"}, ...], "system"?, "tools"?}
    preference-pair     {"input": {"messages"}, "preferred_output": [...], "non_preferred_output": [...]}  (OpenAI DPO)
    preference          {"prompt"?, "chosen", "rejected"}                     strings or lists of messages (TRL)
    rated               {"prompt", "completion", "label": true or false}      the same with a rating (TRL, for KTO)
    prompt-completion   {"prompt", "completion", "system"?}                   strings or lists of messages
    alpaca              {"instruction", "input"?, "output", "system"?, "history"?}
    text                {"text"}

A shape is found by looking at the column names: each of the first rows has one vote. Every shape becomes the same
`Example`: the prompt strings become user messages, the answers assistant messages; Alpaca's input follows its
instruction after an empty line, and the pairs of its history (LLaMA-Factory) are the turns before it.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from tunesmith.data.read.calls import parsed, tools_of
from tunesmith.data.read.faults import BadRow
from tunesmith.data.read.messages import (
    conversation,
    may_be_messages,
    messages_of,
    optional_text,
    required_text,
    system_of,
)
from tunesmith.data.read.plain_text import as_text
from tunesmith.data.read.wrong_type import wrong_type
from tunesmith.records import Example, Message, Method, Origin, Role, Shape

Values = Mapping[str, Any]
NO_INPUT = "<noinput>"
"""What Stanford's Alpaca data has where an instruction needs no input."""


class Parts(NamedTuple):
    """What a row says, before it is an example."""

    messages: tuple[Message, ...] = ()
    text: str | None = None
    rejected: tuple[Message, ...] = ()
    tools: tuple[dict[str, Any], ...] = ()
    is_desirable: bool | None = None


class ShapeRule(NamedTuple):
    """A shape: the columns it must have, those it may have, how it is read, and what else a row must be to fit it."""

    shape: Shape
    required: tuple[str, ...]
    optional: tuple[str, ...]
    read: Callable[[Values], Parts]
    fits: Callable[[Values], bool] = lambda values: True

    @property
    def columns(self) -> tuple[str, ...]:
        return self.required + self.optional


def _with_system(values: Values, messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The messages with the system column in front. Errors: `BadRow` when both say something and not the same."""
    given = system_of(values)
    if given and messages and messages[0].role == "system":
        if given[0].content.strip() != messages[0].content.strip():
            raise BadRow("two-systems", f"{given[0].content[:40]!r} and {messages[0].content[:40]!r}")
        return messages
    return (*given, *messages)


def _messages(values: Values) -> Parts:
    return Parts(_with_system(values, messages_of(values, "messages")), tools=tools_of(values))


def _sharegpt(values: Values) -> Parts:
    return Parts(_with_system(values, messages_of(values, "conversations")), tools=tools_of(values))


def _prompt_completion(values: Values) -> Parts:
    prompt = conversation(values, "prompt", "user")
    answer = conversation(values, "completion", "assistant")
    return Parts(_with_system(values, (*prompt, *answer)), tools=tools_of(values))


def _rated(values: Values) -> Parts:
    rating = as_rating(values.get("label"))
    if rating is None:
        raise BadRow("wrong-type", f'"label" should be true or false, is {values.get("label")!r}')
    return _prompt_completion(values)._replace(is_desirable=rating)


def as_rating(value: Any) -> bool | None:
    """True and false, also as words (tables have no other way); None for anything else: 0 and 1 may be classes."""
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower())
    return value if isinstance(value, bool) else None


def _alpaca(values: Values) -> Parts:
    instruction, given = required_text(values, "instruction"), optional_text(values, "input")
    prompt = f"{instruction}\n\n{given}" if given and given.strip() != NO_INPUT else instruction
    turn = (Message("user", prompt), Message("assistant", required_text(values, "output")))
    return Parts((*system_of(values), *_history(values), *turn))


def _history(values: Values) -> tuple[Message, ...]:
    """The earlier turns of a conversation: pairs of what was asked and answered. Errors: `BadRow`."""
    pairs = parsed(values.get("history")) or []
    if not isinstance(pairs, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise wrong_type("history", "a list of pairs of texts", pairs)
    messages: list[Message] = []
    for asked, answered in pairs:
        if not isinstance(asked, str) or not isinstance(answered, str):
            raise wrong_type("history", "a list of pairs of texts", [asked, answered])
        messages += [Message("user", asked), Message("assistant", answered)]
    return tuple(messages)


def _text(values: Values) -> Parts:
    return Parts(text=required_text(values, "text"))


def _preference(values: Values) -> Parts:
    """Answers that begin with another's turn are whole conversations, of which a prompt may repeat a turn.

    Each answer is one turn: with more of them it would be unclear where the prompt ends.
    """
    tools = tools_of(values)
    if is_transcript(values):
        chosen, rejected = turns_of(values["chosen"]), turns_of(values["rejected"])
    else:
        chosen = conversation(values, "chosen", "assistant")
        rejected = conversation(values, "rejected", "assistant")
    if chosen[0].role == "assistant":
        prompt = conversation(values, "prompt", "user") if values.get("prompt") is not None else ()
        return Parts(
            _with_system(values, (*prompt, *_one(chosen, "chosen"))), rejected=_one(rejected, "rejected"), tools=tools
        )
    shared = 0
    while shared < min(len(chosen), len(rejected)) - 1 and chosen[shared] == rejected[shared]:
        shared += 1
    _one(chosen[shared:], "chosen")
    _refuse_other_prompt(values, chosen[:shared])
    return Parts(_with_system(values, chosen), rejected=_one(rejected[shared:], "rejected"), tools=tools)


def _refuse_other_prompt(values: Values, shared: Sequence[Message]) -> None:
    """Errors: `BadRow` when the prompt beside two conversations is no turn of theirs: it would be dropped."""
    if not values.get("prompt"):
        return
    prompt = conversation(values, "prompt", "user")
    said = {" ".join(message.content.split()) for message in shared}
    if not {" ".join(message.content.split()) for message in prompt} <= said:
        raise BadRow("prompt-disagrees", f"prompt {prompt[-1].content[:40]!r}")


_TURN = re.compile(r"\n\n(Human|Assistant): ?")


def is_transcript(values: Values) -> bool:
    """Whether both answers of a pair are whole conversations written as one text (Anthropic's HH-RLHF), no prompt
    beside them."""
    answers = (values.get("chosen"), values.get("rejected"))
    return not values.get("prompt") and all(
        isinstance(answer, str) and answer.lstrip().startswith("Human:") and "\n\nAssistant:" in answer
        for answer in answers
    )


def turns_of(text: str) -> tuple[Message, ...]:
    """The turns of a conversation that is written as one text."""
    _, *pieces = _TURN.split("\n\n" + text.lstrip())
    roles: dict[str, Role] = {"Human": "user", "Assistant": "assistant"}
    return tuple(Message(roles[who], said.strip()) for who, said in zip(pieces[::2], pieces[1::2], strict=True))


def _one(answer: tuple[Message, ...], name: str) -> tuple[Message, ...]:
    if len(answer) > 1:
        raise BadRow("several-turns", f'"{name}" has {len(answer)} turns that the other answer does not share')
    return answer


def _preference_pair(values: Values) -> Parts:
    given = values["input"]
    is_request = isinstance(given, dict)
    prompt = messages_of(given, "messages") if is_request else conversation(values, "input", "user")
    tools = tools_of(given) if is_request else ()
    chosen = _one(conversation(values, "preferred_output", "assistant"), "preferred_output")
    rejected = _one(conversation(values, "non_preferred_output", "assistant"), "non_preferred_output")
    return Parts((*prompt, *chosen), rejected=rejected, tools=tools)


_TOOLS = ("tools", "functions")
RULES: tuple[ShapeRule, ...] = (
    ShapeRule("messages", ("messages",), ("system", *_TOOLS), _messages),
    ShapeRule("sharegpt", ("conversations",), ("system", *_TOOLS), _sharegpt),
    ShapeRule("preference-pair", ("input", "preferred_output", "non_preferred_output"), (), _preference_pair),
    ShapeRule("preference", ("chosen", "rejected"), ("prompt", "system", *_TOOLS), _preference),
    ShapeRule(
        "rated",
        ("prompt", "completion", "label"),
        ("system", *_TOOLS),
        _rated,
        fits=lambda values: as_rating(values["label"]) is not None,
    ),
    ShapeRule("prompt-completion", ("prompt", "completion"), ("system", *_TOOLS), _prompt_completion),
    ShapeRule("alpaca", ("instruction", "output"), ("input", "system", "history"), _alpaca),
    ShapeRule("text", ("text",), (), _text),
)
COLUMN_NAMES: tuple[str, ...] = tuple(dict.fromkeys(name for rule in RULES for name in rule.columns))
"""Every column name that some shape knows: what `--columns OURS=THEIRS` may have on its left side."""


_PAIRS: tuple[Shape, ...] = ("preference", "preference-pair")
_SHAPES_OF: dict[Method, tuple[Shape, ...]] = {
    "sft": tuple(rule.shape for rule in RULES if rule.shape not in _PAIRS),
    "dpo": _PAIRS,
    "orpo": _PAIRS,
    "simpo": _PAIRS,
    "kto": ("rated", *_PAIRS),
}
"""The shapes that a method learns from, where a row fits several."""


def find_shape(rows: Sequence[Values], mapped: Iterable[str] = (), method: Method | None = None) -> ShapeRule | None:
    """The shape that most rows fit, so that one unusual row cannot change how all others are read.

    A row fits the first shape whose required columns it has. Only shapes that use all mapped columns count; those that
    the method learns from go before the others.
    """
    wanted = set(mapped)
    asked = [rule for rule in RULES if wanted.issubset(rule.columns)]
    preferred = [rule for rule in asked if method and rule.shape in _SHAPES_OF[method]]
    return _most_voted(preferred, rows) or _most_voted(asked, rows)


def _most_voted(rules: Sequence[ShapeRule], rows: Sequence[Values]) -> ShapeRule | None:
    """Ties go to the earlier rule."""
    votes = Counter(rule.shape for row in rows if (rule := _fitting(rules, row)))
    return max(rules, key=lambda rule: votes[rule.shape]) if votes else None


def _fitting(rules: Sequence[ShapeRule], row: Values) -> ShapeRule | None:
    """The first rule whose required columns are there and not all empty (in a table every row has every column)."""
    fitting = [rule for rule in rules if row.keys() >= set(rule.required) and rule.fits(row)]
    filled = (rule for rule in fitting if any(row[name] not in (None, "") for name in rule.required))
    return next(filled, fitting[0] if fitting else None)


def read_example(
    rule: ShapeRule, values: Values, line: int, group: str | None, origin: Origin | None = None
) -> Example:
    """The row as an example. Errors: `BadRow`."""
    if missing := [name for name in rule.required if name not in values]:
        raise BadRow("missing-column", f'no "{missing[0]}"')
    parts = rule.read(values)
    return Example(
        line, parts.messages, parts.text, parts.rejected, parts.tools, group, parts.is_desirable, origin=origin
    )


def read_plain_example(rule: ShapeRule, values: Values, line: int, origin: Origin | None = None) -> Example | None:
    """The row as an example where it is nothing but a prompt and a completion in words, as most rows are.

    What `read_example` gives, without looking for all that such a row cannot have; None for any other row.
    """
    if rule.shape != "prompt-completion" or len(values) != 2:
        return None
    prompt, completion = values.get("prompt"), values.get("completion")
    if type(prompt) is not str or type(completion) is not str or not prompt or not completion:
        return None
    if may_be_messages(prompt) or may_be_messages(completion):
        return None
    messages = (Message("user", prompt), make_answer(completion))
    return Example(line, messages, origin=origin)


@lru_cache(maxsize=4096)
def make_answer(text: str) -> Message:
    """The assistant's message. Labels come again and again: they share one."""
    return Message("assistant", text)


def _numbers_in(messages: Any) -> Iterator[Any]:
    """The contents of messages that are numbers or truth values; what a tool gave is written as JSON."""
    for message in messages if isinstance(messages, list) else ():
        content = message.get("content", message.get("value")) if isinstance(message, dict) else None
        if content is not None and not isinstance(content, (str, list, dict)) and message.get("role") != "tool":
            yield content


def read_otherwise(rule: ShapeRule, values: Values) -> Iterator[tuple[str, str]]:
    """(code, what was found) for each value of a row that is read as something else than it is written as."""
    for name in rule.columns:
        value = values.get(name)
        for content in _numbers_in(value):
            yield "text-of-numbers", f'the content {content!r} of a message is read as the text "{as_text(content)}"'
        if value is None or isinstance(value, (str, list, dict)) or (rule.shape == "rated" and name == "label"):
            continue
        yield "text-of-numbers", f'"{name}" {value!r} is read as the text "{as_text(value)}"'
    if rule.shape == "preference" and is_transcript(values):
        yield "read-as-turns", f"{str(values['chosen'])[:60]!r}"
