"""What columns beside the examples say: splits, scores of pairs, earlier turns, words for
nothing."""

import json
from pathlib import Path
from typing import Any

import pytest

from tunesmith.data.check import check_examples
from tunesmith.data.read import LoadedDataset, read_dataset


def read(tmp_path: Path, rows: list[dict[str, Any]], **options: Any) -> LoadedDataset:
    path = tmp_path / "data.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return read_dataset(path, **options)


def codes(loaded: LoadedDataset) -> set[str]:
    return {problem.code for problem in loaded.problems}


def test_the_history_of_an_instruction_is_the_turns_before_it(tmp_path: Path) -> None:
    row = {
        "instruction": "And then?",
        "output": "home",
        "history": [["Where first?", "school"], ["Next?", "shop"]],
    }
    (example,) = read(tmp_path, [row]).examples
    said = [(message.role, message.content) for message in example.messages]
    assert said == [
        ("user", "Where first?"),
        ("assistant", "school"),
        ("user", "Next?"),
        ("assistant", "shop"),
        ("user", "And then?"),
        ("assistant", "home"),
    ]
    assert all(message.is_trained for message in example.messages if message.role == "assistant")


@pytest.mark.parametrize(
    "history", [[["only asked"]], [["asked", 3]], ["asked", "answered"], {"asked": "answered"}]
)
def test_a_history_of_another_form_is_an_error_of_its_row(tmp_path: Path, history: Any) -> None:
    good = {"instruction": "a", "output": "b", "history": []}
    loaded = read(tmp_path, [good, {**good, "history": history}])
    assert [(p.code, p.lines) for p in loaded.problems] == [("data/wrong-type", (2,))]


@pytest.mark.parametrize(
    ("name", "values", "is_split"),
    [
        ("split", ["train", "test"], True),
        ("Partition", ["train", "dev", "test"], True),
        ("split", ["train", "train"], False),
        ("split", ["wooden", "train"], False),
        ("set", ["red", "blue"], False),
        ("kind", ["train", "test"], False),  # a means of transport, and an exam
    ],
)
def test_a_column_that_names_splits_is_an_error(
    tmp_path: Path, name: str, values: list[str], is_split: bool
) -> None:
    rows = [{"prompt": f"q{i}", "completion": "a", name: value} for i, value in enumerate(values)]
    assert ("data/split-column" in codes(read(tmp_path, rows))) is is_split


def test_a_split_column_counts_where_the_columns_are_named_too(tmp_path: Path) -> None:
    rows = [
        {"question": f"q{i}", "answer": "a", "split": value}
        for i, value in enumerate(["train", "test"])
    ]
    loaded = read(tmp_path, rows, columns={"prompt": "question", "completion": "answer"})
    assert "data/split-column" in codes(loaded)


@pytest.mark.parametrize(
    ("chosen", "rejected"),
    [
        ("score_chosen", "score_rejected"),
        ("chosen_rating", "rejected_rating"),
        ("chosen-rating", "rejected-rating"),
        ("reward.chosen", "reward.rejected"),
    ],
)
def test_scores_are_held_against_what_is_chosen(tmp_path: Path, chosen: str, rejected: str) -> None:
    row = {"prompt": "q", "chosen": "good", "rejected": "bad"}
    scores: list[tuple[Any, Any]] = [(2, 1), (1.0, "2.5"), (3, 3), (None, 3), ("high", 3)]
    loaded = read(tmp_path, [row | {chosen: better, rejected: worse} for better, worse in scores])
    found = {problem.code: problem.lines for problem in loaded.problems}
    assert found["data/scores-disagree"] == (2,)
    assert found["data/scores-equal"] == (3,)
    assert len(loaded.examples) == 5


def test_two_kinds_of_scores_are_no_contradiction(tmp_path: Path) -> None:
    row = {"prompt": "q", "chosen": "good", "rejected": "bad"}
    lengths = {"chosen_tokens": 3, "rejected_tokens": 9}
    assert not codes(read(tmp_path, [row | lengths])) & {
        "data/scores-disagree",
        "data/scores-equal",
    }


def test_noinput_is_no_input_and_nan_is_named(tmp_path: Path) -> None:
    rows = [
        {"instruction": "a", "input": "<noinput>", "output": "b"},
        {"instruction": "c", "input": "nan", "output": "d"},
    ]
    loaded = read(tmp_path, rows)
    assert [example.messages[0].content for example in loaded.examples] == ["a", "c\n\nnan"]
    assert [(p.code, p.lines) for p in loaded.problems] == [("data/placeholder", (2,))]


