"""When two texts count as the same, and whether answers are labels. The check and the split must agree on both."""

import unicodedata
from collections.abc import Mapping, Sequence
from json.encoder import encode_basestring

from tunesmith.data.final_answer import final_answer, is_blank
from tunesmith.data.folding import space_once
from tunesmith.data.label_set import LabelSet, find_labels
from tunesmith.records import Example, canonical_json


def normalised(text: str) -> str:
    """Text without the differences that do not matter to a reader: case, spacing, Unicode form (NFKC)."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return space_once(text.casefold())


def prompt_key(example: Example) -> str:
    """What an example asks, normalised: equal keys must stay on one side. An example without prompt is its own key."""
    if not example.prompt:
        return f"answer {normalised(example.answer_with_calls)}"
    if example.tools or any(message.tool_calls for message in example.prompt):
        turns = [[message.role, normalised(message.content), message.functions_called] for message in example.prompt]
        return canonical_json([turns, example.tools] if example.tools else turns)
    # the same text, put together by hand: this is asked of every example, several times
    plain = [f'["{message.role}",{encode_basestring(normalised(message.content))},[]]' for message in example.prompt]
    return f"[{','.join(plain)}]"


def hash_prompt(example: Example) -> int:
    """64 bits of `prompt_key`, good in this process. A single question needs no key in between; it is
    hashed inside a tuple, so that no text of a key can be made to meet it."""
    messages = example.messages
    if len(messages) == 2 and messages[0].role == "user" and not example.tools and not messages[0].tool_calls:
        return hash((normalised(messages[0].content),))
    return hash(prompt_key(example))


def labels_of(examples: Sequence[Example]) -> list[str] | None:
    """Each example's label, in the label's commonest spelling, when the answers are labels (`label_set.py`), else None.

    Two labels at least, no plain texts, and no tool calls. Empty where the answer is missing, which is no label.
    """
    if any(example.text is not None or example.messages[-1].tool_calls for example in examples):
        return None
    answers = [example.messages[-1].content for example in examples]
    found = find_labels(answers)
    if found is None or len(found.labels) < 2:
        return None
    spelling = {found.key_of(label): label for label in found.labels}
    label_of = {answer: _label_of(answer, found, spelling) for answer in set(answers)}
    return [label_of[answer] for answer in answers]


def _label_of(answer: str, labels: LabelSet, spelling: Mapping[str, str]) -> str:
    final = final_answer(answer)
    return "" if is_blank(final) else spelling[labels.key_of(final)]
