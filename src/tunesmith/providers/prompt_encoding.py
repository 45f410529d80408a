"""Prompts and reference answers as token ids, exactly as the model sees them when it answers.

A prompt is encoded alone, as it will be sent. An answer consists of the tokens that follow when
prompt and answer are encoded together, end of turn included. If a token would span the boundary
between the two, which cannot occur in generation, the answer is encoded alone.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tunesmith.data.content_spans import contains_control_token, find_content_ranges
from tunesmith.data.template_coverage import TemplateCoverage
from tunesmith.errors import ModelError, truncate_list
from tunesmith.records import (
    ChatTokenizer,
    Message,
    Prompt,
    dump_canonical_json,
    get_offered_tools,
)

_HALF_CHARACTER = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class EncodedPrompt:
    """A prompt ready to be answered. `content_spans` are the ranges of `text` that come from
    message contents, not from the template; empty where the distinction does not matter.

    `error` says why it cannot be answered; `ids` then encode as much as could be rendered.
    """

    text: str
    content_spans: list[tuple[int, int]]
    ids: list[int]
    error: str | None = None


def encode_prompts(tokenizer: ChatTokenizer, prompts: Sequence[Prompt]) -> list[EncodedPrompt]:
    """All prompts encoded; those that the template rejects have `error` set."""
    # Renders all prompts in one batch; the `render` calls below then read the results.
    tokenizer.render_ahead(
        [(prompt, get_offered_tools(prompt), [(len(prompt), True)]) for prompt in prompts]
    )
    carried = TemplateCoverage(tokenizer)
    rendered = [_render_prompt(tokenizer, prompt, carried) for prompt in prompts]
    encoded = tokenizer.encode(
        [text for text, _, _ in rendered], [written for _, written, _ in rendered]
    )
    return [
        EncodedPrompt(text, written, one.ids, error or _find_unknown_tokens(tokenizer, one.ids))
        for (text, written, error), one in zip(rendered, encoded, strict=True)
    ]


def _find_unknown_tokens(tokenizer: ChatTokenizer, ids: Sequence[int]) -> str | None:
    """An error if the prompt contains tokens without an embedding row: some models have fewer rows
    than their tokenizer has tokens."""
    beyond = sorted(tokenizer.ids_without_embedding.intersection(ids))
    return (
        f"the prompt has tokens without an embedding row: ids {truncate_list(beyond)}"
        if beyond
        else None
    )


def mark_too_long(
    opened: Sequence[EncodedPrompt], answer_tokens: int, context_length: int
) -> list[EncodedPrompt]:
    """The same prompts; those that leave no room for `answer_tokens` tokens have `error` set."""
    return [
        (
            one
            if one.error or len(one.ids) + answer_tokens <= context_length
            else replace(
                one,
                error=(
                    f"prompt ({len(one.ids):,} tokens) plus max_new_tokens "
                    f"({answer_tokens:,}) exceeds the context length ({context_length:,})"
                ),
            )
        )
        for one in opened
    ]


def encode_answers(
    tokenizer: ChatTokenizer, opened: Sequence[EncodedPrompt], answers: Sequence[str]
) -> list[list[int]]:
    """The token ids of each answer after its prompt, end of turn included."""
    texts = [
        one.text + answer + tokenizer.end_of_turn
        for one, answer in zip(opened, answers, strict=True)
    ]
    written = [
        # Only an answer that spells a control token needs its own span: there the text must not be
        # encoded as the token itself.
        (
            [*one.content_spans, (len(one.text), len(one.text) + len(answer))]
            if contains_control_token(tokenizer, answer)
            else one.content_spans
        )
        for one, answer in zip(opened, answers, strict=True)
    ]
    found = []
    for one, answer, whole in zip(opened, answers, tokenizer.encode(texts, written), strict=True):
        at = len(one.ids)
        is_apart = whole.ids[:at] == one.ids
        found.append(whole.ids[at:] if is_apart else _encode_alone(tokenizer, answer))
    return found


def encode_pairs(
    tokenizer: ChatTokenizer, prompts: Sequence[Prompt], answers: Sequence[str]
) -> Iterator[tuple[list[int], int]]:
    """(token ids of prompt and answer, index of the answer's first token) for each pair. With an
    empty prompt: the plain answer, scored from its second token on. A prompt that the template
    rejects yields no tokens."""
    opened = encode_prompts(tokenizer, [prompt or (Message("user", ""),) for prompt in prompts])
    plain = tokenizer.encode(answers, [[(0, len(answer))] for answer in answers])
    for prompt, one, ids, alone in zip(
        prompts, opened, encode_answers(tokenizer, opened, answers), plain, strict=True
    ):
        if not prompt:
            yield alone.ids, 1
        elif one.error:
            yield [], 0
        else:
            yield one.ids + ids, len(one.ids)


def _encode_alone(tokenizer: ChatTokenizer, answer: str) -> list[int]:
    return tokenizer.encode([answer + tokenizer.end_of_turn], [[(0, len(answer))]])[0].ids


def _render_prompt(
    tokenizer: ChatTokenizer, prompt: Prompt, carried: TemplateCoverage
) -> tuple[str, list[tuple[int, int]], str | None]:
    """(text, ranges of message contents, error or None)."""
    tools = get_offered_tools(prompt)
    if tools and contains_control_token(tokenizer, dump_canonical_json(tools)):
        return "", [], "a tool definition contains a control token"
    try:
        text = tokenizer.render(prompt, tools, open_answer=True)
        written = find_content_ranges(tokenizer, prompt, tools, text, open_answer=True)
    except ModelError as error:
        return "", [], str(error)
    if _HALF_CHARACTER.search(text):
        return (
            "",
            [],
            "a message contains a lone surrogate, which tokenizers do not accept",
        )
    if written is None:
        return (
            text,
            [],
            "a message contains a control token, and the chat template rewrites the message",
        )
    if lost := carried.find_lost_parts(prompt, tools, text, open_answer=True):
        return text, [], f"the chat template does not render: {', '.join(lost)}"
    return text, written, None