def test_a_system_prompt_under_another_name_is_proposed(tmp_path: Path) -> None:
    rows = [{"system_prompt": "Be brief.", "prompt": "q", "completion": "a"}]
    (problem,) = [p for p in read(tmp_path, rows).problems if p.code == "data/likely-system"]
    assert "--columns system=system_prompt" in problem.summary
    mapped = read(tmp_path, rows, columns={"system": "system_prompt"})
    assert mapped.examples[0].messages[0].content == "Be brief."
    named = read(tmp_path, rows, columns={"prompt": "prompt", "completion": "completion"})
    assert codes(named) == {"data/unused-columns"}


def test_the_check_holds_the_data_against_the_method(tmp_path: Path) -> None:
    loaded = read(
        tmp_path, [{"prompt": f"q{i}", "completion": "a", "label": i > 0} for i in range(3)]
    )
    told = {
        method: [p for p in check_examples(loaded, method=method).problems if p.severity == "error"]
        for method in ("sft", "dpo", "kto")
    }
    assert {
        method: found[0].code for method, found in told.items() if found[0].code != "data/too-few"
    } == {
        "sft": "data/unwanted-answers",
        "dpo": "data/not-pairs",
    }
    assert told["sft"][0].lines == (1,)


def test_ratings_of_one_kind_teach_kto_nothing(tmp_path: Path) -> None:
    for rating, advice in ((True, "or set method=sft"), (False, "add desirable answers too")):
        loaded = read(
            tmp_path, [{"prompt": f"q{i}", "completion": "a", "label": rating} for i in range(12)]
        )
        (problem,) = [
            p for p in check_examples(loaded, method="kto").problems if p.severity == "error"
        ]
        assert problem.code == "data/one-sided-ratings"
        assert advice in problem.hint


def test_answers_preferred_both_ways_are_named(tmp_path: Path) -> None:
    pair = {"prompt": "q", "chosen": "x", "rejected": "y"}
    turned = {"prompt": "Q ", "chosen": "y", "rejected": " x"}
    others = [{"prompt": f"q{i}", "chosen": "y", "rejected": "x"} for i in range(10)]
    report = check_examples(read(tmp_path, [pair, *others, turned]))
    (problem,) = [p for p in report.problems if p.code == "data/opposite-preferences"]
    assert problem.lines == (1, 12)
    rated = [{"prompt": "q", "completion": "x", "label": label} for label in (True, False, True)]
    (problem,) = [
        p
        for p in check_examples(read(tmp_path, rated)).problems
        if p.code == "data/opposite-preferences"
    ]
    assert problem.lines == (1, 2, 3)


def labelled(tmp_path: Path, held_out: list[str]) -> LoadedDataset:
    (tmp_path / "given").mkdir()
    rows = [{"prompt": f"train {i}", "completion": ["good", "bad"][i % 2]} for i in range(24)]
    test = [{"prompt": f"test {i}", "completion": label} for i, label in enumerate(held_out)]
    for name, side in (("train", rows), ("test", test)):
        text = "".join(json.dumps(row) + "\n" for row in side)
        (tmp_path / "given" / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return read_dataset(tmp_path / "given")


@pytest.mark.parametrize(
    ("held_out", "severity"),
    [
        (["-1"] * 4, "error"),
        (["positive", "negative"], "error"),
        (["good", "bad", "ugly"], "warning"),
        (["good", " Bad", "<think>so</think>good"], None),
    ],
)
def test_labels_that_training_never_sees_are_named(
    tmp_path: Path, held_out: list[str], severity: str | None
) -> None:
    found = [
        p
        for p in check_examples(labelled(tmp_path, held_out)).problems
        if p.code == "data/unknown-label"
    ]
    assert [problem.severity for problem in found] == ([severity] if severity else [])


@pytest.mark.parametrize(
    ("name", "weights", "is_told"),
    [
        ("weight", [0, 1], True),
        ("sample_weight", ["0.5", "1.0"], True),
        ("train_on", [True, False], True),
        ("weight", [1, 1.0], False),
        ("weight", ["light", "heavy"], False),
        ("length", [0, 1], False),
    ],
)
def test_a_column_of_weights_that_differ_is_an_error(
    tmp_path: Path, name: str, weights: list[object], is_told: bool
) -> None:
    rows = [
        {"prompt": f"q{i}", "completion": "a", name: weight} for i, weight in enumerate(weights)
    ]
    assert ("data/weight-column" in codes(read(tmp_path, rows))) is is_told
