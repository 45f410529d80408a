"""Render an example as the model reads it, with the character ranges that are trained.

The answer of assistant turn i is what the template adds between an open and a complete answer:

    before = render(messages[:i], open_answer=True)      the prompt exactly as it will be sent later
    after  = render(messages[:i + 1])
    answer = after[len(before) : end of the last end-of-turn token]

This requires that `before` is a prefix of `after`, and `after` a prefix of the whole conversation.
Some templates rewrite earlier turns (for example, they drop `<think>` blocks); an example that
trains such a turn is refused, because the trained text would differ from the text at inference.
Line ends after the end-of-turn token are not trained: a model stops before it writes them.

Every part of the messages must be found in the text (`template_coverage.py`), those of a trained
turn within its own characters.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from tunesmith.data.content_spans import contains_control_token, find_content_ranges
from tunesmith.data.template_coverage import TemplateCoverage
from tunesmith.errors import ResourceLimitExceeded, TunesmithError
from tunesmith.records import ChatTokenizer, Example, Message, dump_canonical_json

MAX_SHOWN_CHARACTERS = 30
"""Characters of a difference that one error message shows."""


class WeightedSpan(NamedTuple):
    """Characters [begin, end) of the rendered text with their loss weight."""

    begin: int
    end: int
    weight: float


@dataclass(frozen=True, slots=True)
class RenderedExample:
    """The text of an example, its weighted spans in order, and content ranges with control tokens.

    Answers with weight 0 are spans too: every answer begins where a prompt ends. Text outside all
    spans is not trained. `content` is empty unless a message spells a control token.
    """

    text: str
    spans: tuple[WeightedSpan, ...]
    content: tuple[tuple[int, int], ...] = ()


class RenderError(Exception):
    """This example cannot be rendered, for the reason `slug`; the caller merges all errors."""

    def __init__(self, slug: str, got: str) -> None:
        super().__init__(got)
        self.slug = slug
        self.got = got


class Renderer:
    """Renders examples with one tokenizer's template."""

    def __init__(self, tokenizer: ChatTokenizer, train_on_prompts: bool = False) -> None:
        self._tokenizer = tokenizer
        self._train_on_prompts = train_on_prompts
        self._coverage = TemplateCoverage(tokenizer)
        self._frames: dict[tuple[object, ...], int | None] = {}

    def bound_bytes(self, example: Example) -> int | None:
        """An upper bound on the UTF-8 bytes of the example's text without rendering it, or None.

        Where the template copies contents, whether an example can be rendered follows from its
        roles and weights. One rendering with placeholders decides it for each sequence of them.
        """
        messages = example.messages
        if not messages or example.tools or not self._tokenizer.copies_contents(messages):
            return None
        contents = "\n".join([message.content for message in messages])
        if contains_control_token(self._tokenizer, contents):
            return None
        frame = self._get_frame(example)
        return None if frame is None else frame + _count_bytes(contents) - (len(messages) - 1)

    def bound_most_bytes(self, examples: Sequence[Example]) -> int | None:
        """The largest `bound_bytes` of examples that are each a question and an answer in words
        (`is_question_and_answer`), or None if one of them may have none.

        All texts are searched at once, in a third of the time of one search for each example.
        """
        text = "\n".join([message.content for one in examples for message in one.messages])
        if contains_control_token(self._tokenizer, text):
            return None
        if not self._tokenizer.copies_contents([Message("user", text)]):
            return None
        frame = self._get_frame(examples[0])
        if frame is None:
            return None
        count = len if text.isascii() else _count_bytes
        pairs = [one.messages for one in examples]
        return frame + max([count(asked.content) + count(reply.content) for asked, reply in pairs])

    def _get_frame(self, example: Example) -> int | None:
        """Bytes that the template adds to contents of these roles and weights, measured once."""
        key = tuple([(message.role, message.weight) for message in example.messages])
        if key not in self._frames:
            self._frames[key] = self._measure_frame(example)
        return self._frames[key]

    def _measure_frame(self, example: Example) -> int | None:
        """Bytes that the template adds to contents of these roles; None where it refuses them."""
        sizes = []
        # With and without outer spaces, which many templates trim: the larger frame is the bound.
        for blank in ("", " "):
            placed = tuple(
                replace(message, content=f"{blank}placeholder {i} of a content{blank}")
                for i, message in enumerate(example.messages)
            )
            try:
                text = self.render(replace(example, messages=placed)).text
            except RenderError:
                return None
            sizes.append(
                len(text.encode("utf-8")) - sum(_count_bytes(message.content) for message in placed)
            )
        return max(sizes)

    def render_ahead(self, examples: Sequence[Example]) -> None:
        """Start rendering in the background what `render` will need for these examples."""
        self._tokenizer.render_ahead(
            [
                (one.messages, one.tools, list_prefixes(one.messages))
                for one in examples
                if one.text is None and one.messages
            ]
        )

    def render(self, example: Example) -> RenderedExample:
        """Render an example. Errors: `RenderError`; `ResourceLimitExceeded` by the template."""
        try:
            return (
                self._render_text(example)
                if example.text is not None
                else self._render_chat(example)
            )
        except ResourceLimitExceeded:
            raise
        except TunesmithError as error:  # the template's own refusal, e.g. of two user turns
            where = f" (chat template {error.at})" if error.at else ""
            raise RenderError("template-refused", f"{error.got or error.what}{where}") from None

    def drops_name(self, example: Example) -> bool:
        """Whether the text lacks the name of a message (other than a tool result) that has one.

        Only for examples that `render` accepts.
        """
        return self._coverage.drops_name(example)

    def _render_text(self, example: Example) -> RenderedExample:
        """Plain text: trained as a whole with an end token, after the tokenizer's own prefix."""
        text = example.text or ""
        if not text.strip():
            raise RenderError("no-answer", "an empty text")
        begin = len(self._tokenizer.text_prefix)
        whole = self._tokenizer.text_prefix + text + self._tokenizer.end_of_turn
        content = (
            ((begin, begin + len(text)),) if contains_control_token(self._tokenizer, text) else ()
        )
        return RenderedExample(whole, (WeightedSpan(begin, len(whole), 1.0),), content)

    def _render_chat(self, example: Example) -> RenderedExample:
        if not example.messages or example.messages[-1].role != "assistant":
            raise RenderError("no-answer", "the last message is not the assistant's")
        whole = self._tokenizer.render(example.messages, example.tools)
        turns = {
            i: turn
            for i, message in enumerate(example.messages)
            if message.role == "assistant"
            and (turn := self._find_turn_span(example, i, whole)) is not None
        }
        spans = list(turns.values())
        # Cut after the last answer: the line end behind the end-of-turn token is never generated.
        text = whole[: spans[-1].end]
        answers = {i: whole[turn.begin : turn.end] for i, turn in turns.items() if turn.weight > 0}
        if lost := self._coverage.describe_lost_parts(example, whole, answers):
            raise RenderError("template-drops", lost)
        content = self._find_content_ranges(example, whole)
        return RenderedExample(
            text, tuple(spans if not self._train_on_prompts else _fill_gaps(spans)), content
        )

    def _find_turn_span(self, example: Example, i: int, whole: str) -> WeightedSpan | None:
        """The characters of assistant turn i, including its end-of-turn token.

        None for an earlier turn of weight 0 that the template writes differently later on: the
        model will only see the form in the whole conversation.
        """
        messages, end_of_turn = example.messages, self._tokenizer.end_of_turn
        message, is_last = messages[i], i == len(messages) - 1
        if (is_last or message.is_trained) and not (message.content.strip() or message.tool_calls):
            raise RenderError(
                "no-answer" if is_last else "empty-answer", f"turn {i + 1} is an empty answer"
            )
        before = self._tokenizer.render(messages[:i], example.tools, open_answer=True)
        after = whole if is_last else self._tokenizer.render(messages[: i + 1], example.tools)
        if not (after.startswith(before) and whole.startswith(after)):
            if not is_last and not message.is_trained and not self._train_on_prompts:
                return None
            raise RenderError(
                "template-not-prefix-preserving", _describe_difference(i, before, after, whole)
            )
        # rfind: the answer itself may contain the end-of-turn text; only the last one ends it.
        end = after.rfind(end_of_turn, len(before))
        if end < 0 or after[end + len(end_of_turn) :].strip():
            raise RenderError(
                "end-of-turn-not-trained", f"turn {i + 1} does not end with {end_of_turn}"
            )
        weight = message.weight
        return WeightedSpan(len(before), end + len(end_of_turn), 1.0 if weight is None else weight)

    def _find_content_ranges(self, example: Example, whole: str) -> tuple[tuple[int, int], ...]:
        """The ranges of message contents, if any of them spells a control token."""
        self._check_structured_parts(example)
        ranges = find_content_ranges(self._tokenizer, example.messages, example.tools, whole)
        if ranges is None:
            raise RenderError(
                "control-token-in-text",
                "the template rewrites a message that contains a control token",
            )
        return tuple(ranges)

    def _check_structured_parts(self, example: Example) -> None:
        """Refuse control tokens in tools, calls, names and reasoning: their place is unknown."""
        beside = [[m.tool_calls, m.name, m.tool_call_id, m.reasoning] for m in example.messages]
        is_plain = not example.tools and not any(any(parts) for parts in beside)
        if not is_plain and contains_control_token(
            self._tokenizer, dump_canonical_json([example.tools, beside])
        ):
            raise RenderError(
                "control-token-in-text",
                "a control token inside a tool definition, call, name or reasoning",
            )


