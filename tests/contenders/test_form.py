"""The form of train answers: which one, why, and that it shuts out no answer that it was made
from."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.contenders import schema_inference as schemas
from tunesmith.contenders.output_constraint import infer_output_constraint
from tunesmith.contenders.schema_inference import MAX_DEPTH, MAX_KEY_ORDERS, MAX_KEYS, infer_schema
from tunesmith.errors import DataError
from tunesmith.evaluation.scorers.scorer_registry import choose_scorer


def fits(value: Any, schema: dict[str, Any]) -> bool:
    """JSON Schema 2020-12 for what is inferred here; llguidance's reading of it stands in
    tests/parity."""
    if "anyOf" in schema:
        return any(fits(value, part) for part in schema["anyOf"])
    types: dict[str, Any] = {
        "object": dict,
        "array": list,
        "string": str,
        "integer": int,
        "number": (int, float),
        "boolean": bool,
        "null": type(None),
    }
    if not isinstance(value, types[schema["type"]]) or (
        isinstance(value, bool) and schema["type"] != "boolean"
    ):
        return False
    if isinstance(value, dict):
        rest, properties = schema["additionalProperties"], schema.get("properties", {})
        return set(schema.get("required", ())) <= value.keys() and all(
            (
                fits(part, properties[key])
                if key in properties
                else rest is not False and fits(part, rest)
            )
            for key, part in value.items()
        )
    if isinstance(value, list):
        is_long = schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value))
        return is_long and all(fits(item, schema["items"]) for item in value)
    return value in schema.get("enum", [value])


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
VALUES = st.recursive(
    LEAVES,
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.sampled_from("abcd"), parts),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=6))
def test_every_value_fits_the_schema_it_was_made_from(values: list[Any]) -> None:
    schema = infer_schema(values)
    assert schema is not None
    assert all(fits(value, schema) for value in values)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.permutations("abcd").map(tuple)
        | st.lists(st.sampled_from("abcd"), unique=True).map(tuple),
        min_size=1,
    )
)
def test_every_way_of_writing_keys_is_part_of_an_order(written: list[tuple[str, ...]]) -> None:
    orders, is_complete = schemas._find_key_orders(written)
    assert len(orders) <= MAX_KEY_ORDERS
    for keys in written if is_complete else []:
        assert any(
            required <= set(keys) and [key for key in order if key in keys] == list(keys)
            for order, required in orders
        )


def test_a_schema_says_what_the_values_say() -> None:
    values = [
        {"kind": "a", "n": 1, "tags": ["x"], "note": None, "part": {"ok": True}},
        {"kind": "b", "n": 2.5, "tags": ["y", "z"], "note": "free", "extra": 1},
    ] * 10
    assert infer_schema(values) == {
        "type": "object",
        "properties": {
            "kind": {"type": "string", "enum": ["a", "b"]},
            "n": {"type": "number"},
            "tags": {
                "type": "array",
                "items": {"type": "string", "enum": ["x", "y", "z"]},
                "minItems": 1,
            },
            "note": {"anyOf": [{"type": "string", "enum": ["free"]}, {"type": "null"}]},
            "extra": {"type": "integer"},
            "part": {
                "type": "object",
                "properties": {"ok": {"type": "boolean"}},
                "required": ["ok"],
                "additionalProperties": False,
            },
        },
        "required": ["kind", "n", "tags", "note"],
        "additionalProperties": False,
    }


def test_a_value_that_was_seen_rarely_leaves_the_text_free() -> None:
    assert infer_schema(["a"] * 10 + ["b"] * 10) == {"type": "string", "enum": ["a", "b"]}
    assert infer_schema(["a"] * 10 + ["b"] * 9) == {"type": "string"}


def test_keys_in_contradicting_orders_are_described_apart() -> None:
    schema = infer_schema(
        [{"first": "a", "last": "b"}] * 3 + [{"last": "b", "first": "a", "title": "c"}]
    )
    assert schema is not None
    assert [(list(part["properties"]), part["required"]) for part in schema["anyOf"]] == [
        (["first", "last"], ["first", "last"]),
        (["last", "first", "title"], ["last", "first", "title"]),
    ]


def test_with_too_many_orders_the_commonest_takes_all_keys() -> None:
    values = [dict.fromkeys(way, 1) for way in itertools.permutations("abcd")] + [{"e": 1}] * 2
    schema = infer_schema(values)
    assert schema is not None and len(schema["anyOf"]) == MAX_KEY_ORDERS
    assert (
        set(schema["anyOf"][0]["properties"]) == set("abcde")
        and schema["anyOf"][0]["required"] == []
    )
    assert all(fits(value, schema) for value in values)


def test_many_keys_are_data() -> None:
    values = [{f"k{number}": number} for number in range(MAX_KEYS + 1)]
    assert infer_schema(values) == {"type": "object", "additionalProperties": {"type": "integer"}}


def test_nesting_is_bounded() -> None:
    def nested(levels: int) -> Any:
        return [nested(levels - 1)] if levels > 1 else []

    assert infer_schema([nested(MAX_DEPTH)]) is not None
    assert infer_schema([nested(MAX_DEPTH + 1)]) is None


def test_many_different_key_sets_are_quick() -> None:
    """Bounded work: 4,000 ways of writing 200 keys."""
    values = [
        {f"k{key}": 1 for key in range(200) if (way * 7919 + key * key) % 3} for way in range(4000)
    ]
    schema = infer_schema(values)
    assert schema is not None and fits(values[17], schema)


def test_labels_are_the_commonest_spellings_the_commonest_first() -> None:
    form, why = infer_output_constraint(["No"] * 6 + ["yes", "Yes ", "yes"] + ["maybe"] * 3)
    assert form is not None and form.labels == ("No", "maybe", "yes")
    assert why == "The 12 training answers are 3 labels."


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        (["same"] * 9, "The 9 training answers are all the same: no constraint."),
        (
            ["a", "b", "c"],
            "The 3 training answers are neither a small label set nor all JSON: no constraint.",
        ),
        (
            ["yes", "no", ""] * 9,
            "The 27 training answers are neither a small label set nor all JSON: no constraint.",
        ),
        (["1", "2"] * 5, None),
        (['{"a":1}'] * 98 + ["n/a"] * 2, None),
        (
            ["[" * 17 + "]" * 17],
            "All 1 training answers are JSON, nested deeper than 16 levels: no constraint.",
        ),
        (
            ['{"a": 1, "a": 2}'],
            "The 1 training answers are neither a small label set nor all JSON: no constraint.",
        ),
        (
            ['{"a": NaN}'],
            "The 1 training answers are neither a small label set nor all JSON: no constraint.",
        ),
        (
            ["[" * 5000],
            "The 1 training answers are neither a small label set nor all JSON: no constraint.",
        ),
        (
            ["\ud800" * 3],
            "The 1 training answers are neither a small label set nor all JSON: no constraint.",
        ),
    ],
)
def test_answers_without_a_form_are_left_free(answers: list[str], why: str | None) -> None:
    form, told = infer_output_constraint(answers)
    if why is None:
        assert (
            form is not None and form.labels
        )  # numbers, and JSON with too many strays, are labels here
    else:
        assert (form, told) == (None, why)


def test_json_with_few_strays_has_the_form_of_the_others() -> None:
    form, why = infer_output_constraint(['{"a": 1}'] * 199 + ["n/a"])
    assert (
        form is not None and form.json_schema is not None and form.json_schema["required"] == ["a"]
    )
    assert why == "199 of 200 training answers are JSON with a common schema."


def test_a_schema_that_is_as_large_as_the_data_is_none() -> None:
    answers = [
        json.dumps({f"k{number % 190}": {f"x{number}{letter}": 1 for letter in "abcdefgh"}})
        for number in range(900)
    ]
    form, why = infer_output_constraint(answers)
    assert form is None and "too diverse for a schema" in why


def test_no_answers_are_an_error() -> None:
    with pytest.raises(DataError, match="no-answers"):
        infer_output_constraint([])


@pytest.mark.parametrize(
    ("answers", "scorer"),
    [
        (["yes", "no"] * 9, "label"),
        (['{"a": 1}', "[2]"], "json"),
        (["a long answer " * 20, "another " * 30], "rouge-l"),
    ],
)
def test_form_and_scorer_look_at_answers_alike(answers: list[str], scorer: str) -> None:
    form, _ = infer_output_constraint(answers)
    assert choose_scorer(answers)[0].name == scorer
    assert (bool(form and form.labels), bool(form and form.json_schema)) == (
        scorer == "label",
        scorer == "json",
    )
