"""Run the general probe on a model, and measure its loss on general text.

The same items in the same order before and after tuning, each as a single user message without an
instruction: the probe measures the model, not a prompt. Answers may have 32 tokens, enough for
every correct answer; all items go into one batch, so the probe takes seconds.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from tunesmith.evaluation.forgetting.rule_checkers import follows_rules, normalize_words
from tunesmith.records import (
    Completer,
    GeneralAbility,
    LogprobModel,
    Message,
    ProbeAnswer,
    ProgressCallback,
    TextLoss,
    compute_fingerprint,
)

MAX_PROBE_TOKENS = 32
"""The token limit for the probe's completer: longer answers would only take more time."""


@dataclass(frozen=True, slots=True)
class ProbeItem:
    """One small task. `right` is an example of a correct answer, used only by tests."""

    id: str
    kind: str
    prompt: str
    rules: dict[str, Any]
    right: str


@lru_cache(maxsize=1)
def load_probe_items() -> tuple[ProbeItem, ...]:
    """All items. An id is the kind and the index within the kind, from 1."""
    items: list[ProbeItem] = []
    for line in _read_package_file("items.jsonl").splitlines():
        row = json.loads(line)
        # Numbered within its kind, so that a new item of one kind does not rename the others.
        place = sum(item.kind == row["kind"] for item in items) + 1
        items.append(ProbeItem(id=f"{row['kind']}-{place:02d}", **row))
    return tuple(items)


@lru_cache(maxsize=1)
def load_general_texts() -> tuple[str, ...]:
    """The paragraphs of general text."""
    return tuple(
        " ".join(paragraph.split())
        for paragraph in _read_package_file("general_text.txt").split("\n\n")
    )


def measure_general_ability(
    completer: Completer,
    likelihoods: LogprobModel | None = None,
    progress: ProgressCallback | None = None,
) -> GeneralAbility:
    """The model's general ability in its current state. `completer` should be limited to
    `MAX_PROBE_TOKENS` new tokens; without `likelihoods` the loss on text is not measured."""
    began = time.perf_counter()
    items = load_probe_items()
    completions = completer.complete([(Message("user", item.prompt),) for item in items], progress)
    answers = tuple(
        ProbeAnswer(
            item=item.id,
            kind=item.kind,
            text=completion.text,
            is_correct=None if completion.error is not None else is_right(item, completion.text),
        )
        for item, completion in zip(items, completions, strict=True)
    )
    texts = (
        _measure_text_losses(likelihoods, load_general_texts()) if likelihoods is not None else ()
    )
    return GeneralAbility(
        probe=compute_probe_fingerprint(),
        answers=answers,
        texts=texts,
        seconds=time.perf_counter() - began,
    )


def is_right(item: ProbeItem, text: str) -> bool:
    """Whether the answer satisfies the item's rules and does not just repeat the question, which
    satisfies many of them."""
    return follows_rules(text, item.rules) and normalize_words(text) != normalize_words(item.prompt)


def _measure_text_losses(likelihoods: LogprobModel, texts: Sequence[str]) -> tuple[TextLoss, ...]:
    # An empty prompt means plain text without a chat template.
    logprobs = likelihoods.compute_logprobs([()] * len(texts), texts)
    return tuple(TextLoss(nats=-one.logprob, tokens=one.tokens) for one in logprobs)


def compute_probe_fingerprint() -> str:
    """Fingerprint of all prompts, texts, and arguments of the rules."""
    return compute_fingerprint(
        [[[item.prompt, item.rules] for item in load_probe_items()], load_general_texts()]
    )


def _read_package_file(name: str) -> str:
    return (files("tunesmith.evaluation.forgetting") / name).read_text("utf-8").strip()
