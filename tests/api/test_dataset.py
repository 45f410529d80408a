"""Rows in memory are the same data set as the same rows in a file, whichever library holds them."""

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import datasets
import numpy
import pandas
import polars
import pytest

from tunesmith.api.dataset import Dataset, locate_data
from tunesmith.data.read import read_dataset
from tunesmith.errors import DataError, UsageError

ROWS: list[dict[str, Any]] = [
    {"prompt": "2 + 2", "completion": "4", "topic": None},
    {"prompt": "the capital of Perú", "completion": "Lima", "topic": "places"},
    {"prompt": "5 - 3", "completion": "2", "topic": "numbers"},
]
CHATS = [
    {"messages": [{"role": "user", "content": f"{n}?"}, {"role": "assistant", "content": str(n)}]}
    for n in range(4)
]
MAKERS: dict[str, Callable[[list[dict[str, Any]]], Dataset]] = {
    "list": lambda rows: Dataset.from_list(rows),
    "pandas": lambda rows: Dataset.from_pandas(pandas.DataFrame(rows)),
    "polars": lambda rows: Dataset.from_polars(polars.DataFrame(rows)),
    "polars, lazy": lambda rows: Dataset.from_polars(polars.LazyFrame(rows)),
    "datasets": lambda rows: Dataset.from_hf(datasets.Dataset.from_list(rows)),
}


