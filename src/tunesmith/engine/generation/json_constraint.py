"""Constrained decoding: answers are JSON that fits a schema, enforced by llguidance.

An answer made under this constraint parses and fits the schema, unless it was cut at the token
limit. Stop tokens are allowed exactly where the JSON is complete. Whitespace follows one rule for
all models: between parts there may be nothing, one space, or a newline with at most `MAX_INDENT`
spaces, because unlimited whitespace would let a weak model write it forever. Properties come in the
order of the schema, and characters are written literally instead of as \\u escapes, as llguidance
does it: the values are the same.

Schemas are limited in size, because they may come from an untrusted file: `MAX_SCHEMA_BYTES` of
text, `MAX_SCHEMA_DEPTH` levels.

Source: https://github.com/guidance-ai/llguidance, docs/json_schema.md.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from llguidance import LLMatcher, LLTokenizer
from torch import Tensor

from tunesmith.errors import ConstraintNotEnforceable

if TYPE_CHECKING:
    from llguidance._lib import JsonCompileOptions

MAX_SCHEMA_BYTES = 256 * 1024
MAX_SCHEMA_DEPTH = 100
MAX_INDENT = 16
WHITESPACE_OPTIONS: "JsonCompileOptions" = {
    "whitespace_flexible": True,
    "whitespace_pattern": rf"( |\n {{0,{MAX_INDENT}}})?",
}


class JsonGrammar:
    """A schema compiled for the tokenizer of `tokenizer_path`, for any number of answers.

    Errors: `UsageError` when the schema is too large, too deep, contradictory or uses features that
    llguidance does not support; also when llguidance cannot read the tokenizer.
    """

    def __init__(
        self, tokenizer_path: Path, schema: Mapping[str, Any], stop_ids: Iterable[int]
    ) -> None:
        text = _serialize_schema(schema)
        try:
            tokenizer = LLTokenizer(
                tokenizer_path.read_text(encoding="utf-8"), eos_token=sorted(stop_ids)
            )
        except ValueError as error:
            raise _build_unenforceable_error(
                f"tokenizer not supported by llguidance: {str(error)[:200]}"
            ) from None
        self._matcher = LLMatcher(
            tokenizer,
            LLMatcher.grammar_from_json_schema(text, overrides=WHITESPACE_OPTIONS),
            log_level=0,
        )
        self._matcher.compute_bitmask()  # detects a schema that no value fits
        _check_matcher(self._matcher)

    def build_constraint(self) -> "JsonConstraint":
        """A fresh constraint for one answer; it keeps the state of that answer."""
        return JsonConstraint(self._matcher.deep_copy())


class JsonConstraint:
    """A `sampling.Constraint` for one answer in progress."""

    def __init__(self, matcher: LLMatcher) -> None:
        self._matcher = matcher
        self._consumed_tokens = 0

    def __call__(self, tokens: Sequence[int]) -> Tensor:
        """A bool mask over the tokenizer's ids: which may follow these tokens of the answer."""
        # The matcher is stateful, so only the tokens since the last call are consumed.
        self._matcher.consume_tokens(list(tokens[self._consumed_tokens :]))
        self._consumed_tokens = len(tokens)
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        _check_matcher(self._matcher)
        return torch.from_numpy(np.unpackbits(bits, bitorder="little").view(np.bool_))


def _serialize_schema(schema: Mapping[str, Any]) -> str:
    """The schema as JSON text.

    Errors: `UsageError` when it is too large or too deep to be compiled safely.
    """
    try:
        text = json.dumps(schema)
    except RecursionError:
        raise _build_unenforceable_error(f"more than {MAX_SCHEMA_DEPTH} levels") from None
    if len(text) > MAX_SCHEMA_BYTES:
        raise _build_unenforceable_error(
            f"{len(text):,} characters; at most {MAX_SCHEMA_BYTES:,} are supported"
        )
    # Level by level instead of recursively: a deep schema must not exhaust the stack of this check.
    depth = 0
    level: list[Any] = [schema]
    while level:
        depth += 1
        parts = [
            part
            for node in level
            for part in (node.values() if isinstance(node, Mapping) else node)
        ]
        level = [part for part in parts if isinstance(part, Mapping | list | tuple)]
    if depth > MAX_SCHEMA_DEPTH:
        raise _build_unenforceable_error(
            f"{depth:,} levels; at most {MAX_SCHEMA_DEPTH} are supported"
        )
    return text


def _check_matcher(matcher: LLMatcher) -> None:
    if matcher.is_error():
        raise _build_unenforceable_error(
            " ".join(matcher.get_error().partition("\n<state>")[0].split())[:200]
        )


def _build_unenforceable_error(got: str) -> ConstraintNotEnforceable:
    return ConstraintNotEnforceable(
        "form-not-enforced",
        "outputs cannot be constrained to this JSON schema",
        got=got,
        hint="use a smaller schema; or set evaluation.constrained to false",
    )