def list_prefixes(messages: Sequence[Message]) -> list[tuple[int, bool]]:
    """The prefixes to render: the whole, and each assistant turn opened and completed."""
    turns = [i for i, message in enumerate(messages) if message.role == "assistant"]
    before, after = [(i, True) for i in turns], [(i + 1, False) for i in turns]
    return list(dict.fromkeys([(len(messages), False), *before, *after]))


def _count_bytes(text: str) -> int:
    """The length of the text in UTF-8 bytes."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _fill_gaps(turns: Sequence[WeightedSpan]) -> list[WeightedSpan]:
    """The turns, with the text before and between them as spans of weight 1."""
    spans, position = [], 0
    for turn in turns:
        spans += [WeightedSpan(position, turn.begin, 1.0), turn]
        position = turn.end
    return [span for span in spans if span.begin < span.end]


def _describe_difference(i: int, before: str, after: str, whole: str) -> str:
    """Where the prompt of turn i, its answered form and the whole conversation first differ."""
    if not after.startswith(before):
        shared = _count_shared_characters(before, after)
        return (
            f"the prompt of turn {i + 1} has {before[shared:][:MAX_SHOWN_CHARACTERS]!r}, "
            "which is absent when the turn is answered"
        )
    shared = _count_shared_characters(after, whole)
    return (
        f"turn {i + 1} is rendered differently later, from "
        f"{after[shared:][:MAX_SHOWN_CHARACTERS]!r} on"
    )


def _count_shared_characters(one: str, other: str) -> int:
    """The length of the common prefix in characters."""
    return next(
        (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
        min(len(one), len(other)),
    )
