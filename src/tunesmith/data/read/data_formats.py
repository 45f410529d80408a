"""The formats of a row, and how each becomes an example.

    messages            {"messages": [{"role", "content", "weight"?, "tool_calls"?}, ...], "tools"?}
                        (OpenAI chat)
    sharegpt            {"conversations": [{"from", "value"}, ...], "system"?, "tools"?}
    preference-pair     {"input": {"messages"}, "preferred_output": [...],
                        "non_preferred_output": [...]}                    (OpenAI DPO)
    preference          {"prompt"?, "chosen", "rejected"}                 texts or messages (TRL)
    rated               {"prompt", "completion", "label": true or false}  with a rating (TRL, KTO)
    prompt-completion   {"prompt", "completion", "system"?}               texts or messages
    alpaca              {"instruction", "input"?, "output", "system"?, "history"?}
    text                {"text"}

The format is detected from the column names: each of the first rows has one vote. Every format
becomes the same `Example`: prompt texts become user messages, answers assistant messages; Alpaca's
input follows its instruction after an empty line, and the pairs of its history (LLaMA-Factory) are
the turns before it.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from tunesmith.data.read.chat_messages import (
    may_be_messages,
    read_conversation,
    read_messages,
    read_optional_text,
    read_required_text,
    read_system_message,
)
from tunesmith.data.read.row_errors import InvalidRow, build_type_error
from tunesmith.data.read.text_values import as_text
from tunesmith.data.read.tool_call_parsing import parse_if_json, read_tools
from tunesmith.records import DataFormat, Example, Message, Method, Origin, Role
from tunesmith.records.method_specs import METHODS, TrainingData

Values = Mapping[str, Any]
NO_INPUT_MARKER = "<noinput>"
"""What Stanford's Alpaca data holds where an instruction needs no input."""


class ExampleParts(NamedTuple):
    """The parsed content of a row, before it becomes an example."""

    messages: tuple[Message, ...] = ()
    text: str | None = None
    rejected: tuple[Message, ...] = ()
    tools: tuple[dict[str, Any], ...] = ()
    is_desirable: bool | None = None


class FormatRule(NamedTuple):
    """A format: required and optional columns, the parser, and a further condition on the row."""

    format: DataFormat
    required: tuple[str, ...]
    optional: tuple[str, ...]
    read: Callable[[Values], ExampleParts]
    fits: Callable[[Values], bool] = lambda values: True

    @property
    def columns(self) -> tuple[str, ...]:
        """The required columns, then the optional ones, under our names."""
        return self.required + self.optional


def _with_system(values: Values, messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The messages after the system column's. Errors: `InvalidRow` when two system texts differ."""
    given = read_system_message(values)
    # Exports often write the system prompt twice, as a column and as the first message.
    if given and messages and messages[0].role == "system":
        if given[0].content.strip() != messages[0].content.strip():
            raise InvalidRow(
                "two-systems", f"{given[0].content[:40]!r} and {messages[0].content[:40]!r}"
            )
        return messages
    return (*given, *messages)


def _parse_messages_row(values: Values) -> ExampleParts:
    return ExampleParts(
        _with_system(values, read_messages(values, "messages")), tools=read_tools(values)
    )


def _parse_sharegpt(values: Values) -> ExampleParts:
    return ExampleParts(
        _with_system(values, read_messages(values, "conversations")), tools=read_tools(values)
    )


def _parse_prompt_completion(values: Values) -> ExampleParts:
    prompt = read_conversation(values, "prompt", "user")
    answer = read_conversation(values, "completion", "assistant")
    return ExampleParts(_with_system(values, (*prompt, *answer)), tools=read_tools(values))


def _parse_rated(values: Values) -> ExampleParts:
    rating = parse_rating(values.get("label"))
    if rating is None:
        raise InvalidRow(
            "wrong-type", f'"label" should be true or false, is {values.get("label")!r}'
        )
    return _parse_prompt_completion(values)._replace(is_desirable=rating)


def parse_rating(value: Any) -> bool | None:
    """A boolean or the word for one (as in CSV); None otherwise, since 0 and 1 may be classes."""
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower())
    return value if isinstance(value, bool) else None


def _parse_alpaca(values: Values) -> ExampleParts:
    instruction, given = (
        read_required_text(values, "instruction"),
        read_optional_text(values, "input"),
    )
    prompt = (
        f"{instruction}\n\n{given}" if given and given.strip() != NO_INPUT_MARKER else instruction
    )
    turn = (Message("user", prompt), Message("assistant", read_required_text(values, "output")))
    return ExampleParts((*read_system_message(values), *_parse_history(values), *turn))


def _parse_history(values: Values) -> tuple[Message, ...]:
    """Earlier turns from a list of (question, answer) pairs. Errors: `InvalidRow`."""
    pairs = parse_if_json(values.get("history")) or []
    if not isinstance(pairs, list) or not all(
        isinstance(pair, list) and len(pair) == 2 for pair in pairs
    ):
        raise build_type_error("history", "a list of pairs of strings", pairs)
    messages: list[Message] = []
    for asked, answered in pairs:
        if not isinstance(asked, str) or not isinstance(answered, str):
            raise build_type_error("history", "a list of pairs of strings", [asked, answered])
        messages += [Message("user", asked), Message("assistant", answered)]
    return tuple(messages)


