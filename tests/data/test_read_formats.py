"""The same examples from every file format and folder layout."""

import json
from pathlib import Path

import polars
import pytest

from tunesmith.data.read import read_dataset
from tunesmith.errors import DataError

ROWS = [
    {"prompt": "Where is my card?", "completion": "card_arrival", "customer": "a"},
    {"prompt": 'He said "no", twice', "completion": "refusal", "customer": "b"},
    {"prompt": "two\nlines; ünïcode 🙂", "completion": "other", "customer": "a"},
]


def write_as(path: Path, rows: list[dict[str, str]] = ROWS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    frame = polars.DataFrame(rows)
    match path.suffix:
        case ".jsonl" | ".unknown":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        case ".json":
            path.write_text(json.dumps(rows, indent=1))
        case ".csv":
            frame.write_csv(path)
        case ".tsv":
            frame.write_csv(path, separator="\t")
        case ".parquet":
            frame.write_parquet(path)
        case ".feather":
            frame.write_ipc(path)
        case ".arrow":
            frame.write_ipc_stream(path)
    return path


@pytest.mark.parametrize(
    "name",
    ["d.jsonl", "d.unknown", "d.json", "d.csv", "d.tsv", "d.parquet", "d.feather", "d.arrow"],
)
def test_every_format_gives_the_same_examples(tmp_path: Path, name: str) -> None:
    loaded = read_dataset(write_as(tmp_path / name), group="customer")
    assert [(example.question, example.answer) for example in loaded.examples] == [
        (row["prompt"], row["completion"]) for row in ROWS
    ]
    is_table = name in ("d.csv", "d.tsv")  # whose third row spans two lines
    assert [example.line for example in loaded.examples] == ([2, 3, 4] if is_table else [1, 2, 3])
    assert [example.group for example in loaded.examples] == ["a", "b", "a"]
    assert loaded.dataset.format == "prompt-completion"
    assert not loaded.problems
    reference = read_dataset(write_as(tmp_path / "reference.jsonl"), group="customer")
    assert loaded.dataset.content == reference.dataset.content


def test_csv_rows_with_other_cell_counts_and_unclosed_quotes_are_problems(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text('prompt,completion\na,b\nc\nd,e,f\ng,h\ni,"never closed\nj,k\n')
    loaded = read_dataset(path)
    assert {(p.code, p.lines) for p in loaded.problems} == {
        ("data/cell-count", (3, 4)),
        ("data/unclosed-quote", (6,)),
    }
    assert [example.line for example in loaded.examples] == [2, 5]


def test_csv_cells_may_be_longer_than_the_modules_default_limit(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("prompt,completion\n" + "a" * 200_000 + ",b\n")
    assert len(read_dataset(path).examples[0].question) == 200_000


def test_csv_bytes_that_are_not_utf8_spoil_only_their_row(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_bytes(b"prompt,completion\na,b\ncaf\xe9,d\ne,f\n")
    loaded = read_dataset(path)
    assert [(p.code, p.lines) for p in loaded.problems] == [("data/broken-utf8", (3,))]
    assert len(loaded.examples) == 2


def test_a_datasets_folder_is_read_and_its_caches_are_not(tmp_path: Path) -> None:
    write_as(tmp_path / "data-00000-of-00002.arrow", ROWS[:2])
    write_as(tmp_path / "data-00001-of-00002.arrow", ROWS[2:])
    write_as(tmp_path / "cache-0123.arrow")
    (tmp_path / "state.json").write_text("{}")
    (tmp_path / "dataset_info.json").write_text("{}")
    loaded = read_dataset(tmp_path)
    assert len(loaded.examples) == 3
    assert [file.examples for file in loaded.dataset.files] == [2, 1]
    assert loaded.declared_splits is None


@pytest.mark.parametrize(
    "names",
    [
        [
            "train/data-00000-of-00001.arrow",
            "validation/data-00000-of-00001.arrow",
            "test/data-00000-of-00001.arrow",
        ],
        [
            "data/train-00000-of-00001.parquet",
            "data/validation-00000-of-00001.parquet",
            "data/test-0.parquet",
        ],
        ["train.jsonl", "dev.jsonl", "test.csv"],
    ],
)
def test_a_folder_with_named_splits_gives_the_sides(tmp_path: Path, names: list[str]) -> None:
    for name, row in zip(names, ROWS, strict=True):
        write_as(tmp_path / name, [row])
    loaded = read_dataset(tmp_path)
    side_of = dict(
        zip(
            [example.answer for example in loaded.examples],
            loaded.declared_splits or [],
            strict=True,
        )
    )
    assert side_of == {"card_arrival": "train", "refusal": "validation", "other": "test"}


def test_a_folder_where_only_some_files_name_their_split_is_refused(tmp_path: Path) -> None:
    write_as(tmp_path / "train.jsonl")
    write_as(tmp_path / "more.jsonl")
    with pytest.raises(DataError, match=r"(?s)data/unclear-split.*more\.jsonl"):
        read_dataset(tmp_path)


def test_a_folder_of_two_shapes_is_refused(tmp_path: Path) -> None:
    write_as(tmp_path / "a.jsonl")
    write_as(tmp_path / "b.jsonl", [{"text": "only text"}])
    with pytest.raises(DataError, match="data/mixed-shapes"):
        read_dataset(tmp_path)


def test_the_record_knows_the_file_and_its_content(tmp_path: Path) -> None:
    from tunesmith.atomic_io import compute_sha256

    path = write_as(tmp_path / "d.jsonl")
    file = read_dataset(path).dataset.files[0]
    assert (file.sha256, file.size_bytes, file.examples) == (
        compute_sha256(path),
        path.stat().st_size,
        3,
    )
