"""Where a quick way stands beside a general one, both say the same."""

import json
from array import array
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.data import text_folding
from tunesmith.data.check import minhash
from tunesmith.data.check.conflicting_answers import _has_one_right_answer
from tunesmith.data.check.context import is_question_and_answer
from tunesmith.data.check.control_tokens import BLOCK
from tunesmith.data.check.lengths import BATCH_SIZE, HEAD_CHARACTERS, share_lost
from tunesmith.data.check.missing_answers import (
    _has_answer,
    _has_empty_prompt,
    _has_empty_turn,
    _has_weight,
    _is_only_reasoning,
)
from tunesmith.data.check.role_order import _find_order_error
from tunesmith.data.normalization import build_prompt_key, hash_prompt, normalize_text
from tunesmith.data.read.dataset_reader import _compute_content_fingerprint
from tunesmith.data.read.jsonl_file import parse_json, parse_object, parse_texts
from tunesmith.data.read.row_errors import InvalidRow
from tunesmith.data.render import Renderer
from tunesmith.models.tokenizer import FolderTokenizer, load_tokenizer
from tunesmith.records import ROLES, Example, Message
from tunesmith.records.record import compute_fingerprint
from tunesmith.testing.tiny_model import write_tiny_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> FolderTokenizer:
    return load_tokenizer(
        write_tiny_tokenizer(tmp_path_factory.mktemp("tiny"), eos_token="<|im_end|>")
    )


TEXTS = st.text(st.sampled_from('ab:"\\ \t\n{}[]é\u2028\x00\x1f'), max_size=8)
VALUES = TEXTS | st.sampled_from(
    [1, 1.5, None, True, [], {}, ["x"], {"a": "b"}, 10**400, float("nan")]
)
SPACES = st.sampled_from(["", " ", "\t", "\n", "\u00a0"])


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    """An object as people and programs write it, its keys perhaps twice, perhaps broken or with
    more behind it."""
    is_ascii = draw(st.booleans())
    pairs = []
    for key in draw(st.lists(st.sampled_from(["a", "b", "a:", '"', "é", ""]), max_size=4)):
        parts = [json.dumps(part, ensure_ascii=is_ascii) for part in (key, draw(VALUES))]
        pairs.append(
            f"{draw(SPACES)}{parts[0]}{draw(SPACES)}:{draw(SPACES)}{parts[1]}{draw(SPACES)}"
        )
    end = draw(st.sampled_from(["", "", "", " ", "x", "}", "{}"]))
    return ("{" + ",".join(pairs) + "}" + end).encode("utf-8", "surrogatepass")


@given(lines())
def test_texts_read_quickly_are_those_of_the_general_way(raw: bytes) -> None:
    found = parse_texts(raw)
    if found is not None:
        assert found == parse_json(raw)
        assert list(found) == list(parse_json(raw))


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a": "x", "a": "y"}',
        b'{"a": "x", "a" : "y"}',
        b'{"a": "x", "b": "y: z", "a": "w"}',
        b'{"a": "x", "a": {}}',
        b'{"a": "\\ud800"}',
        b'{"a": "x\x00"}',
        b'{"a": NaN}',
        b'{"a": "\xff"}',
        b'{"a": "x"',
        b"[" * 10_000,
        b'{"a":' * 10_000,
    ],
)
def test_what_the_general_way_refuses_is_not_read_quickly(raw: bytes) -> None:
    assert parse_texts(raw) is None
    with pytest.raises(InvalidRow):
        parse_object(raw)


@pytest.mark.parametrize(
    "raw", [b'{"a": "x", "b": "y"}', b'{"a": "x: y", "b": "12:30"}', '{"é": "é"}'.encode(), b"{}"]
)
def test_plain_rows_are_read_quickly_also_with_colons_in_their_texts(raw: bytes) -> None:
    assert parse_texts(raw) == json.loads(raw)


MESSAGES = st.builds(
    Message,
    st.sampled_from(ROLES),
    st.sampled_from(
        [
            "",
            " ",
            "\u200b",
            "<think>x</think>",
            "<think>x</think>y",
            "x",
            "X",
            "y  z",
            "y z",
            '["user","x",[]]',
        ]
    ),
    st.sampled_from([None, None, None, 0.0, 1.0]),
    st.sampled_from([None, None, None, "n"]),
    st.sampled_from(
        [(), (), (), ({"type": "function", "function": {"name": "f", "arguments": {}}},)]
    ),
    st.none(),
    st.sampled_from([None, None, None, "thought"]),
)
EXAMPLES = st.builds(
    Example,
    st.just(1),
    st.lists(MESSAGES, min_size=1, max_size=4).map(tuple),
    rejected=st.sampled_from([(), (), (Message("assistant", "no"),)]),
    tools=st.sampled_from([(), (), ({"type": "function", "function": {"name": "f"}},)]),
    is_desirable=st.sampled_from([None, None, True]),
)


@given(EXAMPLES)
def test_no_check_of_unusual_examples_has_a_word_for_a_question_and_its_answer(
    example: Example,
) -> None:
    if is_question_and_answer(example):
        assert _has_answer(example)
        assert _has_weight(example)
        assert not _is_only_reasoning(example)
        assert not _has_empty_turn(example)
        assert _find_order_error(example.messages) is None
        assert not example.tools and not example.messages[-1].tool_calls
        assert not example.rejected
        assert example.is_desirable is None
        assert _has_one_right_answer(example)
        assert not _has_empty_prompt(example)