def _parse_text(values: Values) -> ExampleParts:
    return ExampleParts(text=read_required_text(values, "text"))


def _parse_preference(values: Values) -> ExampleParts:
    """Parse a preference pair; an answer that starts with another role is a whole conversation.

    The prompt of two conversations is the turns that they share. Each answer is one turn: with more
    it would be unclear where the prompt ends.
    """
    tools = read_tools(values)
    if is_transcript(values):
        chosen, rejected = split_turns(values["chosen"]), split_turns(values["rejected"])
    else:
        chosen = read_conversation(values, "chosen", "assistant")
        rejected = read_conversation(values, "rejected", "assistant")
    if chosen[0].role == "assistant":
        prompt = (
            read_conversation(values, "prompt", "user") if values.get("prompt") is not None else ()
        )
        return ExampleParts(
            _with_system(values, (*prompt, *_check_single_turn(chosen, "chosen"))),
            rejected=_check_single_turn(rejected, "rejected"),
            tools=tools,
        )
    shared = 0
    # Stop one before the end: identical conversations must still leave an answer on each side.
    while shared < min(len(chosen), len(rejected)) - 1 and chosen[shared] == rejected[shared]:
        shared += 1
    _check_single_turn(chosen[shared:], "chosen")
    _check_prompt(values, chosen[:shared])
    return ExampleParts(
        _with_system(values, chosen),
        rejected=_check_single_turn(rejected[shared:], "rejected"),
        tools=tools,
    )


def _check_prompt(values: Values, shared: Sequence[Message]) -> None:
    """Errors: `InvalidRow` for a prompt that is in neither conversation: it would be dropped."""
    if not values.get("prompt"):
        return
    prompt = read_conversation(values, "prompt", "user")
    # Compare up to white space, in which a prompt column and a transcript often differ.
    said = {" ".join(message.content.split()) for message in shared}
    if not {" ".join(message.content.split()) for message in prompt} <= said:
        raise InvalidRow("prompt-disagrees", f"prompt {prompt[-1].content[:40]!r}")


_TURN = re.compile(r"\n\n(Human|Assistant): ?")


def is_transcript(values: Values) -> bool:
    """Whether both answers are conversations as one text (Anthropic's HH-RLHF), without prompt."""
    answers = (values.get("chosen"), values.get("rejected"))
    return not values.get("prompt") and all(
        isinstance(answer, str)
        and answer.lstrip().startswith("Human:")
        and "\n\nAssistant:" in answer
        for answer in answers
    )


def split_turns(text: str) -> tuple[Message, ...]:
    """The turns of a conversation written as one text with `Human:` and `Assistant:`."""
    _, *pieces = _TURN.split("\n\n" + text.lstrip())
    roles: dict[str, Role] = {"Human": "user", "Assistant": "assistant"}
    return tuple(
        Message(roles[who], said.strip())
        for who, said in zip(pieces[::2], pieces[1::2], strict=True)
    )


def _check_single_turn(answer: tuple[Message, ...], name: str) -> tuple[Message, ...]:
    if len(answer) > 1:
        raise InvalidRow(
            "several-turns",
            f'"{name}" has {len(answer)} turns that the other answer does not share',
        )
    return answer


def _parse_preference_pair(values: Values) -> ExampleParts:
    given = values["input"]
    is_request = isinstance(given, dict)
    prompt = (
        read_messages(given, "messages")
        if is_request
        else read_conversation(values, "input", "user")
    )
    # OpenAI nests the tools in the request, not in a column of the row.
    tools = read_tools(given) if is_request else ()
    chosen = _check_single_turn(
        read_conversation(values, "preferred_output", "assistant"), "preferred_output"
    )
    rejected = _check_single_turn(
        read_conversation(values, "non_preferred_output", "assistant"), "non_preferred_output"
    )
    return ExampleParts((*prompt, *chosen), rejected=rejected, tools=tools)


_TOOL_COLUMNS = ("tools", "functions")
# In order of precedence: a row takes the first rule that it fits, so richer formats come first.
FORMAT_RULES: tuple[FormatRule, ...] = (
    FormatRule("messages", ("messages",), ("system", *_TOOL_COLUMNS), _parse_messages_row),
    FormatRule("sharegpt", ("conversations",), ("system", *_TOOL_COLUMNS), _parse_sharegpt),
    FormatRule(
        "preference-pair",
        ("input", "preferred_output", "non_preferred_output"),
        (),
        _parse_preference_pair,
    ),
    FormatRule(
        "preference",
        ("chosen", "rejected"),
        ("prompt", "system", *_TOOL_COLUMNS),
        _parse_preference,
    ),
    FormatRule(
        "rated",
        ("prompt", "completion", "label"),
        ("system", *_TOOL_COLUMNS),
        _parse_rated,
        fits=lambda values: parse_rating(values["label"]) is not None,
    ),
    FormatRule(
        "prompt-completion",
        ("prompt", "completion"),
        ("system", *_TOOL_COLUMNS),
        _parse_prompt_completion,
    ),
    FormatRule("alpaca", ("instruction", "output"), ("input", "system", "history"), _parse_alpaca),
    FormatRule("text", ("text",), (), _parse_text),
)
COLUMN_NAMES: tuple[str, ...] = tuple(
    dict.fromkeys(name for rule in FORMAT_RULES for name in rule.columns)
)
"""Every column name that some format has: the left side of `--columns OURS=THEIRS`."""


