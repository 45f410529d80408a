"""Control tokens spelled out in people's text. They are encoded as ordinary text, so they cannot end a turn; but mostly
they say that the data was rendered with a chat template already, and the model would learn to write them."""

import re
from collections.abc import Iterator

from tunesmith.data.check.context import CheckContext
from tunesmith.records import Example, Problem

USUAL = (
    "<|im_start|>",
    "<|im_end|>",
    "<|endoftext|>",
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|end|>",
    "<start_of_turn>",
    "<end_of_turn>",
    "[INST]",
    "[/INST]",
)
"""The control tokens of common chat templates: data rendered for another model is as wrong as for this one."""


MOST_SPELLED = 0.5
"""Where a larger share of the examples spells control tokens, the data was rendered with a template."""
ANSWER_MARK = re.compile(
    r"(?:^|\n)[ \t]*(?:#{2,3} ?\w+|assistant|bot|ai|gpt|model|response)[ \t]*:\s*\Z", re.IGNORECASE
)


def check_control_tokens(context: CheckContext) -> Iterator[Problem]:
    tokens = sorted({*USUAL, *(context.tokenizer.control_tokens if context.tokenizer else ())}, key=len, reverse=True)
    pattern = re.compile("|".join(re.escape(token) for token in tokens))
    first: str | None = None
    found: list[int] = []
    for i, example in enumerate(context.examples):
        if match := next(filter(None, map(pattern.search, _texts(example))), None):
            first = first or match.group()
            found.append(i)
    is_rendered = len(found) > MOST_SPELLED * len(context.examples)
    yield from context.problems(
        "rendered-already" if is_rendered else "control-token",
        "error" if is_rendered else "warning",
        found,
        f"spell a control token in the text, such as {first}",
        "give messages, or prompt and completion: the model's own chat template renders them"
        if is_rendered
        else "take it out if the data was rendered before; it is read as ordinary text, never as the token",
    )
    yield from _check_answer_marks(context)


def _check_answer_marks(context: CheckContext) -> Iterator[Problem]:
    """Prompts that end with a line of their own for the answer: a template of words is in the data already."""
    ends = [(i, example.prompt[-1].content) for i, example in enumerate(context.examples) if example.prompt]
    found = [(i, match.group().strip()) for i, text in ends if (match := ANSWER_MARK.search(text))]
    if len(found) <= MOST_SPELLED * len(ends):
        return
    yield from context.problems(
        "answer-mark",
        "warning",
        [i for i, _ in found],
        f"have a prompt that ends where an answer begins, such as {found[0][1]!r}",
        "take it out: the chat template says whose turn it is, and later questions would have to end so too",
    )


def _texts(example: Example) -> Iterator[str]:
    yield example.text or ""
    for message in example.messages + example.rejected:
        yield message.content
        yield message.reasoning or ""
