"""Bound how much text an untrusted tokenizer can produce, from its parts and before it is used.

A tokenizer file is a small program: normalizers and decoders that replace text, patterns that are
matched with backtracking. Twenty replacements that double a text grow it a million times, and
nested repetition in a pattern takes exponential time. The parts are few and known, so there is an
allow-list: each part has a bound on the number of characters it makes from one, the bounds
multiply, and a tokenizer over the limit is refused. Unknown parts are refused too.
"""

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from tunesmith.errors import ModelError

MAX_GROWTH = 1_000
"""Characters made from one. Sound tokenizers: at most 18 (compatibility forms) x 4 (bytes)."""
MAX_ADDED_CHARACTERS = 64
MAX_PATTERN_CHARACTERS = 10_000
MAX_WORD_CHARACTERS = 10_000
STEP_GROWTH = {
    **dict.fromkeys(("NFC", "NFD", "NFKC", "NFKD"), 18),
    **dict.fromkeys(("BertNormalizer", "Lowercase"), 3),
    **dict.fromkeys(("Strip", "StripAccents", "Nmt", "RobertaProcessing", "BertProcessing"), 1),
    **dict.fromkeys(
        ("Whitespace", "WhitespaceSplit", "BertPreTokenizer", "Punctuation", "Digits"), 1
    ),
    **dict.fromkeys(("CharDelimiterSplit", "UnicodeScripts", "FixedLength", "Metaspace"), 1),
    **dict.fromkeys(("ByteFallback", "Fuse", "WordPiece", "BPEDecoder", "CTC"), 1),
    "ByteLevel": 4,
}


def check_bounds(core: Tokenizer, path: Path) -> None:
    """Errors: `ModelError` for an unknown part, or when text can grow beyond `MAX_GROWTH`."""
    for kind in ("normalizer", "pre_tokenizer", "post_processor", "decoder"):
        part = getattr(core, kind)
        if part is None:
            continue
        # The Python objects hide most of their settings; their pickled state is the complete JSON.
        steps = list(_iterate_steps(json.loads(part.__getstate__())))
        growth = 1.0
        for step in steps:
            growth *= _bound_growth(step, path)
        if growth > MAX_GROWTH:
            raise _build_unbounded_error(
                path, f"its {kind} may expand one character to {growth:,.0f}"
            )
    if getattr(core.model, "dropout", None):
        raise _build_unbounded_error(
            path, "it drops merges at random, so the same text gets different tokens each time"
        )
    if getattr(core.model, "max_input_chars_per_word", 0) > MAX_WORD_CHARACTERS:
        raise _build_unbounded_error(path, "it matches words of unlimited length")


def _iterate_steps(part: dict[str, Any]) -> Iterator[dict[str, Any]]:
    inner = [
        part[key]
        for key in ("normalizers", "pretokenizers", "processors", "decoders")
        if key in part
    ]
    if part.get("type") != "Sequence":
        yield part
    for steps in inner:
        for step in steps:
            yield from _iterate_steps(step)


def _bound_growth(step: dict[str, Any], path: Path) -> float:
    kind = str(step.get("type"))
    if kind in STEP_GROWTH:
        return STEP_GROWTH[kind]
    if kind not in GROWTH_FUNCTIONS:
        raise _build_unbounded_error(path, f"it has a component of unknown type {kind[:40]!r}")
    return GROWTH_FUNCTIONS[kind](step, path)


def _bound_replacement(step: dict[str, Any], path: Path) -> float:
    pattern, content = step["pattern"], step["content"]
    if "String" in pattern:
        return max(1.0, len(content) / max(1, len(pattern["String"])))
    _check_pattern(pattern["Regex"], path)
    # A pattern may match the empty string at every character, so content is added to each.
    return 1.0 + len(content)


def _bound_split(step: dict[str, Any], path: Path) -> float:
    _check_pattern(step["pattern"].get("Regex", ""), path)
    return 1.0


def _bound_prefix(step: dict[str, Any], path: Path) -> float:
    if len(step["prepend"]) > MAX_ADDED_CHARACTERS:
        raise _build_unbounded_error(
            path, f"it prepends {len(step['prepend']):,} characters to each text"
        )
    return 1.0


def _bound_character_map(step: dict[str, Any], path: Path) -> float:
    """Growth of SentencePiece's table: 4 bytes trie size, the trie, NUL-terminated replacements."""
    raw = base64.b64decode(step["precompiled_charsmap"])
    texts = raw[4 + int.from_bytes(raw[:4], "little") :].split(b"\0")
    return float(max(1, *map(len, texts)))


def _bound_template(step: dict[str, Any], path: Path) -> float:
    if sum("Sequence" in piece for piece in step["single"]) > 1:
        raise _build_unbounded_error(path, "it writes a text more than once")
    return 1.0


GROWTH_FUNCTIONS: dict[str, Callable[[dict[str, Any], Path], float]] = {
    "Replace": _bound_replacement,
    "Split": _bound_split,
    "Prepend": _bound_prefix,
    "Precompiled": _bound_character_map,
    "TemplateProcessing": _bound_template,
}


def _check_pattern(pattern: str, path: Path) -> None:
    if len(pattern) > MAX_PATTERN_CHARACTERS:
        raise _build_unbounded_error(path, f"it has a pattern of {len(pattern):,} characters")
    if has_nested_repetition(pattern):
        raise _build_unbounded_error(
            path,
            f"it has a nested repetition in the pattern {pattern[:60]!r}, which can take "
            "exponential time",
        )


def has_nested_repetition(pattern: str) -> bool:
    """Whether a group with `*`, `+` or `{n,}` is itself repeated without bound, as in `(a+)+`."""
    open_groups = [
        False
    ]  # whether each open group holds an unbounded repetition; the pattern is the first
    i, before = 0, False
    while i < len(pattern):
        # `closed`: whether this character ends a group with an unbounded repetition; a repetition
        # directly after it (`before` in the next round) is the exponential case.
        character = pattern[i]
        closed = False
        if character == "\\":
            i += 1
        elif character == "[":
            i = _find_class_end(pattern, i)
        elif character == "(":
            open_groups.append(False)
        elif character == ")" and len(open_groups) > 1:
            closed = open_groups.pop()
            open_groups[-1] |= closed
        elif character in "*+" or (
            character == "{" and pattern[i:].partition("}")[0].endswith(",")
        ):
            if before:
                return True
            open_groups[-1] = True
        before = closed
        i += 1
    return False


def _find_class_end(pattern: str, begin: int) -> int:
    i = begin + 1
    # Oniguruma allows nested classes, and a `]` directly after `[` is an ordinary character.
    while i < len(pattern) and (pattern[i] != "]" or i == begin + 1):
        if pattern[i] == "[":
            i = _find_class_end(pattern, i)
        i += 2 if pattern[i : i + 1] == "\\" else 1
    return i


def _build_unbounded_error(path: Path, got: str) -> ModelError:
    return ModelError(
        "unbounded-tokenizer",
        "tokenizer has no bound on time or memory",
        at=str(path),
        got=got,
        hint="use the tokenizer published by the model's authors",
    )
