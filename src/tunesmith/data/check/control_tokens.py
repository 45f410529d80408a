"""Control tokens that are spelled out in message contents.

They are encoded as ordinary text, so they cannot end a turn; but they usually mean that the data
was rendered with a chat template before, and the model would learn to write them.
"""

import re
from collections.abc import Iterator
from itertools import islice

from tunesmith.data.check.context import CheckContext
from tunesmith.records import Example, Problem

COMMON_CONTROL_TOKENS = (
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
"""The control tokens of common templates: data rendered for another model is just as wrong."""


BLOCK = 256
"""Examples whose texts are searched together."""
MAX_CONTROL_TOKEN_FRACTION = 0.5
"""If a larger fraction of the examples spells control tokens, the data was rendered before."""
ANSWER_MARKER = re.compile(
    r"(?:^|\n)[ \t]*(?:#{2,3} ?\w+|assistant|bot|ai|gpt|model|response)[ \t]*:\s*\Z", re.IGNORECASE
)


def check_control_tokens(context: CheckContext) -> Iterator[Problem]:
    """Examples that spell a control token: an error when most do, else a warning."""
    tokens = sorted(
        {*COMMON_CONTROL_TOKENS, *(context.tokenizer.control_tokens if context.tokenizer else ())},
        key=len,
        reverse=True,
    )
    pattern = re.compile("|".join(re.escape(token) for token in tokens))
    first: str | None = None
    found: list[int] = []
    for i, example in _find_suspects(context, pattern):
        if match := next(filter(None, map(pattern.search, _iterate_texts(example))), None):
            first = first or match.group()
            found.append(i)
    # Data about chat templates spells them in a few examples; rendered data in nearly all.
    is_rendered = len(found) > MAX_CONTROL_TOKEN_FRACTION * len(context.examples)
    yield from context.report_problems(
        "rendered-already" if is_rendered else "control-token",
        "error" if is_rendered else "warning",
        found,
        f"contain a control token in their text, such as {first}",
        (
            "pass messages, or prompt and completion: the model's chat template renders them"
            if is_rendered
            else (
                "remove it if the data was already rendered; it is read as ordinary text, "
                "never as the token"
            )
        ),
    )
    yield from _check_answer_markers(context)


def _check_answer_markers(context: CheckContext) -> Iterator[Problem]:
    """Prompts that end with a line such as `Answer:`: the data already contains a text template."""
    asked = 0
    found: list[tuple[int, str]] = []
    for i, example in enumerate(context.examples):
        if len(example.messages) > 1:
            asked += 1
            text = example.messages[-2].content
            # A cheap test first: the pattern is searched only in prompts that end with a colon.
            if text.rstrip().endswith(":") and (match := ANSWER_MARKER.search(text)):
                found.append((i, match.group().strip()))
    if len(found) <= MAX_CONTROL_TOKEN_FRACTION * asked:
        return
    yield from context.report_problems(
        "answer-mark",
        "warning",
        [i for i, _ in found],
        f"have a prompt that ends with the start of an answer, such as {found[0][1]!r}",
        "remove it: the chat template marks whose turn it is, and later prompts would have "
        "to end with it too",
    )


def _find_suspects(
    context: CheckContext, pattern: re.Pattern[str]
) -> Iterator[tuple[int, Example]]:
    """The examples of each block whose concatenated texts contain a control token.

    One search through a block costs less than one for each text, and most data contains none.
    """
    examples = enumerate(context.examples)
    while block := list(islice(examples, BLOCK)):
        texts = [text for _, example in block for text in _iterate_texts(example)]
        if pattern.search("\n".join(texts)):
            yield from block


def _iterate_texts(example: Example) -> list[str]:
    """All texts of an example that people or models wrote: contents and reasoning."""
    texts = [] if example.text is None else [example.text]
    for message in (*example.messages, *example.rejected) if example.rejected else example.messages:
        texts.append(message.content)
        if message.reasoning is not None:
            texts.append(message.reasoning)
    return texts
