"""Properties: the same rows written in any form are the same examples; what is not used is
named."""

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tunesmith.data.read import LoadedDataset, read_dataset

TEXTS = st.text(
    st.characters(codec="utf-8", exclude_characters="\0\r", exclude_categories=["Cs"]),
    min_size=1,
    max_size=20,
).filter(str.strip)
ROWS = st.lists(
    st.fixed_dictionaries({"prompt": TEXTS, "completion": TEXTS}), min_size=1, max_size=5
)
FOLDERS = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
Rows = list[dict[str, Any]]


def jsonl(rows: Rows) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def table(rows: Rows, separator: str = ",") -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(
        text, list(rows[0]), delimiter=separator, lineterminator="\r\n", quoting=csv.QUOTE_ALL
    )
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def parquet(rows: Rows) -> bytes:
    stream = io.BytesIO()
    polars.DataFrame(rows).write_parquet(stream)
    return stream.getvalue()


FORMS: dict[str, Callable[[Rows], bytes]] = {
    "d.jsonl": jsonl,
    "D.JSONL": jsonl,
    "lines.json": jsonl,
    "no-ending": jsonl,
    "d.ndjson": jsonl,
    "array.json": lambda rows: json.dumps(rows).encode(),
    "pretty.json": lambda rows: json.dumps(rows, indent=2).encode(),
    "pretty-lines.jsonl": (
        lambda rows: "\n".join(json.dumps(row, indent=2) for row in rows).encode()
    ),
    "inside.json": lambda rows: json.dumps({"version": "1", "data": rows}, indent=1).encode(),
    "d.csv": table,
    "semicolons.CSV": lambda rows: table(rows, ";"),
    "sep.csv": lambda rows: b"sep=;\r\n" + table(rows, ";"),
    "tabs.csv": lambda rows: table(rows, "\t"),
    "d.tsv": lambda rows: table(rows, "\t"),
    "d.jsonl.gz": lambda rows: gzip.compress(jsonl(rows)),
    "D.CSV.GZ": lambda rows: gzip.compress(table(rows)),
    "d.jsonl.zst": lambda rows: zstandard.compress(jsonl(rows)),
    "array.json.zst": lambda rows: zstandard.compress(json.dumps(rows).encode()),
    "two-frames.jsonl.zst": (
        lambda rows: zstandard.compress(jsonl(rows)[:7]) + zstandard.compress(jsonl(rows)[7:])
    ),
}


def said(loaded: LoadedDataset) -> list[tuple[str, str]]:
    return [(example.question, example.answer) for example in loaded.examples]


@FOLDERS
@given(rows=ROWS)
@pytest.mark.parametrize("name", list(FORMS))
def test_the_same_rows_are_the_same_examples_in_every_form(
    tmp_path: Path, name: str, rows: Rows
) -> None:
    (tmp_path / name).write_bytes(FORMS[name](rows))
    loaded = read_dataset(tmp_path / name)
    assert said(loaded) == [(row["prompt"], row["completion"]) for row in rows]
    assert {problem.code for problem in loaded.problems} <= {"data/rows-inside"}


@settings(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=ROWS)
def test_the_same_rows_are_the_same_examples_in_parquet(tmp_path: Path, rows: Rows) -> None:
    (tmp_path / "D.PARQUET").write_bytes(parquet(rows))
    assert said(read_dataset(tmp_path / "D.PARQUET")) == [
        (row["prompt"], row["completion"]) for row in rows
    ]


@FOLDERS
@given(
    train=ROWS,
    test=ROWS,
    words=st.sampled_from(
        [("train", "test"), ("training", "eval"), ("TRAIN", "Test"), ("a_train", "a.testing")]
    ),
    forms=st.tuples(
        *[st.sampled_from(["d.jsonl", "d.csv", "array.json", "d.jsonl.gz", "d.jsonl.zst"])] * 2
    ),
    are_folders=st.booleans(),
)
def test_a_folder_whose_names_say_the_split_is_read_whole(
    tmp_path_factory: pytest.TempPathFactory,
    train: Rows,
    test: Rows,
    words: tuple[str, str],
    forms: tuple[str, str],
    are_folders: bool,
) -> None:
    folder = tmp_path_factory.mktemp("d")
    for word, rows, form in zip(words, (train, test), forms, strict=True):
        path = folder / f"{word}{'/' if are_folders else '-'}{form.replace('array', 'd')}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(FORMS[form](rows))
    loaded = read_dataset(folder)
    by_side: dict[str, list[tuple[str, str]]] = {"train": [], "test": []}
    for pair, side in zip(said(loaded), loaded.declared_splits or [], strict=True):
        by_side[side].append(pair)
    assert by_side["train"] == [(row["prompt"], row["completion"]) for row in train]
    assert by_side["test"] == [(row["prompt"], row["completion"]) for row in test]


@FOLDERS
@given(
    names=st.sets(st.text("abcdefgxyz_", min_size=1, max_size=8), min_size=1, max_size=6),
    data=st.data(),
)
def test_every_column_that_is_not_used_is_named(
    tmp_path: Path, names: set[str], data: st.DataObject
) -> None:
    extra = sorted(names - {"prompt", "completion", "system", "tools", "functions", "label"})
    values = st.none() | st.text("ab", max_size=3) | st.integers() | st.booleans()
    rows = [
        {"prompt": f"q{i}", "completion": "a", **{name: data.draw(values) for name in extra}}
        for i in range(3)
    ]
    (tmp_path / "d.jsonl").write_bytes(jsonl(rows))
    problems = read_dataset(tmp_path / "d.jsonl").problems
    assert [(p.code, p.severity) for p in problems] == [("data/unused-columns", "warning")] * bool(
        extra
    )
    assert all(f"{name} (" in problem.summary for problem in problems for name in extra)


@given(number=st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**18), 10**18))
def test_a_number_as_text_is_that_number_again(number: float) -> None:
    from tunesmith.data.read.text_values import as_text

    text = as_text(number)
    assert text is not None and float(text) == float(number)
    assert not text.endswith(".0")