_PAIR_FORMATS: tuple[DataFormat, ...] = ("preference", "preference-pair")
_TRAINING_DATA_FORMATS: dict[TrainingData, tuple[DataFormat, ...]] = {
    "answers": tuple(rule.format for rule in FORMAT_RULES if rule.format not in _PAIR_FORMATS),
    "pairs": _PAIR_FORMATS,
    "ratings": ("rated", *_PAIR_FORMATS),
}
"""The formats for each kind of training data, tried first where a row fits several."""


def detect_format(
    rows: Sequence[Values], mapped: Iterable[str] = (), method: Method | None = None
) -> FormatRule | None:
    """The format that most rows fit, so that one unusual row cannot change how all others are read.

    A row fits the first format whose required columns it has. Only formats that use all mapped
    columns count; those that the method learns from are tried before the others. None: no row fits.
    """
    wanted = set(mapped)
    asked = [rule for rule in FORMAT_RULES if wanted.issubset(rule.columns)]
    learned_from = _TRAINING_DATA_FORMATS[METHODS.load(method).data] if method else ()
    preferred = [rule for rule in asked if rule.format in learned_from]
    # A method is only a preference: data in another format is still read and reported by a check.
    return _find_majority(preferred, rows) or _find_majority(asked, rows)


def _find_majority(rules: Sequence[FormatRule], rows: Sequence[Values]) -> FormatRule | None:
    """The rule with the most votes; ties go to the earlier rule."""
    votes = Counter(rule.format for row in rows if (rule := _find_fitting_rule(rules, row)))
    return max(rules, key=lambda rule: votes[rule.format]) if votes else None


def _find_fitting_rule(rules: Sequence[FormatRule], row: Values) -> FormatRule | None:
    """The first rule with all required columns, not all empty (table rows have every column)."""
    fitting = [rule for rule in rules if row.keys() >= set(rule.required) and rule.fits(row)]
    # A merged table has the columns of several formats; the filled ones show which one a row has.
    filled = (
        rule for rule in fitting if any(row[name] not in (None, "") for name in rule.required)
    )
    return next(filled, fitting[0] if fitting else None)


def read_example(
    rule: FormatRule, values: Values, line: int, group: str | None, origin: Origin | None = None
) -> Example:
    """Convert a row to an example. Errors: `InvalidRow`."""
    if missing := [name for name in rule.required if name not in values]:
        raise InvalidRow("missing-column", f'no "{missing[0]}"')
    parts = rule.read(values)
    return Example(
        line,
        parts.messages,
        parts.text,
        parts.rejected,
        parts.tools,
        group,
        parts.is_desirable,
        origin=origin,
    )


def read_plain_example(
    rule: FormatRule, values: Values, line: int, origin: Origin | None = None
) -> Example | None:
    """The example of a row with only a prompt and a completion as plain texts, as most rows are.

    A fast path that gives the same as `read_example` without its checks; None for any other row.
    """
    if rule.format != "prompt-completion" or len(values) != 2:
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
    """The assistant's message with this text. Labels repeat, so equal ones share one object."""
    return Message("assistant", text)


def _find_numbers(messages: Any) -> Iterator[Any]:
    """Message contents that are numbers or booleans, except tool results (serialized as JSON)."""
    for message in messages if isinstance(messages, list) else ():
        content = (
            message.get("content", message.get("value")) if isinstance(message, dict) else None
        )
        if (
            content is not None
            and not isinstance(content, (str, list, dict))
            and message.get("role") != "tool"
        ):
            yield content


def find_converted_values(rule: FormatRule, values: Values) -> Iterator[tuple[str, str]]:
    """(code, description) for each value of a row that is converted to another type."""
    for name in rule.columns:
        value = values.get(name)
        for content in _find_numbers(value):
            yield (
                "text-of-numbers",
                f'the content {content!r} of a message is read as the text "{as_text(content)}"',
            )
        if (
            value is None
            or isinstance(value, (str, list, dict))
            or (rule.format == "rated" and name == "label")
        ):
            continue
        yield "text-of-numbers", f'"{name}" {value!r} is read as the text "{as_text(value)}"'
    if rule.format == "preference" and is_transcript(values):
        yield "read-as-turns", f"{str(values['chosen'])[:60]!r}"
