"""JSON: is the answer valid JSON, is it the same value, and how many of its fields are correct?

    field F1 = 2 * matching / (fields in the answer + fields in the reference)

A field is a (path, value) pair of the flattened value; pairs count as often as they occur. The
order of a list does not matter to F1 (it does to `json_exact`): scalars share the list's path, and
objects and lists inside a list are matched with those of the reference such that most fields are
correct (Kuhn 1955, the Hungarian method), so that a missing or extra one costs only its own fields.
If answer and reference are too large for that they keep their position. An empty object or list is
a value. 1 and 1.0 are the same number, 1 and true are different values.

An answer may stand in one Markdown code fence, alone or surrounded by text, as prompted models
write it: not in running text, and not in one of multiple fences. NaN, Infinity, duplicate keys, and
numbers or nesting beyond what Python parses are not valid JSON here, because two programs would
read them differently (RFC 8259, 4 and 6).

A reference that is not JSON ("n/a") is compared as a whole, and then even the same text is not
valid JSON. So one exceptional reference does not abort an evaluation; `harness.check_task` rejects
test examples in which there are more than a few.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NoReturn

from tunesmith.data.text_folding import normalize_answer
from tunesmith.evaluation.scorers.scorer_protocol import CorpusMetric

_FENCE = re.compile(r"```[a-zA-Z]*[^\S\n]*\n")
_INLINE_FENCE = re.compile(r"```(?:json)?[^\S\n]*([^`\n]+)```")
MAX_FIELD_PAIRS = 100_000
"""Limit on answer fields times reference fields up to which parts of lists are matched."""
_Field = tuple[tuple[str | int, ...], str]


class JsonScorer:
    """Validity, equality and field-level F1, which is the primary metric."""

    name = "json"
    metric = "field_f1"
    failure_text = "are not JSON"
    corpus_metrics: Mapping[str, CorpusMetric] = {}

    def can_parse(self, answer: str) -> bool:
        """Whether the answer contains a JSON value."""
        return is_json(answer)

    def score(self, answer: str, reference: str) -> dict[str, float]:
        """`field_f1` in [0, 1], `json_exact` and `json_valid`: 0 or 1."""
        try:
            value, expected, expected_fields = _parse_reference(reference)
        except (ValueError, RecursionError):
            same = float(normalize_answer(answer) == normalize_answer(reference))
            return {"field_f1": same, "json_exact": same, "json_valid": float(is_json(answer))}
        try:
            predicted = parse_answer(answer)
            fields = Counter(_flatten_fields(predicted))
            is_exact = format_canonical(predicted) == expected
            # Matching is cubic in the number of parts, and a hostile answer may have many.
            is_small = fields.total() * expected_fields.total() <= MAX_FIELD_PAIRS
            right = (
                _count_matching_fields(predicted, value)
                if is_small and not is_exact
                else (fields & expected_fields).total()
            )
        except (ValueError, RecursionError):
            return {"field_f1": 0.0, "json_exact": 0.0, "json_valid": 0.0}
        return {
            "field_f1": 2 * right / (fields.total() + expected_fields.total()),
            "json_exact": float(is_exact),
            "json_valid": 1.0,
        }


def parse_answer(text: str) -> Any:
    """The value of an answer: strict JSON, or the content of its only code block.

    With multiple blocks the answer has not committed to one, so it has no value; JSON in running
    text does not count either. Errors: ValueError.
    """
    if "```" not in text:
        return parse_json(text)
    blocks = list(_find_code_blocks(text))
    return parse_json(blocks[0] if len(blocks) == 1 else text)


def _find_code_blocks(text: str) -> Iterator[str]:
    """The content of every closed code block, and of an inline one if there is no other fence."""
    inside: list[str] | None = None
    for line in text.splitlines():
        bare = line.strip()
        if inside is None and bare.startswith("```") and "`" not in bare[3:]:
            inside = []
        elif inside is not None and bare == "```":
            yield "\n".join(inside)
            inside = None
        elif inside is not None:
            inside.append(line)
    in_line = _INLINE_FENCE.search(text)
    if in_line and text.count("```") == 2:
        yield in_line[1]


def parse_json(text: str) -> Any:
    """The value of strict JSON, possibly inside a code fence. Errors: ValueError."""
    bare = strip_fence(text)
    try:
        return json.loads(
            bare,
            object_pairs_hook=_build_unique_dict,
            parse_constant=_reject_constant,
            parse_float=_parse_finite,
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None


def strip_fence(text: str) -> str:
    """The content if the whole text is one Markdown code fence; else the text unchanged."""
    stripped = text.strip()
    opening = _FENCE.match(stripped)
    if opening is None or not stripped.endswith("```") or len(stripped) < opening.end() + 3:
        return text
    return stripped[opening.end() : -3]


def is_json(text: str) -> bool:
    """Whether the answer contains a JSON value."""
    try:
        parse_answer(text)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=4096)
def _parse_reference(text: str) -> tuple[Any, str, Counter[_Field]]:
    value = parse_json(text)
    return value, format_canonical(value), Counter(_flatten_fields(value))


def _build_unique_dict(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # The standard library keeps the last of duplicate keys; other parsers keep the first.
    result = dict(pairs)
    if len(result) < len(pairs):
        raise ValueError("duplicate key")
    return result


def _parse_finite(digits: str) -> float:
    number = float(digits)
    # "1e999" parses as infinity, which no JSON number can mean.
    return number if math.isfinite(number) else _reject_constant(digits)


def _reject_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _flatten_fields(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[_Field]:
    if isinstance(value, dict) and value:
        for key, part in value.items():
            yield from _flatten_fields(part, (*path, key))
    elif isinstance(value, list) and value:
        for position, part in enumerate(value):
            # Containers are distinguished by position; scalars of a list form a multiset.
            yield from _flatten_fields(
                part, (*path, position) if isinstance(part, dict | list) else (*path, "[]")
            )
    else:
        yield path, format_canonical(value)


def _count_matching_fields(predicted: Any, expected: Any) -> int:
    """Number of equal fields of two values, with the parts of lists matched optimally."""
    if isinstance(predicted, dict) and isinstance(expected, dict) and predicted and expected:
        return sum(
            _count_matching_fields(predicted[key], expected[key])
            for key in predicted.keys() & expected.keys()
        )
    if not (isinstance(predicted, list) and isinstance(expected, list) and predicted and expected):
        return int(format_canonical(predicted) == format_canonical(expected))
    found_plain, found_parts = _split_plain_values(predicted)
    wanted_plain, wanted_parts = _split_plain_values(expected)
    right = (found_plain & wanted_plain).total()
    pairs = [[_count_matching_fields(one, other) for other in wanted_parts] for one in found_parts]
    if not pairs or not pairs[0]:
        return right
    from scipy.optimize import linear_sum_assignment  # slow import; most answers have no lists

    rows, columns = linear_sum_assignment(pairs, maximize=True)
    matched: int = sum(pairs[row][column] for row, column in zip(rows, columns, strict=True))
    return right + matched


def _split_plain_values(values: list[Any]) -> tuple[Counter[str], list[Any]]:
    """(the scalars of a list, its objects and lists)."""
    parts = [value for value in values if isinstance(value, dict | list)]
    return (
        Counter(format_canonical(value) for value in values if not isinstance(value, dict | list)),
        parts,
    )


def format_canonical(value: Any) -> str:
    """A text that is equal if and only if two JSON values are equal."""
    return json.dumps(_normalize_numbers(value), sort_keys=True)


def _normalize_numbers(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():  # so that 1.0 equals 1
        return int(value)
    if isinstance(value, dict):
        return {key: _normalize_numbers(part) for key, part in value.items()}
    return [_normalize_numbers(part) for part in value] if isinstance(value, list) else value
