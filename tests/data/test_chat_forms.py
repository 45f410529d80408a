"""Forms of one conversation are one example; what changes between two conversations changes what is
trained."""

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.chats.conversations import conversation, written_by_others
from tests.chats.templates import FAMILIES
from tunesmith.data.prepare import prepare_split
from tunesmith.data.read.data_formats import detect_format, read_example
from tunesmith.errors import DataError
from tunesmith.models.tokenizer import FolderTokenizer, load_tokenizer
from tunesmith.records import Example, TokenArrays

Chat = dict[str, Any]
texts = st.text(
    st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20
).filter(str.strip)


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, FolderTokenizer]:
    folder = tmp_path_factory.mktemp("families")
    return {name: load_tokenizer(family.write(folder / name)) for name, family in FAMILIES.items()}


def as_read(row: Chat) -> Example:
    rule = detect_format([row])
    assert rule is not None
    return read_example(rule, row, 1, None)


def tokens_of(example: Example, tokenizer: FolderTokenizer) -> TokenArrays | None:
    """None when it is refused."""
    try:
        return prepare_split("train", [example], tokenizer, 100_000)[1]
    except DataError:
        return None


@st.composite
def chats(draw: st.DrawFn) -> tuple[Chat, random.Random]:
    """A conversation with any texts, and what chooses the forms in which it is written."""
    chance = random.Random(draw(st.integers(0, 2**32)))
    return conversation(chance.choice, draw(st.lists(texts, min_size=3, max_size=6))), chance


@settings(max_examples=150, deadline=None)
@given(made=chats(), name=st.sampled_from(["qwen", "think", "xml", "deepseek"]))
def test_any_two_forms_of_a_conversation_have_one_id_and_the_same_tokens(
    tokenizers: dict[str, FolderTokenizer], made: tuple[Chat, random.Random], name: str
) -> None:
    chat, chance = made
    one, other = (as_read(written_by_others(chat, chance.choice)) for _ in range(2))
    assert one.id == other.id == as_read(chat).id
    first, second = tokens_of(one, tokenizers[name]), tokens_of(other, tokenizers[name])
    assert (first is None) == (second is None)
    if first is not None and second is not None:
        assert first.tokens_N.tolist() == second.tokens_N.tolist()
        assert first.weights_N.tolist() == second.weights_N.tolist()


@settings(max_examples=100, deadline=None)
@given(made=chats())
def test_the_order_of_keys_and_the_ids_of_calls_are_no_content(
    made: tuple[Chat, random.Random],
) -> None:
    chat, chance = made
    renamed = json.loads(json.dumps(chat).replace("1234567", "7654321"))
    assert as_read(written_by_others(renamed, chance.choice, reorders=True)).id == as_read(chat).id


@settings(max_examples=300, deadline=None)
@given(made=chats(), name=st.sampled_from(sorted(FAMILIES)))
def test_whatever_a_conversation_carries_changes_the_tokens_or_is_refused(
    tokenizers: dict[str, FolderTokenizer], made: tuple[Chat, random.Random], name: str
) -> None:
    chat, chance = made
    changed = copy.deepcopy(chat)
    holder, key = chance.choice(list(places_of(changed)))
    if isinstance(key, tuple):
        holder["zebra"] = holder.pop(key[0])
    else:
        holder[key] = 48151623 if isinstance(holder[key], (int, float)) else "zebra"
    before, after = (
        tokens_of(as_read(chat), tokenizers[name]),
        tokens_of(as_read(changed), tokenizers[name]),
    )
    if before is not None and after is not None:
        assert before.tokens_N.tolist() != after.tokens_N.tolist()


def places_of(chat: Chat) -> Iterator[tuple[Any, Any]]:
    """(holder, key) of everything that must be learned from; the key in a tuple where the key
    itself is one."""
    for tool in chat.get("tools", ()):
        yield tool["function"], "name"
    for message in chat["messages"]:
        yield from ((message, key) for key in ("content", "reasoning_content") if message.get(key))
        for call in message.get("tool_calls", ()):
            yield call["function"], "name"
            yield from arguments_of(call["function"]["arguments"])


def arguments_of(value: Any) -> Iterator[tuple[Any, Any]]:
    for key, child in [*value.items()] if isinstance(value, dict) else enumerate(value):
        if isinstance(value, dict):
            yield value, (key,)
        if isinstance(child, (dict, list)):
            yield from arguments_of(child)
        elif child != "" and child is not None and not isinstance(child, bool):
            yield value, key


def test_a_call_that_is_learned_is_written_as_json_whatever_form_the_template_takes(
    tokenizers: dict[str, FolderTokenizer], tmp_path: Path
) -> None:
    call = {"function": {"name": "f", "arguments": '{"town": "Zürich \\"old\\""}'}}
    row = {
        "tools": [{"name": "f"}],
        "messages": [
            {"role": "user", "content": "q"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
        ],
    }
    for name in ("qwen", "think", "llama", "deepseek"):
        arrays = tokens_of(as_read(row), tokenizers[name])
        assert arrays is not None
        trained = tokenizers[name].decode(arrays.tokens_N[arrays.weights_N > 0].tolist())
        assert '{"town": "Zürich \\"old\\""}' in trained