CONTENTS = st.sampled_from(
    ["why", "so", " x ", "é", "🙂 yes", "<|im_end|>", "\ue000", "\ue001", "a\u2028b", "\ud83d"]
)
QUESTIONS = st.builds(
    lambda asked, answer: Example(1, (Message("user", asked), Message("assistant", answer))),
    CONTENTS,
    CONTENTS,
)


@given(st.lists(QUESTIONS, min_size=1, max_size=4))
def test_the_bound_of_a_block_is_the_largest_bound_of_its_examples(
    tokenizer: FolderTokenizer, examples: list[Example]
) -> None:
    renderer = Renderer(tokenizer)
    found = renderer.bound_most_bytes(examples)
    bounds = [renderer.bound_bytes(example) for example in examples]
    if None in bounds:
        assert found is None
    else:
        assert found == max(bounds)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_the_fingerprint_of_ids_is_that_of_their_texts(count: int) -> None:
    ids = array("Q", [2**64 - 1, 0, 7, 2**63, 255][:count])
    texts = [f"{number:016x}" for number in ids]
    assert _compute_content_fingerprint(ids) == compute_fingerprint(texts)


def test_a_long_example_in_a_block_of_short_ones_is_reported(
    tokenizer: FolderTokenizer, tmp_path: Path
) -> None:
    from tunesmith.data.check import check_examples
    from tunesmith.data.read import read_dataset

    rows = [{"prompt": f"question {n}", "completion": "yes"} for n in range(BATCH_SIZE + 50)]
    for long in (3, BATCH_SIZE - 1, BATCH_SIZE + 7):
        rows[long]["prompt"] += " word" * 200
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = check_examples(read_dataset(path), None, tokenizer, 100)
    (problem,) = [one for one in report.problems if one.code == "data/too-long"]
    assert problem.lines == (4, BATCH_SIZE, BATCH_SIZE + 8)


def test_a_question_and_its_answer_are_not_unusual() -> None:
    assert is_question_and_answer(
        Example(1, (Message("user", "why"), Message("assistant", "so")), group="g")
    )


@given(EXAMPLES, EXAMPLES)
def test_prompts_have_one_hash_exactly_where_they_have_one_key(
    one: Example, other: Example
) -> None:
    assert (hash_prompt(one) == hash_prompt(other)) == (
        build_prompt_key(one) == build_prompt_key(other)
    )


@pytest.mark.parametrize("block", [16, 100, 1000])
def test_signatures_do_not_depend_on_the_size_of_blocks(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A text longer than two blocks is hashed in pieces."""
    texts = [
        "",
        "a",
        "some words",
        "long " * 3 + "text",
        "another one " * 40,
        "é" * 333,
        "x",
        "end " * 60,
    ]
    whole = minhash._compute_signatures(texts)
    monkeypatch.setattr(minhash, "BLOCK_CHARACTERS", block)
    assert (minhash._compute_signatures(texts) == whole).all()


def test_control_tokens_are_found_wherever_they_stand_in_a_block(tmp_path: Path) -> None:
    from tunesmith.data.check import check_examples
    from tunesmith.data.read import read_dataset

    spelled = [1, BLOCK, BLOCK + 1, 2 * BLOCK + 50]
    rows = [
        {
            "prompt": f"question {n}" + " <|im_start|>" * (n in spelled),
            "completion": f"answer {n} <|im_",
        }
        for n in range(1, 3 * BLOCK)
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (problem,) = [
        p for p in check_examples(read_dataset(path)).problems if p.code == "data/control-token"
    ]
    assert problem.lines == tuple(spelled)


@given(st.text(st.sampled_from("aB \t\n\u00a0\u2028"), max_size=60), st.integers(1, 9))
def test_a_long_text_is_normalised_piece_by_piece_to_the_same(text: str, piece: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_folding, "PIECE_CHARACTERS", piece)
        assert normalize_text(text) == " ".join(text.casefold().split())


@pytest.mark.parametrize(
    "words_of_question, words_of_answer", [(200, 60_000), (60_000, 200), (30_000, 30_000)]
)
def test_what_a_cut_loses_of_a_very_long_text_is_told_by_its_beginning(
    words_of_question: int,
    words_of_answer: int,
    tokenizer: FolderTokenizer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    turns = (
        Message("user", "ask me " * words_of_question),
        Message("assistant", "so be it " * words_of_answer),
    )
    rendered = Renderer(tokenizer).render(Example(1, turns))
    assert len(rendered.text) > HEAD_CHARACTERS
    by_beginning = share_lost(tokenizer, rendered, 1000)
    monkeypatch.setattr("tunesmith.data.check.lengths.HEAD_CHARACTERS", len(rendered.text))
    whole = share_lost(tokenizer, rendered, 1000)
    assert by_beginning == pytest.approx(whole, abs=0.001)


def test_a_very_long_text_of_few_tokens_is_counted_whole(
    tokenizer: FolderTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunesmith.data.check.lengths.HEAD_CHARACTERS", 8)
    monkeypatch.setattr("tunesmith.data.check.lengths.CHARACTERS_OF_A_TOKEN", 0)
    rendered = Renderer(tokenizer).render(
        Example(1, (Message("user", "a question"), Message("assistant", "yes")))
    )
    tokens = len(tokenizer.encode([rendered.text])[0].ids)
    assert share_lost(tokenizer, rendered, tokens) is None
    assert share_lost(tokenizer, rendered, tokens - 1) is not None
