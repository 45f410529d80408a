"""Every row is mapped by its own columns, and the shape is what most rows have."""

import json
from pathlib import Path
from typing import Any

import polars
import pytest

from tunesmith.data.read import LoadedDataset, read_dataset
from tunesmith.errors import DataError
from tunesmith.records import Problem

QA = {"prompt": "q", "completion": "a"}
CHAT = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
TOOL = {"type": "function", "function": {"name": "weather"}}


def load(folder: Path, rows: list[dict[str, Any]], **asked: Any) -> LoadedDataset:
    path = folder / "d.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_dataset(path, **asked)


def problem_of(loaded: LoadedDataset, code: str) -> Problem:
    return next(problem for problem in loaded.problems if problem.code == code)


def test_an_alpaca_input_first_seen_at_row_121_is_read(tmp_path: Path) -> None:
    rows = [{"instruction": "add", "output": "3"}] * 120 + [
        {"instruction": "add", "input": "1 + 2", "output": "3"}
    ]
    loaded = load(tmp_path, rows)
    assert [example.question for example in loaded.examples[119:]] == ["add", "add\n\n1 + 2"]
    assert not loaded.problems


def test_a_system_and_tools_first_seen_at_row_121_are_read(tmp_path: Path) -> None:
    last = load(tmp_path, [QA] * 120 + [{**QA, "system": "be kind", "tools": [TOOL]}]).examples[-1]
    assert (last.messages[0].role, last.messages[0].content, last.tools) == (
        "system",
        "be kind",
        (TOOL,),
    )


def test_a_mapped_column_and_a_group_first_seen_at_row_121_are_read(tmp_path: Path) -> None:
    rows = [QA] * 120 + [{**QA, "rules": "be kind", "customer": "x", "system": "hidden"}]
    loaded = load(tmp_path, rows, columns={"system": "rules"}, group="customer")
    assert (loaded.examples[-1].messages[0].content, loaded.examples[-1].group) == ("be kind", "x")
    assert "system (in 1 row)" in problem_of(loaded, "data/unused-columns").summary


def test_a_column_in_no_row_at_all_names_the_nearest_of_all_rows(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'(?s)data/unknown-column.*did you mean "customer"'):
        load(tmp_path, [QA] * 120 + [{**QA, "customer": "x"}], group="custmer")


def test_unused_columns_are_counted_over_all_rows(tmp_path: Path) -> None:
    loaded = load(tmp_path, [{**QA, "topic": "t"}] * 120 + [{**QA, "note": "n"}])
    note = problem_of(loaded, "data/unused-columns")
    assert (note.severity, note.count) == ("warning", 2)
    assert "topic (in 120 rows), note (in 1 row)" in note.summary


@pytest.mark.parametrize("odd_row", [0, 5, 12])
def test_one_odd_row_does_not_change_the_shape_of_all(tmp_path: Path, odd_row: int) -> None:
    rows = [QA] * 12
    loaded = load(tmp_path, [*rows[:odd_row], CHAT, *rows[odd_row:]])
    assert (loaded.dataset.format, len(loaded.examples)) == ("prompt-completion", 12)
    missing = problem_of(loaded, "data/missing-column")
    assert (missing.severity, missing.lines) == ("error", (odd_row + 1,))


def test_a_row_that_has_both_shapes_is_read_like_the_others(tmp_path: Path) -> None:
    loaded = load(tmp_path, [*[QA] * 12, {**QA, **CHAT}])
    assert (loaded.dataset.format, len(loaded.examples)) == ("prompt-completion", 13)


def test_a_text_beside_prompt_and_completion_does_not_win_by_a_row_without_completion(
    tmp_path: Path,
) -> None:
    loaded = load(tmp_path, [{**QA, "text": "t"}] * 12 + [{"prompt": "q", "text": "t"}])
    assert loaded.dataset.format == "prompt-completion"
    assert problem_of(loaded, "data/missing-column").lines == (13,)


def test_of_equally_many_the_documented_order_decides(tmp_path: Path) -> None:
    assert load(tmp_path, [QA, CHAT]).dataset.format == "messages"
    assert load(tmp_path, [CHAT, QA]).dataset.format == "messages"


def test_a_mapping_decides_even_where_most_rows_have_another_shape(tmp_path: Path) -> None:
    loaded = load(
        tmp_path, [CHAT] * 5 + [{"q": "q", "a": "a"}], columns={"prompt": "q", "completion": "a"}
    )
    assert (loaded.dataset.format, len(loaded.examples)) == ("prompt-completion", 1)


def test_a_column_of_a_table_that_is_almost_always_empty_does_not_decide(tmp_path: Path) -> None:
    """In a table every row has every column: `datasets` fills the absent ones with nulls."""
    polars.DataFrame([*[QA] * 12, CHAT]).write_parquet(tmp_path / "d.parquet")
    loaded = read_dataset(tmp_path / "d.parquet")
    assert loaded.dataset.format == "prompt-completion"
    assert [example.answer for example in loaded.examples[:12]] == ["a"] * 12
