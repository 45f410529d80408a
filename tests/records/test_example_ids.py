"""The id of a plain example, made without the general way, is the id of the general way."""

import copy
import pickle
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tunesmith.data.normalization import build_prompt_key, normalize_text
from tunesmith.records import Example, Message
from tunesmith.records.example import compute_id_number, compute_plain_id, identify
from tunesmith.records.record import compute_fingerprint, dump_canonical_json

ROLES = st.sampled_from(["system", "user", "assistant"])
MESSAGES = st.lists(st.builds(Message, ROLES, st.text()), max_size=4).map(tuple)


@given(MESSAGES)
def test_ids_of_plain_examples_are_fingerprints_of_their_content(
    messages: tuple[Message, ...],
) -> None:
    content = [[[{"role": m.role, "content": m.content}, None] for m in messages], None, [], []]
    assert compute_plain_id(messages) == compute_fingerprint(content)[:16]
    assert Example(1, messages).id == compute_fingerprint(content)[:16]
    assert compute_id_number(Example(1, messages)) == int(compute_plain_id(messages), 16)


def test_what_is_more_than_plain_has_another_id() -> None:
    messages = (Message("user", "a"), Message("assistant", "b"))
    others = [
        Example(1, messages, rejected=(Message("assistant", "c"),)),
        Example(1, messages, tools=({"type": "function", "function": {"name": "f"}},)),
        Example(1, messages, is_desirable=True),
        Example(1, (messages[0], Message("assistant", "b", weight=0.0))),
        Example(1, (messages[0], Message("assistant", "b", reasoning="so"))),
        Example(1, text="a"),
    ]
    assert len({Example(1, messages).id, *(other.id for other in others)}) == 7
    assert [f"{compute_id_number(other):016x}" for other in others] == [one.id for one in others]


def test_ids_have_not_changed_since_they_are_stored_in_run_folders() -> None:
    messages = (
        Message("system", "Be brief."),
        Message("user", 'a "b"\n\u00e9\U0001f600'),
        Message("assistant", "c\t"),
    )
    assert Example(1, messages).id == "705050d47bc08f8a"


@given(MESSAGES)
def test_keys_of_plain_prompts_are_canonical_json(messages: tuple[Message, ...]) -> None:
    example = Example(1, (*messages, Message("assistant", "x")))
    if messages:
        assert build_prompt_key(example) == dump_canonical_json(
            [[m.role, normalize_text(m.content), []] for m in messages]
        )


def test_an_id_is_worked_out_when_it_is_asked_for_and_stays() -> None:
    example = Example(1, (Message("user", "q"), Message("assistant", "a")))
    expected = identify(example)
    assert copy.copy(example).id == pickle.loads(pickle.dumps(example)).id == expected
    assert replace(example, messages=(Message("user", "other"),)).id == expected
    assert example.with_system("be brief").id == expected
    assert example == replace(example)
    assert hash(example) == hash(replace(example))
    assert f"id={expected!r}" in repr(example)
    assert Example(1, text="t").id != expected


def test_an_example_has_no_other_attributes() -> None:
    assert not hasattr(Example(1, text="t"), "ids")
