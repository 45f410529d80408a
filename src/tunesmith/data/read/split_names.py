"""Recognize split names as Hugging Face `datasets` does: the same words in the same positions.

A word counts between separators (`-`, `_`, `.`, space, digits) or at an end of the name:
`towns_test.jsonl`, `2024-train`, `data.dev.csv`. Unlike there, case does not matter.
Source: `datasets.data_files`, SPLIT_KEYWORDS and NON_WORDS_CHARS (tests/parity compares with it).
"""

import re
from typing import Literal

SplitName = Literal["train", "validation", "test"]

SPLIT_WORDS: dict[SplitName, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "dev", "val"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_SEPARATORS = "-._ 0-9"
_PATTERNS: dict[SplitName, re.Pattern[str]] = {
    side: re.compile(rf"(?:(?<=[{_SEPARATORS}])|^)(?:{'|'.join(words)})(?=[{_SEPARATORS}]|$)")
    for side, words in SPLIT_WORDS.items()
}
_SHARD = re.compile(r"^(.+)-\d{5}-of-\d{5}(?=[-.])")


def find_split_names(name: str) -> set[SplitName]:
    """The splits whose words occur in a name: none, one, or several."""
    return {side for side, pattern in _PATTERNS.items() if pattern.search(name.lower())}


def strip_split_words(name: str) -> str:
    """The name without its split: `train_sft` -> `sft`, `main` -> `main`, `test-2024` -> ``."""
    lower = name.lower()
    without = lower
    for pattern in _PATTERNS.values():
        without = pattern.sub(" ", without)
    return (
        name
        if without == lower
        else " ".join(word for word in re.split(rf"[{_SEPARATORS}]+", without) if word)
    )


def get_shard_prefix(name: str) -> str | None:
    """The common prefix of a split's shards: `train_sft` of `train_sft-00000-of-00002.parquet`."""
    found = _SHARD.match(name)
    return found[1] if found else None
