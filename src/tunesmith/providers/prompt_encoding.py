"""Prompts and given answers as token ids, as the model reads them when it answers.

A prompt is encoded alone, as it will be sent. An answer is what its tokens add to that when both are encoded together,
the end of turn behind it; where the two would share a token, which no asked model sees, the answer is encoded alone.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tunesmith.data.content_spans import contains_control_token, find_content_ranges
from tunesmith.data.template_coverage import TemplateCoverage
from tunesmith.errors import ModelError, truncate_list
from tunesmith.records import ChatTokenizer, Message, Prompt

_HALF_CHARACTER = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class EncodedPrompt:
    """A prompt that waits for its answer. `written`: the ranges of `text` that people wrote, where that matters.

    `error` says why it cannot be answered; `ids` are then those of what could be rendered.
    """

    text: str
    content_spans: list[tuple[int, int]]
    ids: list[int]
    error: str | None = None


def encode_prompts(tokenizer: ChatTokenizer, prompts: Sequence[Prompt]) -> list[EncodedPrompt]:
    """Every prompt; with an error where the template refuses it."""
    tokenizer.render_ahead([(prompt, (), [(len(prompt), True)]) for prompt in prompts])
    carried = TemplateCoverage(tokenizer)
    rendered = [_render_prompt(tokenizer, prompt, carried) for prompt in prompts]
    encoded = tokenizer.encode([text for text, _, _ in rendered], [written for _, written, _ in rendered])
    return [
        EncodedPrompt(text, written, one.ids, error or _find_unknown_tokens(tokenizer, one.ids))
        for (text, written, error), one in zip(rendered, encoded, strict=True)
    ]


def _find_unknown_tokens(tokenizer: ChatTokenizer, ids: Sequence[int]) -> str | None:
    """Why a prompt cannot be read by a model with a smaller embedding than its tokenizer."""
    beyond = sorted(tokenizer.ids_without_embedding.intersection(ids))
    return f"the prompt has tokens that the model has no row for: ids {truncate_list(beyond)}" if beyond else None


def mark_too_long(opened: Sequence[EncodedPrompt], answer_tokens: int, context_length: int) -> list[EncodedPrompt]:
    """The same; with an error where an answer of so many tokens would not fit."""
    return [
        one
        if one.error or len(one.ids) + answer_tokens <= context_length
        else replace(
            one,
            error=f"the prompt has {len(one.ids):,} tokens and the answer may have {answer_tokens:,}; "
            f"the model reads {context_length:,} in all",
        )
        for one in opened
    ]


def encode_answers(
    tokenizer: ChatTokenizer, opened: Sequence[EncodedPrompt], answers: Sequence[str]
) -> list[list[int]]:
    """The tokens of each answer after its prompt, end of turn included."""
    texts = [one.text + answer + tokenizer.end_of_turn for one, answer in zip(opened, answers, strict=True)]
    written = [
        [*one.content_spans, (len(one.text), len(one.text) + len(answer))]
        if contains_control_token(tokenizer, answer)
        else one.content_spans
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
    """Each prompt with its answer, and the number of the token where the answer begins; with an empty prompt, the
    answer by itself from its second token on. A prompt that the template refuses has no tokens."""
    opened = encode_prompts(tokenizer, [prompt or (Message("user", ""),) for prompt in prompts])
    plain = tokenizer.encode(answers, [[(0, len(answer))] for answer in answers])
    for prompt, one, ids, alone in zip(prompts, opened, encode_answers(tokenizer, opened, answers), plain, strict=True):
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
    """(text, the ranges that people wrote, why it cannot be answered)."""
    try:
        text = tokenizer.render(prompt, open_answer=True)
        written = find_content_ranges(tokenizer, prompt, (), text, open_answer=True)
    except ModelError as error:
        return "", [], str(error)
    if _HALF_CHARACTER.search(text):
        return "", [], "a message holds half a character (a lone surrogate), which no tokenizer takes"
    if written is None:
        return text, [], "a message spells a control token, and the chat template rewrites the message"
    if lost := carried.find_lost_parts(prompt, (), text, open_answer=True):
        return text, [], f"the model's chat template writes no {', no '.join(lost)}"
    return text, written, None
