"""Inferred schemas as llguidance reads them: it takes every value that a schema was made from, as
that was written."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tunesmith.contenders.schema_inference import MAX_KEY_ORDERS, infer_schema
from tunesmith.engine.generation.json_constraint import JsonGrammar
from tunesmith.models.tokenizer import load_tokenizer
from tunesmith.testing.tiny_model import write_tiny_tokenizer

WORDS = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=6)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | WORDS
)
VALUES = st.recursive(
    LEAVES,
    lambda parts: (
        st.lists(parts, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "c d", 'q"']), parts)
    ),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_tokenizer(tmp_path_factory.mktemp("tiny"), eos_token="<|im_end|>")


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(values=st.lists(VALUES, min_size=1, max_size=5))
def test_llguidance_takes_every_value(folder: Path, values: list[Any]) -> None:
    schema = infer_schema(values)
    assert schema is not None
    assume(json.dumps(schema).count('"properties"') <= MAX_KEY_ORDERS)
    grammar = JsonGrammar(folder / "tokenizer.json", schema, [1])
    tokenizer = load_tokenizer(folder)
    for value in values:
        text = json.dumps(value, ensure_ascii=False)
        ids = [*tokenizer.encode([text], [[(0, len(text))]])[0].ids, 1]
        constraint = grammar.build_constraint()
        assert all(bool(constraint(ids[:t])[ids[t]]) for t in range(len(ids))), (text, schema)
