"""Candidate instructions: what a person might write into the system message after reading the train
answers.

Each is appended to the data's own system message, so a person's instruction is never lost. All are
derived from the train answers alone: labels by name (and with one example each), JSON by its keys,
other answers by their length, the prefix of their last line, and a sample. They are in English,
like all text that tunesmith writes; shots convey what an instruction cannot.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from tunesmith.contenders.prompting.few_shot import choose_shots
from tunesmith.records import Example, OutputConstraint

MAX_SHORT_ANSWER_WORDS = 12
MIN_SHARED_PREFIX_FRACTION = 0.95


@dataclass(frozen=True, slots=True)
class Instruction:
    """Text to append to the system message, and a short name for it. Empty text adds nothing.

    `shows_format`: it lists all labels, or describes the expected JSON.
    """

    name: str
    text: str
    shows_format: bool = False


NO_INSTRUCTION = Instruction("no added instruction", "")


def write_instructions(
    train: Sequence[Example], output_constraint: OutputConstraint | None, seed: int
) -> list[Instruction]:
    """Candidate instructions, the shortest first; the first one is empty."""
    if output_constraint is not None and output_constraint.labels:
        written = _write_for_labels(train, output_constraint.labels, seed)
    elif output_constraint is not None and output_constraint.json_schema is not None:
        written = _write_for_json(train, output_constraint.json_schema, seed)
    else:
        written = _write_for_text(train, seed)
    return [NO_INSTRUCTION, *sorted(written, key=lambda instruction: len(instruction.text))]


def count_format_instructions(output_constraint: OutputConstraint | None) -> int:
    """The maximum number of candidate instructions that describe this constraint."""
    if output_constraint is None:
        return 0
    return 3 if output_constraint.labels else 2


def _write_for_labels(
    train: Sequence[Example], labels: Sequence[str], seed: int
) -> list[Instruction]:
    head = (
        "Choose the one label that fits the message best. "
        "Write that label exactly as it stands in this list, and nothing else.\n"
    )
    shown = {
        shot.answer: _shorten_line(shot.question) for shot in choose_shots(train, len(labels), seed)
    }
    with_examples = [
        f"- {label}" + (f', for example: "{shown[label]}"' if label in shown else "")
        for label in labels
    ]
    return [
        Instruction("label only", "Answer with the label only, without any explanation."),
        Instruction(
            "labels in a line",
            f"Answer with exactly one of these labels: {', '.join(labels)}.",
            True,
        ),
        Instruction("labels in a list", head + "\n".join(f"- {label}" for label in labels), True),
        Instruction("labels with an example each", head + "\n".join(with_examples), True),
    ]


def _write_for_json(
    train: Sequence[Example], schema: dict[str, Any], seed: int
) -> list[Instruction]:
    short = "Answer with one JSON value and nothing else."
    written = [Instruction("JSON only", short)]
    # With conflicting key orders there is one schema per order; the first is the most common.
    schema = schema.get("anyOf", [schema])[0]
    properties = schema.get("properties")
    if isinstance(properties, dict) and properties:
        required = set(schema.get("required", ()))
        keys = [
            f"- {_describe_property(key, value, key in required)}"
            for key, value in properties.items()
        ]
        described = "\n".join(["Answer with one JSON object and nothing else. Its keys:", *keys])
        written.append(Instruction("keys described", described, True))
        short = described
    shots = choose_shots(train, 1, seed)
    if shots:
        written.append(
            Instruction(
                "keys and a sample", f"{short}\nAn answer looks like this: {shots[0].answer}", True
            )
        )
    return written


def _describe_property(key: str, schema: Any, is_required: bool) -> str:
    """One line for a key, such as `"kind" (one of "a", "b"; may be left out)`."""
    schema = schema if isinstance(schema, dict) else {}
    kinds = schema.get("type", [])
    kind_names = " or ".join([kinds] if isinstance(kinds, str) else kinds)
    if values := schema.get("enum"):
        kind_names = "one of " + ", ".join(
            json.dumps(value, ensure_ascii=False) for value in values
        )
    remarks = [
        remark for remark in (kind_names, "" if is_required else "may be left out") if remark
    ]
    return json.dumps(key, ensure_ascii=False) + (f" ({'; '.join(remarks)})" if remarks else "")


def _write_for_text(train: Sequence[Example], seed: int) -> list[Instruction]:
    answers = [example.answer for example in train]
    words = round(median(len(answer.split()) for answer in answers)) if answers else 0
    rules = [f"Answer in about {words} words."]
    if words <= MAX_SHORT_ANSWER_WORDS:
        rules = ["Answer as briefly as you can: only the answer, without any explanation."]
    written = [Instruction("length", rules[0])]
    if mark := find_last_line_prefix(answers):
        rules.append(
            f"Let the last line begin with {json.dumps(mark, ensure_ascii=False)}, followed by the"
            " result."
        )
        written.append(Instruction("last line", " ".join(rules)))
    if shots := choose_shots(train, 2, seed):
        samples = "\n".join(f"<answer>\n{shot.answer}\n</answer>" for shot in shots)
        written.append(
            Instruction("samples", "\n".join([" ".join(rules), "Answers look like this:", samples]))
        )
    return written


def find_last_line_prefix(answers: Sequence[str]) -> str:
    """The prefix that nearly all answers' last lines share (such as `####`), if the answers have
    multiple lines; else an empty text."""
    lasts = sorted(
        answer.strip().splitlines()[-1]
        for answer in answers
        if len(answer.strip().splitlines()) > 1
    )
    cut = int((1 - MIN_SHARED_PREFIX_FRACTION) / 2 * len(lasts))
    # Sorted, so the prefix that the two outermost lines share is shared by all between them;
    # cutting both ends tolerates `1 - MIN_SHARED_PREFIX_FRACTION` of exceptions.
    kept = lasts[cut : len(lasts) - cut]
    if not kept or len(lasts) < MIN_SHARED_PREFIX_FRACTION * len(answers):
        return ""
    shared = next((i for i, (a, b) in enumerate(zip(kept[0], kept[-1], strict=False)) if a != b), 0)
    return re.sub(r"\w+$", "", kept[0][:shared]).strip()  # drop a partial word or number


def _shorten_line(text: str) -> str:
    """The text in one line of at most 120 characters."""
    line = " ".join(text.split())
    return line if len(line) <= 120 else f"{line[:119]}…"
