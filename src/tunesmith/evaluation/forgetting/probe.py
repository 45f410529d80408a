"""Ask a model the general probe and how surprising it finds general text.

The same items, in the same order, before and after tuning, each as a single message of the user without an instruction:
what is measured is the model, not a prompt. Answers may have 32 tokens, which every right answer fits in; all are asked
at once, so the probe takes seconds.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from tunesmith.evaluation.forgetting.rules import keeps_rules, plain_words
from tunesmith.records import (
    Completer,
    GeneralAbility,
    Likelihoods,
    Message,
    ProbeAnswer,
    Progress,
    TextLoss,
    fingerprint_of,
)

PROBE_TOKENS = 32
"""What a completer for the probe must be made with: longer answers would only take longer."""


@dataclass(frozen=True, slots=True)
class Item:
    """One small task. `right` is an example of a right answer; only tests look at it."""

    id: str
    kind: str
    prompt: str
    rules: dict[str, Any]
    right: str


@lru_cache(maxsize=1)
def probe_items() -> tuple[Item, ...]:
    """Every item. The id is the kind and the place among its kind."""
    items: list[Item] = []
    for line in _file("items.jsonl").splitlines():
        row = json.loads(line)
        place = sum(item.kind == row["kind"] for item in items) + 1
        items.append(Item(id=f"{row['kind']}-{place:02d}", **row))
    return tuple(items)


@lru_cache(maxsize=1)
def general_texts() -> tuple[str, ...]:
    """The paragraphs of general text."""
    return tuple(" ".join(paragraph.split()) for paragraph in _file("general_text.txt").split("\n\n"))


def measure_general(
    completer: Completer, likelihoods: Likelihoods | None = None, progress: Progress | None = None
) -> GeneralAbility:
    """What the model can do as it stands now. `completer` should be one of `PROBE_TOKENS` new tokens."""
    began = time.perf_counter()
    items = probe_items()
    completions = completer.complete([(Message("user", item.prompt),) for item in items], progress)
    answers = tuple(
        ProbeAnswer(
            item=item.id,
            kind=item.kind,
            text=completion.text,
            is_right=None if completion.error is not None else is_right(item, completion.text),
        )
        for item, completion in zip(items, completions, strict=True)
    )
    texts = _losses(likelihoods, general_texts()) if likelihoods is not None else ()
    return GeneralAbility(probe=probe_name(), answers=answers, texts=texts, seconds=time.perf_counter() - began)


def is_right(item: Item, text: str) -> bool:
    """The answer keeps the item's rules and is not the question over again, which keeps many of them."""
    return keeps_rules(text, item.rules) and plain_words(text) != plain_words(item.prompt)


def _losses(likelihoods: Likelihoods, texts: Sequence[str]) -> tuple[TextLoss, ...]:
    found = likelihoods.likelihoods([()] * len(texts), texts)
    return tuple(TextLoss(nats=-one.log_probability, tokens=one.tokens) for one in found)


def probe_name() -> str:
    """Fingerprint of everything that is asked and of the rules' arguments."""
    return fingerprint_of([[[item.prompt, item.rules] for item in probe_items()], general_texts()])


def _file(name: str) -> str:
    return (files("tunesmith.evaluation.forgetting") / name).read_text("utf-8").strip()
