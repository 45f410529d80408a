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


def check_control_tokens(context: CheckContext) -> Iterator[Problem]:
    tokens = sorted({*USUAL, *(context.tokenizer.control_tokens if context.tokenizer else ())}, key=len, reverse=True)
    pattern = re.compile("|".join(re.escape(token) for token in tokens))
    first: str | None = None
    found: list[int] = []
    for i, example in enumerate(context.examples):
        if match := next(filter(None, map(pattern.search, _texts(example))), None):
            first = first or match.group()
            found.append(i)
    yield from context.problems(
        "control-token",
        "warning",
        found,
        f"spell a control token in the text, such as {first}",
        "take it out if the data was rendered before; it is read as ordinary text, never as the token",
    )


def _texts(example: Example) -> Iterator[str]:
    yield example.text or ""
    for message in example.messages + example.rejected:
        yield message.content
        yield message.reasoning or ""
