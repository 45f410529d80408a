"""Every shape becomes the same kind of example."""

import json
from pathlib import Path
from typing import Any

import polars
import pytest

from tunesmith.data.read import LoadedDataset, read_dataset
from tunesmith.errors import DataError
from tunesmith.records import Message

CALL = {
    "id": "c1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city": "Bonn"}'},
}
CALL_READ = {**CALL, "function": {"name": "weather", "arguments": {"city": "Bonn"}}}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


def load(folder: Path, *rows: dict[str, Any], **asked: Any) -> LoadedDataset:
    path = folder / "d.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_dataset(path, **asked)


@pytest.mark.parametrize(
    ("row", "shape", "turns"),
    [
        ({"prompt": "q", "completion": "a"}, "prompt-completion", ["user: q", "assistant: a"]),
        (
            {
                "prompt": [{"role": "user", "content": "q"}],
                "completion": [{"role": "assistant", "content": "a"}],
            },
            "prompt-completion",
            ["user: q", "assistant: a"],
        ),
        (
            {"instruction": "do", "input": "this", "output": "a"},
            "alpaca",
            ["user: do\n\nthis", "assistant: a"],
        ),
        ({"instruction": "do", "input": "", "output": "a"}, "alpaca", ["user: do", "assistant: a"]),
        (
            {
                "system": "s",
                "conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}],
            },
            "sharegpt",
            ["system: s", "user: q", "assistant: a"],
        ),
        (
            {
                "messages": [
                    {"role": "developer", "content": "s"},
                    {"role": "user", "content": [{"text": "q"}]},
                ]
            },
            "messages",
            ["system: s", "user: q"],
        ),
    ],
)
def test_shapes_are_found_by_looking(
    tmp_path: Path, row: dict[str, Any], shape: str, turns: list[str]
) -> None:
    loaded = load(tmp_path, row)
    assert loaded.dataset.format == shape
    assert [
        f"{message.role}: {message.content}" for message in loaded.examples[0].messages
    ] == turns
    assert not loaded.problems


def test_text(tmp_path: Path) -> None:
    example = load(tmp_path, {"text": "once"}).examples[0]
    assert (example.text, example.messages) == ("once", ())


def test_messages_keep_tools_calls_names_and_weights(tmp_path: Path) -> None:
    messages = [
        {"role": "user", "content": "weather?", "name": "ann"},
        {"role": "assistant", "content": None, "tool_calls": [CALL], "weight": 0},
        {"role": "tool", "content": "sunny", "tool_call_id": "c1"},
        {"role": "assistant", "content": "Sunny.", "weight": 1},
    ]
    example = load(tmp_path, {"messages": messages, "tools": [TOOL]}).examples[0]
    assert example.messages == (
        Message("user", "weather?", name="ann"),
        Message("assistant", "", weight=0.0, tool_calls=(CALL_READ,)),
        Message("tool", "sunny", name="weather", tool_call_id="c1"),
        Message("assistant", "Sunny.", weight=1.0),
    )
    assert example.tools == (TOOL,)


def test_messages_from_parquet_have_no_keys_that_are_null(tmp_path: Path) -> None:
    """Structs of a column share their keys: a call without "id" would come back with id null."""
    calls = [{"function": {"name": "f"}, "id": "1"}, {"function": {"name": "g"}}]
    messages = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "a", "tool_calls": calls},
    ]
    polars.DataFrame([{"messages": messages}]).write_parquet(tmp_path / "d.parquet")
    example = read_dataset(tmp_path / "d.parquet").examples[0]
    assert example.messages[0] == Message("user", "q")
    assert [function["name"] for function in example.messages[1].called_functions] == ["f", "g"]