@pytest.mark.parametrize("library", MAKERS)
@pytest.mark.parametrize("rows", [ROWS, CHATS], ids=["columns", "messages"])
def test_rows_are_the_same_data_set_as_the_same_rows_in_a_file(
    library: str, rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    file = tmp_path / "data.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    written = read_dataset(file)
    made = MAKERS[library](rows)
    read = read_dataset(made.save())
    assert read.examples == written.examples
    assert read.dataset.content == written.dataset.content
    assert (read.dataset.name, len(made)) == ("data", len(rows))
    assert made.fingerprint == Dataset.from_list(rows).fingerprint


def test_the_order_of_columns_does_not_count_and_that_of_rows_does() -> None:
    turned = [dict(reversed(row.items())) for row in ROWS]
    assert Dataset.from_list(turned).fingerprint == Dataset.from_list(ROWS).fingerprint
    assert Dataset.from_list(ROWS[::-1]).fingerprint != Dataset.from_list(ROWS).fingerprint


def test_the_file_is_written_once_and_again_if_it_was_edited(home: Path) -> None:
    made = Dataset.from_list([{"prompt": "kept", "completion": "yes"}], "tickets")
    path = made.save()
    assert path == home / "datasets" / made.fingerprint[:16] / "tickets.jsonl"
    before = path.read_bytes(), path.stat().st_ino
    assert made.save() == path and (path.read_bytes(), path.stat().st_ino) == before
    path.write_text("edited")
    assert made.save().read_bytes() == before[0]


def test_rows_that_change_later_do_not_change_the_data_set() -> None:
    rows = [{"prompt": "a", "completion": "b"}]
    made = Dataset.from_list(rows)
    rows[0]["completion"] = "c"
    assert read_dataset(made.save()).examples[0].answer == "b"


def test_the_splits_of_a_dataset_dict_are_declared() -> None:
    rows = datasets.Dataset.from_list(CHATS)
    made = Dataset.from_hf(datasets.DatasetDict({"train": rows, "test": rows.select([0])}))
    loaded = read_dataset(made.save())
    assert len(made) == 5 and loaded.declared_splits == ["test", *["train"] * 4]


def test_class_labels_become_their_names() -> None:
    features = datasets.Features(
        {"prompt": datasets.Value("string"), "completion": datasets.ClassLabel(names=["no", "yes"])}
    )
    rows = [{"prompt": "a", "completion": 1}, {"prompt": "b", "completion": 0}]
    made = Dataset.from_hf(datasets.Dataset.from_list(rows, features=features))
    assert [one.answer for one in read_dataset(made.save()).examples] == ["yes", "no"]


def test_missing_values_of_pandas_are_missing_and_its_types_become_plain() -> None:
    frame = pandas.DataFrame(
        {
            "prompt": ["a", "b"],
            "completion": ["x", "y"],
            "when": [pandas.Timestamp("2026-11-30"), pandas.NaT],
            "number": [1.5, float("nan")],
            "flag": pandas.array([True, pandas.NA], dtype="boolean"),
        }
    )
    first, second = map(json.loads, Dataset.from_pandas(frame).save().read_text().splitlines())
    assert first["number"] == 1.5 and first["flag"] is True
    assert first["when"] == "2026-11-30 00:00:00"
    assert (second["when"], second["number"], second["flag"]) == (None, None, None)


def test_numbers_of_numpy_and_times_are_written() -> None:
    row = {"prompt": "a", "completion": "b", "n": numpy.int64(3), "at": datetime(2026, 11, 30)}
    [line] = Dataset.from_list([row]).save().read_text().splitlines()
    assert json.loads(line) == {
        "prompt": "a",
        "completion": "b",
        "n": 3,
        "at": "2026-11-30 00:00:00",
    }


def test_a_problem_names_the_row_by_its_number() -> None:
    loaded = read_dataset(Dataset.from_list([*ROWS, {"prompt": "5", "completion": 5.5}]).save())
    [problem] = [one for one in loaded.problems if one.code == "data/text-of-numbers"]
    assert problem.lines == (4,)


def test_not_a_number_in_a_list_is_reported_as_in_a_file() -> None:
    rows = [{"prompt": "a", "completion": "b"}, {"prompt": float("nan"), "completion": "c"}]
    loaded = read_dataset(Dataset.from_list(rows).save())
    assert [(one.code, one.lines) for one in loaded.problems] == [("data/not-a-number", (2,))]


def test_half_a_surrogate_pair_is_reported_as_in_a_file() -> None:
    rows = [{"prompt": "a", "completion": "b"}, {"prompt": "\ud800", "completion": "c"}]
    loaded = read_dataset(Dataset.from_list(rows).save())
    assert [(one.code, one.lines) for one in loaded.problems] == [("data/lone-surrogate", (2,))]


@pytest.mark.parametrize(
    ("make", "code", "place"),
    [
        (lambda: Dataset.from_list(["text"]), "data/row-not-a-mapping", "row 1"),  # type: ignore[list-item]
        (lambda: Dataset.from_list([{1: "a"}]), "data/column-name-not-text", "row 1"),  # type: ignore[dict-item]
        (lambda: Dataset.from_list([{"a": 1}, {"a": {1, 2}}]), "data/value-not-json", "row 2"),
        (
            lambda: Dataset.from_pandas(pandas.DataFrame([[1, 2]], columns=["a", "a"])),
            "data/same-column-name",
            "the table data",
        ),
    ],
)
def test_rows_that_cannot_be_stored_are_refused_by_place(
    make: Callable[[], Dataset], code: str, place: str
) -> None:
    with pytest.raises(DataError) as caught:
        make()
    assert caught.value.code == code and caught.value.at == place


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden"])
def test_a_name_that_no_file_can_have_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="name"):
        Dataset.from_list(ROWS, name)


def test_data_may_be_a_path_a_list_or_a_data_set(tmp_path: Path) -> None:
    made = Dataset.from_list(ROWS)
    assert locate_data("a.jsonl") == "a.jsonl" and locate_data(tmp_path) == str(tmp_path)
    assert locate_data(ROWS) == locate_data(made) == str(made.save())


@pytest.mark.parametrize(
    ("table", "advice"),
    [
        (pandas.DataFrame(ROWS), "Dataset.from_pandas"),
        (polars.DataFrame(ROWS), "Dataset.from_polars"),
        (datasets.Dataset.from_list(ROWS), "Dataset.from_hf"),
        (3, "a list of dictionaries"),
    ],
)
def test_a_table_given_as_it_is_names_the_way_to_read_it(table: Any, advice: str) -> None:
    with pytest.raises(UsageError, match=advice):
        locate_data(table)
