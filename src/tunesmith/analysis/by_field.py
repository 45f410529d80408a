"""Errors by field, for JSON answers: which field, and what is wrong with it.

| defect  | counted against                                             |
|---------|-------------------------------------------------------------|
| wrong   | references that have the field: another value was predicted |
| missing | references that have the field: none was predicted          |
| extra   | references that lack the field: one was predicted           |

A field's defect is compared with the same defect in all other fields. Fields inside lists have one
common name (`items[].x`). An answer that is not JSON has no fields: that is an error of form. An
example's loss is divided equally among its defects. I examples, F fields.
"""

import json
from collections import Counter, defaultdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunesmith.analysis.error_clusters import ErrorCluster
from tunesmith.analysis.rate_differences import compare_parts
from tunesmith.analysis.scored_examples import ScoredExample, ScoredExamples
from tunesmith.evaluation.scorers.json_fields import parse_answer

MAX_FIELDS = 200
"""The most frequent fields that are examined."""
Values = dict[str, Counter[str]]
BoolArray = NDArray[np.bool_]
Counts = NDArray[Any]


def group_by_field(cases: ScoredExamples) -> tuple[list[ErrorCluster], int]:
    """Every field with a defect, most errors first, and the number of (field, defect) pairs that
    were examined.
    """
    rows = [
        (case, _flatten_fields(case.expected), _flatten_fields(case.predicted))
        for case in cases.answered
    ]
    known = [
        (case, expected, predicted)
        for case, expected, predicted in rows
        if expected is not None and predicted is not None
    ]
    seen = Counter(field for _, expected, predicted in known for field in {**expected, **predicted})
    fields = [field for field, _ in seen.most_common(MAX_FIELDS)]
    if not fields:
        return [], 0
    wanted_IF = np.array([[field in expected for field in fields] for _, expected, _ in known])
    said_IF = np.array([[field in predicted for field in fields] for _, _, predicted in known])
    # Values are compared as multisets: the order of list items does not count.
    equal_IF = np.array(
        [[expected.get(f) == predicted.get(f) for f in fields] for _, expected, predicted in known]
    )
    defects = {
        "wrong": (wanted_IF & said_IF & ~equal_IF, wanted_IF),
        "missing": (wanted_IF & ~said_IF, wanted_IF),
        "extra": (~wanted_IF & said_IF, ~wanted_IF),
    }
    defects_I = sum(hits_IF.sum(axis=1) for hits_IF, _ in defects.values())
    parts = [
        case.loss / max(1, int(count)) for (case, _, _), count in zip(known, defects_I, strict=True)
    ]
    clusters = []
    for kind, (hits_IF, risk_IF) in defects.items():
        for column, field in enumerate(fields):
            hits_I = hits_IF[:, column]
            if not hits_I.any():
                continue
            contrast = compare_parts(
                *(counts.astype(float) for counts in _split_from_rest(hits_IF, risk_IF, column))
            )
            hits = tuple((known[i][0], parts[i]) for i in np.flatnonzero(hits_I))
            of = int(risk_IF[:, column].sum())
            clusters.append(
                ErrorCluster("field", f"{field}: {kind}", (field, kind), hits, of, contrast)
            )
    return sorted(clusters, key=lambda one: (-len(one.errors), one.name)), len(defects) * len(
        fields
    )


def _split_from_rest(
    hits_IF: BoolArray, risk_IF: BoolArray, column: int
) -> tuple[Counts, Counts, Counts, Counts]:
    """Per example: defects and opportunities of one field, then those of all others."""
    hits_I, risk_I = hits_IF[:, column], risk_IF[:, column]
    return hits_I, risk_I, hits_IF.sum(axis=1) - hits_I, risk_IF.sum(axis=1) - risk_I


def is_invalid_json(case: ScoredExample) -> bool:
    """Whether the reference is JSON and the answer is not."""
    return _flatten_fields(case.expected) is not None and _flatten_fields(case.predicted) is None


def _flatten_fields(text: str) -> Values | None:
    """The values of each field as text, with their counts; None if the text is not JSON."""
    try:
        value = parse_answer(text)
    # Deeply nested answers exceed Python's recursion limit in the JSON parser.
    except (ValueError, RecursionError):
        return None
    values: defaultdict[str, Counter[str]] = defaultdict(Counter)
    _collect_fields(value, "", values)
    return dict(values)


def _collect_fields(value: Any, path: str, values: defaultdict[str, Counter[str]]) -> None:
    if isinstance(value, dict) and value:
        for key, part in value.items():
            _collect_fields(part, f"{path}.{key}" if path else key, values)
    elif isinstance(value, list) and value:
        for part in value:
            _collect_fields(part, f"{path}[]", values)
    else:
        # 2.0 and 2 are the same JSON number.
        plain = int(value) if isinstance(value, float) and value.is_integer() else value
        values[path or "(the whole)"][json.dumps(plain, sort_keys=True)] += 1
