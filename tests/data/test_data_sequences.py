"""Pairs and rated answers become the sequences that each method needs; other data is refused with
what was found."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tunesmith.data.check import check_examples
from tunesmith.data.prepare import compute_content_hash, format_mask, prepare_split, prove_mask
from tunesmith.data.read import LoadedDataset, read_dataset
from tunesmith.data.training_sequences import build_sequences
from tunesmith.errors import DataError
from tunesmith.records import Example, Message, Method, TokenArrays
from tunesmith.testing.fake_tokenizer import FakeTokenizer

TOKENIZER = FakeTokenizer()
PREFERENCES: tuple[Method, ...] = ("dpo", "orpo", "simpo")


def pair(number: int, *, earlier: bool = False) -> Example:
    turns = [Message("user", "hi"), Message("assistant", "hello there")] if earlier else []
    messages = (
        *turns,
        Message("user", f"question {number}"),
        Message("assistant", f"good {number}"),
    )
    return Example(number + 1, messages, rejected=(Message("assistant", f"bad {number}"),))


def rated(number: int, is_desirable: bool) -> Example:
    messages = Message("user", f"question {number}"), Message("assistant", f"answer {number}")
    return Example(number + 1, messages, is_desirable=is_desirable)


def single(number: int) -> Example:
    return Example(
        number + 1, (Message("user", f"question {number}"), Message("assistant", "answer"))
    )


def prepare(examples: list[Example], method: Method, **asked: Any) -> TokenArrays:
    return prepare_split(
        "train", examples, TOKENIZER, asked.pop("max_tokens", 10_000), method=method, **asked
    )[1]


def trained_text(arrays: TokenArrays, s: int) -> str:
    tokens_T, weights_T = arrays.get_sequence(s)
    return TOKENIZER.decode(
        [int(id_) for id_ in tokens_T[weights_T > 0] if id_ != TOKENIZER.end_of_turn_id]
    )


@pytest.mark.parametrize("method", PREFERENCES)
def test_a_pair_becomes_chosen_and_rejected_behind_one_prompt(method: Method) -> None:
    arrays = prepare([pair(0), pair(1)], method)
    assert (len(arrays), arrays.sequences_per_example, arrays.columns_E) == (2, 2, {})
    assert [trained_text(arrays, s) for s in range(4)] == ["good 0", "bad 0", "good 1", "bad 1"]
    for e in range(2):
        chosen, rejected = (arrays.get_sequence(s) for s in arrays.get_sequence_range(e))
        begin = int(np.argmax(chosen[1] > 0))
        assert begin == int(np.argmax(rejected[1] > 0)) > 0
        assert chosen[0][:begin].tolist() == rejected[0][:begin].tolist()


def test_preferences_train_the_last_turn_only_and_sft_all_of_the_chosen_ones() -> None:
    examples = [pair(0, earlier=True)]
    assert trained_text(prepare(examples, "dpo"), 0) == "good 0"
    assert trained_text(prepare(examples, "sft"), 0) == "hello theregood 0"
    assert len(prepare(examples, "sft")) == 1


def test_pairs_become_rated_answers_for_kto_the_wanted_ones_first() -> None:
    arrays = prepare([pair(0), pair(1), rated(2, True), rated(3, False)], "kto")
    said = [trained_text(arrays, s) for s in range(len(arrays))]
    assert said == ["good 0", "good 1", "answer 2", "bad 0", "bad 1", "answer 3"]
    assert (
        arrays.columns_E["is_desirable"].tolist() == [True] * 3 + [False] * 3
        and arrays.sequences_per_example == 1
    )


def test_a_changed_rating_changes_the_content() -> None:
    first, other = (
        prepare([rated(0, True), rated(1, is_wanted)], "kto") for is_wanted in (True, False)
    )
    assert compute_content_hash(first) != compute_content_hash(other)
    assert rated(0, True).id != rated(0, False).id != single(0).id


@pytest.mark.parametrize(
    ("method", "examples", "slug", "found"),
    [
        ("dpo", [pair(0), single(1)], "not-pairs", "1 pairs, 1 single answers"),
        ("simpo", [rated(0, True)], "not-pairs", "1 rated answers"),
        ("orpo", [Example(1, text="once")], "not-pairs", "1 single answers"),
        ("kto", [pair(0), single(1), single(2)], "not-rated", "1 pairs, 2 single answers"),
        ("sft", [rated(0, True), rated(1, False)], "unwanted-answers", "2 rated answers"),
    ],
)
def test_data_that_the_method_cannot_use_is_told_at_once(
    method: Method, examples: list[Example], slug: str, found: str
) -> None:
    with pytest.raises(DataError) as caught:
        build_sequences("train", examples, method)
    assert caught.value.code == f"data/{slug}" and caught.value.got == found
    assert (
        method in caught.value.what
        and "method=" in caught.value.hint
        and caught.value.at.startswith("train line")
    )


def test_wanted_answers_alone_can_be_imitated() -> None:
    assert trained_text(prepare([rated(0, True)], "sft"), 0) == "answer 0"


def test_the_proof_shows_both_answers_of_a_pair() -> None:
    examples = [pair(number) for number in range(4)]
    proof = prove_mask(prepare(examples, "dpo"), TOKENIZER, examples, count=2, method="dpo")
    text = format_mask(proof)
    assert len(proof.examples) == 4 and all(f"⟦{which} 1" in text for which in ("good", "bad"))


def test_a_rejected_answer_that_is_too_long_is_refused() -> None:
    long = Example(7, pair(0).messages, rejected=(Message("assistant", "no " * 300),))
    with pytest.raises(DataError) as caught:
        prepare([pair(0), long], "dpo", max_tokens=100)
    assert caught.value.code == "data/too-long" and "7" in caught.value.at


def test_a_pair_is_counted_once_when_both_of_its_answers_are_wrong() -> None:
    examples = [pair(0), pair(1)]
    arrays = prepare(examples, "dpo")
    arrays.weights_N[:] = 0
    with pytest.raises(DataError) as caught:
        prove_mask(arrays, TOKENIZER, examples, method="dpo")
    assert caught.value.what.startswith("2 of 2 examples") and caught.value.at == "lines 1, 2"


# -- reading
# --------------------------------------------------------------------------------------------------


def load(folder: Path, *rows: dict[str, Any]) -> LoadedDataset:
    path = folder / "d.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_dataset(path)


@pytest.mark.parametrize("label", [True, False])
def test_rated_answers(tmp_path: Path, label: bool) -> None:
    loaded = load(tmp_path, {"prompt": "q", "completion": "a", "label": label})
    assert loaded.dataset.format == "rated" and not loaded.problems
    assert loaded.examples[0].is_desirable is label and loaded.examples[0].answer == "a"


def test_rated_answers_in_csv(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("prompt,completion,label\nq,a,True\nq,b,false\n")
    assert [e.is_desirable for e in read_dataset(tmp_path / "d.csv").examples] == [True, False]


@pytest.mark.parametrize("label", [0, 1, "spam", None])
def test_a_label_that_is_no_rating_is_another_column(tmp_path: Path, label: Any) -> None:
    loaded = load(tmp_path, {"prompt": "q", "completion": "a", "label": label})
    assert loaded.dataset.format == "prompt-completion" and loaded.examples[0].is_desirable is None
    assert [problem.code for problem in loaded.problems] == ["data/unused-columns"]


def test_one_odd_rating_is_a_problem_with_its_line(tmp_path: Path) -> None:
    good = {"prompt": "q", "completion": "a", "label": True}
    loaded = load(tmp_path, good, good | {"prompt": "r"}, good | {"label": "maybe"})
    assert [(problem.code, problem.lines) for problem in loaded.problems] == [
        ("data/wrong-type", (3,))
    ]


def turns(*said: str) -> list[dict[str, str]]:
    return [
        {"role": "user" if k % 2 == 0 else "assistant", "content": text}
        for k, text in enumerate(said)
    ]


def test_turns_that_both_answers_share_are_the_prompt(tmp_path: Path) -> None:
    loaded = load(
        tmp_path, {"chosen": turns("q", "a", "r", "good"), "rejected": turns("q", "a", "r", "bad")}
    )
    (example,) = loaded.examples
    assert [m.content for m in example.prompt] == ["q", "a", "r"] and example.rejected == (
        Message("assistant", "bad"),
    )


def test_answers_of_several_turns_are_refused(tmp_path: Path) -> None:
    """The rejected answer would stand behind turns that were never part of its conversation."""
    sound = {"chosen": turns("q", "good"), "rejected": turns("q", "bad")}
    loaded = load(
        tmp_path, sound, {"chosen": turns("q", "a", "r", "good"), "rejected": turns("q", "bad")}
    )
    assert [(problem.code, problem.lines) for problem in loaded.problems] == [
        ("data/several-turns", (2,))
    ]


# -- checking
# --------------------------------------------------------------------------------------------------


def test_pairs_with_one_answer_are_told(tmp_path: Path) -> None:
    rows = [{"prompt": f"q {n}", "chosen": f"a {n}", "rejected": f"b {n}"} for n in range(3)]
    report = check_examples(
        load(tmp_path, *rows, {"prompt": "q", "chosen": "a", "rejected": " a "})
    )
    (problem,) = (problem for problem in report.problems if problem.code == "data/same-answers")
    assert (problem.severity, problem.lines) == ("error", (4,))


def test_one_question_with_two_ratings_is_no_contradiction(tmp_path: Path) -> None:
    rows = [
        {"prompt": "q", "completion": c, "label": label} for c, label in (("a", True), ("b", False))
    ]
    assert "data/different-answers" not in {
        problem.code for problem in check_examples(load(tmp_path, *rows)).problems
    }


def test_the_rejected_answer_is_measured_too(tmp_path: Path) -> None:
    rows = [
        {"prompt": "q", "chosen": "a", "rejected": "b"},
        {"prompt": "r", "chosen": "a", "rejected": "no " * 300},
    ]
    report = check_examples(load(tmp_path, *rows), None, TOKENIZER, 100)
    (problem,) = (problem for problem in report.problems if problem.code == "data/too-long")
    assert problem.lines == (2,)