def test_messages_in_csv_are_json_text(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    polars.DataFrame([{"messages": json.dumps(messages)}]).write_csv(tmp_path / "d.csv")
    assert read_dataset(tmp_path / "d.csv").examples[0].messages == (
        Message("user", "q"),
        Message("assistant", "a"),
    )


@pytest.mark.parametrize("weight", [-1, 2, "1", "false"])
def test_a_weight_must_be_a_number_from_0_to_1_or_true_or_false(
    tmp_path: Path, weight: Any
) -> None:
    good = {"messages": [{"role": "assistant", "content": "a"}]}
    bad = {"messages": [{"role": "assistant", "content": "a", "weight": weight}]}
    assert [problem.code for problem in load(tmp_path, good, bad).problems] == ["data/wrong-type"]


USER, YES, NO = (
    {"role": r, "content": c} for r, c in [("user", "q"), ("assistant", "yes"), ("assistant", "no")]
)


@pytest.mark.parametrize(
    ("row", "shape"),
    [
        ({"prompt": "q", "chosen": "yes", "rejected": "no"}, "preference"),
        ({"prompt": [USER], "chosen": [YES], "rejected": [NO]}, "preference"),
        ({"chosen": [USER, YES], "rejected": [USER, NO]}, "preference"),
        ({"prompt": "q", "chosen": [USER, YES], "rejected": [USER, NO]}, "preference"),
        (
            {
                "input": {"messages": [USER]},
                "preferred_output": [YES],
                "non_preferred_output": [NO],
            },
            "preference-pair",
        ),
    ],
)
def test_preference_pairs(tmp_path: Path, row: dict[str, Any], shape: str) -> None:
    loaded = load(tmp_path, row)
    example = loaded.examples[0]
    assert loaded.dataset.format == shape
    assert example.messages == (Message("user", "q"), Message("assistant", "yes"))
    assert example.rejected == (Message("assistant", "no"),)


def test_columns_are_mapped_ours_to_theirs(tmp_path: Path) -> None:
    loaded = load(
        tmp_path,
        {"question": "q", "answer": "a", "prompt": "old"},
        columns={"prompt": "question", "completion": "answer"},
    )
    assert (loaded.examples[0].question, loaded.examples[0].answer) == ("q", "a")
    assert loaded.dataset.columns == {"prompt": "question", "completion": "answer"}


def test_a_mapping_goes_before_the_shapes_that_are_there_already(tmp_path: Path) -> None:
    row = {"messages": [{"role": "user", "content": "x"}], "q": "q", "a": "a"}
    assert (
        load(tmp_path, row, columns={"prompt": "q", "completion": "a"}).dataset.format
        == "prompt-completion"
    )


@pytest.mark.parametrize(
    ("columns", "code", "said"),
    [
        ({"prompt": "qestion"}, "data/unknown-column", 'did you mean "question"?'),
        ({"promt": "question"}, "data/unknown-column-name", 'did you mean "prompt"?'),
        ({"prompt": "question", "completion": "question"}, "data/column-used-twice", "map it once"),
    ],
)
def test_a_wrong_mapping_names_the_nearest(
    tmp_path: Path, columns: dict[str, str], code: str, said: str
) -> None:
    with pytest.raises(DataError) as caught:
        load(tmp_path, {"question": "q", "answer": "a"}, columns=columns)
    assert caught.value.code == code
    assert said in str(caught.value)


def test_an_unknown_group_column_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(DataError, match='did you mean "customer"'):
        load(tmp_path, {"prompt": "q", "completion": "a", "customer": "x"}, group="custmer")


def test_columns_that_are_not_used_are_named(tmp_path: Path) -> None:
    loaded = load(tmp_path, {"text": "q", "category": "a"})
    assert [(p.code, p.severity) for p in loaded.problems] == [
        ("data/unused-columns", "warning"),
        ("data/likely-answer", "error"),
    ]
    assert all("category" in problem.summary for problem in loaded.problems)
    loaded = load(tmp_path, {"prompt": "q", "completion": "a", "topic": "t"})
    assert [(p.code, p.severity) for p in loaded.problems] == [("data/unused-columns", "warning")]
    assert "topic" in loaded.problems[0].summary


def test_an_absent_answer_becomes_an_empty_one_for_the_check_to_find(tmp_path: Path) -> None:
    assert load(tmp_path, {"prompt": "q", "completion": None}).examples[0].answer == ""
