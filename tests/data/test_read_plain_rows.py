"""The short way to read plain rows gives what the long way gives, and takes nothing else."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.data.read.data_formats import (
    FORMAT_RULES,
    find_converted_values,
    read_example,
    read_plain_example,
)
from tunesmith.data.read.message_keys import find_unused_keys
from tunesmith.data.read.row_errors import InvalidRow
from tunesmith.records import Message

RULE = next(rule for rule in FORMAT_RULES if rule.format == "prompt-completion")
VALUE = st.one_of(
    st.text(max_size=12),
    st.sampled_from([None, "", 3, True, [], '[{"role": "user", "content": "a"}]', " [ {", "[1]"]),
)
ROWS = st.dictionaries(
    st.sampled_from(["prompt", "completion", "system", "tools", "id"]), VALUE, max_size=4
)


@given(ROWS)
def test_the_short_way_is_the_long_way(values: dict[str, Any]) -> None:
    plain = read_plain_example(RULE, values, 7)
    if plain is None:
        return
    expected = read_example(RULE, values, 7, None)
    assert (plain, plain.id) == (expected, expected.id)
    assert not find_unused_keys(values, RULE.columns) and not list(
        find_converted_values(RULE, values)
    )
    assert set(values) == {"prompt", "completion"} and all(values.values())


def test_two_texts_take_the_short_way() -> None:
    plain = read_plain_example(RULE, {"completion": "b", "prompt": "a"}, 3)
    assert plain is not None and plain.line == 3
    assert plain.messages == (Message("user", "a"), Message("assistant", "b"))


@pytest.mark.parametrize(
    "shape", [rule.format for rule in FORMAT_RULES if rule.format != "prompt-completion"]
)
def test_other_shapes_take_the_long_way(shape: str) -> None:
    rule = next(rule for rule in FORMAT_RULES if rule.format == shape)
    assert read_plain_example(rule, {"prompt": "a", "completion": "b"}, 1) is None


def test_a_list_of_messages_as_text_takes_the_long_way() -> None:
    values = {"prompt": '[{"role": "user", "content": "a"}]', "completion": "b"}
    assert read_plain_example(RULE, values, 1) is None
    assert read_example(RULE, values, 1, None).messages[0] == Message("user", "a")
    with pytest.raises(InvalidRow):
        read_example(RULE, {"prompt": "a"}, 1, None)
