"""When two texts count as the same, and whether answers are labels. The check and the split must agree on both."""

import unicodedata
from collections import Counter
from collections.abc import Sequence

from tunesmith.data.label_set import MOST_LABELS, SHORT_CHARACTERS
from tunesmith.records import Example, canonical_json

FEWEST_EXAMPLES_PER_LABEL = 5


def normalised(text: str) -> str:
    """Text without the differences that do not matter to a reader: case, spacing, Unicode form (NFKC)."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return " ".join(text.casefold().split())


def prompt_key(example: Example) -> str:
    """What an example asks, normalised: equal keys must stay on one side. An example without prompt is its own key."""
    if not example.prompt:
        return f"answer {normalised(example.answer_with_calls)}"
    turns = [[message.role, normalised(message.content), message.functions_called] for message in example.prompt]
    return canonical_json([turns, example.tools] if example.tools else turns)


def labels_of(examples: Sequence[Example]) -> list[str] | None:
    """Each example's label when the answers look like labels, else None.

    They do when they are short, one line, at most 200 different ones, and each stands for 5 examples on average. A
    tool call is no label.
    """
    answers = [example.answer.strip() for example in examples]
    if any(example.text is not None or example.messages[-1].tool_calls for example in examples):
        return None
    if any(len(answer) > SHORT_CHARACTERS or "\n" in answer for answer in answers):
        return None
    different = len(Counter(answers))
    are_few = 2 <= different <= MOST_LABELS and len(answers) >= FEWEST_EXAMPLES_PER_LABEL * different
    return answers if are_few else None
