"""The constraint that an answer is JSON which fits a schema: which tokens may come next, by llguidance.

An answer made under it parses and fits, or it was cut at the token limit. Stop tokens are allowed exactly where the
JSON is complete. Spaces follow one rule for all models: between parts may stand nothing, one space, or a line end with
at most `MAX_INDENT` spaces; free spaces would let a weak model write them for ever. Properties come in the order of
the schema and characters are written as themselves rather than as \\u escapes, as llguidance has it: values are the
same.

Schemas are bounded, because they may come from a file: `MAX_SCHEMA_BYTES` of text, `MAX_SCHEMA_DEPTH` levels.

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

from tunesmith.errors import UsageError

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
    """A schema compiled against a tokenizer, for any number of answers. `tokenizer_path` is its tokenizer.json.

    Errors: `UsageError` when the schema is too large, too deep, contradicts itself, or says what llguidance does not
    know; or when it does not know the tokenizer.
    """

    def __init__(self, tokenizer_path: Path, schema: Mapping[str, Any], stop_ids: Iterable[int]) -> None:
        text = _serialize_schema(schema)
        try:
            tokenizer = LLTokenizer(tokenizer_path.read_text(encoding="utf-8"), eos_token=sorted(stop_ids))
        except ValueError as error:
            raise _build_unenforceable_error(f"a tokenizer that llguidance does not read: {str(error)[:200]}") from None
        self._matcher = LLMatcher(
            tokenizer, LLMatcher.grammar_from_json_schema(text, overrides=WHITESPACE_OPTIONS), log_level=0
        )
        self._matcher.compute_bitmask()  # a schema that nothing fits is found here
        _check_matcher(self._matcher)

    def build_constraint(self) -> "JsonConstraint":
        """For one answer; it remembers how far that is."""
        return JsonConstraint(self._matcher.deep_copy())


class JsonConstraint:
    """An `engine` constraint for one answer under way."""

    def __init__(self, matcher: LLMatcher) -> None:
        self._matcher = matcher
        self._consumed_tokens = 0

    def __call__(self, tokens: Sequence[int]) -> Tensor:
        """A mask over the tokenizer's ids: what may follow these tokens."""
        self._matcher.consume_tokens(list(tokens[self._consumed_tokens :]))
        self._consumed_tokens = len(tokens)
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        _check_matcher(self._matcher)
        return torch.from_numpy(np.unpackbits(bits, bitorder="little").view(np.bool_))


def _serialize_schema(schema: Mapping[str, Any]) -> str:
    """The schema as text. Errors: `UsageError` when it is too large or too deep to be compiled safely."""
    try:
        text = json.dumps(schema)
    except RecursionError:
        raise _build_unenforceable_error(f"more than {MAX_SCHEMA_DEPTH} levels") from None
    if len(text) > MAX_SCHEMA_BYTES:
        raise _build_unenforceable_error(f"{len(text):,} characters; at most {MAX_SCHEMA_BYTES:,} are taken")
    depth = 0
    level: list[Any] = [schema]
    while level:
        depth += 1
        parts = [part for node in level for part in (node.values() if isinstance(node, Mapping) else node)]
        level = [part for part in parts if isinstance(part, Mapping | list | tuple)]
    if depth > MAX_SCHEMA_DEPTH:
        raise _build_unenforceable_error(f"{depth:,} levels; at most {MAX_SCHEMA_DEPTH} are taken")
    return text


def _check_matcher(matcher: LLMatcher) -> None:
    if matcher.is_error():
        raise _build_unenforceable_error(" ".join(matcher.get_error().partition("\n<state>")[0].split())[:200])


def _build_unenforceable_error(found: str) -> UsageError:
    return UsageError(
        "form-not-enforced",
        "Answers cannot be held to this JSON schema.",
        found=found,
        do="give a smaller schema, or set evaluation.constrained to false",
    )
