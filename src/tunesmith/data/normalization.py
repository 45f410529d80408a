"""When two texts count as equal, and which answers are labels; used by check and split."""

import unicodedata
from collections.abc import Mapping, Sequence
from json.encoder import encode_basestring

from tunesmith.data.final_answer import extract_final_answer, is_blank
from tunesmith.data.label_detection import LabelSet, find_labels
from tunesmith.data.text_folding import space_once
from tunesmith.records import Example, dump_canonical_json


def normalize_text(text: str) -> str:
    """The text without case, spacing and differences of Unicode form (NFKC)."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return space_once(text.casefold())


def build_prompt_key(example: Example) -> str:
    """The normalized prompt of an example: equal keys must stay in one split.

    An example without a prompt has its own text as key.
    """
    if not example.prompt:
        return f"answer {normalize_text(example.answer)}"
    if example.tools or any(message.tool_calls for message in example.prompt):
        turns = [
            [message.role, normalize_text(message.content), message.called_functions]
            for message in example.prompt
        ]
        return dump_canonical_json([turns, example.tools] if example.tools else turns)
    # The text of dump_canonical_json, assembled by hand: this runs several times per example.
    plain = [
        f'["{message.role}",{encode_basestring(normalize_text(message.content))},[]]'
        for message in example.prompt
    ]
    return f"[{','.join(plain)}]"


def hash_prompt(example: Example) -> int:
    """64-bit hash of the normalized prompt, valid in this process only.

    A single question is hashed without building its key, inside a tuple, so that no key text can be
    made to collide with it.
    """
    messages = example.messages
    if (
        len(messages) == 2
        and messages[0].role == "user"
        and not example.tools
        and not messages[0].tool_calls
    ):
        return hash((normalize_text(messages[0].content),))
    return hash(build_prompt_key(example))


def detect_labels(examples: Sequence[Example]) -> list[str] | None:
    """Each example's label in its most common spelling, or None if the answers are not labels.

    The rule is in `label_detection.py`; at least two labels, no plain texts and no tool calls. An
    empty text stands for a missing answer, which is not a label.
    """
    if any(example.text is not None or example.messages[-1].tool_calls for example in examples):
        return None
    answers = [example.messages[-1].content for example in examples]
    found = find_labels(answers)
    if found is None or len(found.labels) < 2:
        return None
    spelling = {found.normalize_label(label): label for label in found.labels}
    label_of = {answer: _label_of(answer, found, spelling) for answer in set(answers)}
    return [label_of[answer] for answer in answers]


def _label_of(answer: str, labels: LabelSet, spelling: Mapping[str, str]) -> str:
    final = extract_final_answer(answer)
    return "" if is_blank(final) else spelling[labels.normalize_label(final)]
