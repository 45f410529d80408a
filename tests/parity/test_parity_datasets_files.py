"""The split words in the names of files and folders are those of Hugging Face `datasets`; so are
class names.

Where `datasets` puts a file into two splits we refuse; it is left out of the comparison. Capital
letters are ours.
"""

from pathlib import Path

import datasets
import pytest
from datasets.data_files import DataFilesDict, get_data_patterns
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tunesmith.data.read import read_dataset
from tunesmith.data.read.source_files import find_sources
from tunesmith.data.read.split_names import SPLIT_WORDS
from tunesmith.errors import DataError

ROW = '{"prompt": "a", "completion": "b"}\n'
PIECES = [
    *(word for words in SPLIT_WORDS.values() for word in words),
    "trains",
    "pretrain",
    "testset",
    "latest",
    "contest",
    "devil",
    "data",
    "towns",
    "evaluate",
    "value",
    "a",
    "7",
    "2024",
]
SEPARATORS = ["-", "_", ".", " ", "", "0"]
SIDES = {"train", "validation", "test"}


def splits_of_datasets(folder: Path, file: Path) -> set[str]:
    """The splits into which `datasets` puts this file by a word in its path; none when it finds no
    word."""
    patterns = get_data_patterns(str(folder))
    if patterns == {"train": ["**"]}:
        return set()
    found = DataFilesDict.from_patterns(patterns, base_path=str(folder))
    return {str(split) for split, paths in found.items() if str(file) in map(str, paths)}


def our_split(folder: Path) -> set[str]:
    (source,) = find_sources(folder).files
    return {source.split_name} if source.split_name else set()


def name_of(words: list[str], separators: list[str]) -> str:
    return (
        "".join(word + separator for word, separator in zip(words, separators, strict=False)).strip(
            " .-_"
        )
        or "x"
    )


NAMES = st.builds(
    name_of,
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=3),
    st.lists(st.sampled_from(SEPARATORS), min_size=3),
)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(name=NAMES, folder=st.none() | NAMES)
def test_a_split_word_is_found_where_datasets_finds_it(
    tmp_path_factory: pytest.TempPathFactory, name: str, folder: str | None
) -> None:
    place = tmp_path_factory.mktemp("d")
    file = (place / folder if folder else place) / f"{name}.jsonl"
    file.parent.mkdir(exist_ok=True)
    file.write_text(ROW)
    theirs = splits_of_datasets(place, file)
    if len(theirs) > 1:
        with pytest.raises(DataError, match="data/unclear-split"):
            find_sources(place)
    else:
        assert our_split(place) == theirs


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("towns_test.jsonl", "test"),
        ("towns-train.jsonl", "train"),
        ("2024train.jsonl", "train"),
        ("data.dev.jsonl", "validation"),
        ("my eval.jsonl", "test"),
        ("evaluation.jsonl", "test"),
        ("train-00000-of-00002.jsonl", "train"),
        ("valid/a.jsonl", "validation"),
        ("x/test-2/b.jsonl", "test"),
        ("train.jsonl/part-0.jsonl", "train"),
        ("contest.jsonl", None),
        ("latest_news.jsonl", None),
    ],
)
def test_names_that_people_give(tmp_path: Path, name: str, split: str | None) -> None:
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(ROW)
    expected = {split} if split else set()
    assert (splits_of_datasets(tmp_path, file), our_split(tmp_path)) == (expected, expected)


@pytest.mark.parametrize("saved", ["parquet", "save_to_disk", "dict"])
def test_class_labels_have_the_names_that_datasets_gives_them(tmp_path: Path, saved: str) -> None:
    features = datasets.Features(
        {
            "prompt": datasets.Value("string"),
            "completion": datasets.ClassLabel(names=["neg", "pos"]),
        }
    )
    rows = {"prompt": [f"q {i}" for i in range(6)], "completion": [0, 1, 1, 0, 1, 0]}
    data = datasets.Dataset.from_dict(rows, features=features)
    if saved == "parquet":
        data.to_parquet(tmp_path / "d.parquet")
    elif saved == "save_to_disk":
        data.save_to_disk(tmp_path / "d")
    else:
        datasets.DatasetDict({"train": data, "test": data}).save_to_disk(tmp_path / "d")
    loaded = read_dataset(tmp_path / "d.parquet" if saved == "parquet" else tmp_path / "d")
    names = [features["completion"].int2str(number) for number in rows["completion"]]
    assert [example.answer for example in loaded.examples] == names * (2 if saved == "dict" else 1)
    assert {problem.code for problem in loaded.problems} - {"data/other-files"} == {
        "data/class-names"
    }
    assert loaded.declared_splits == (["test"] * 6 + ["train"] * 6 if saved == "dict" else None)


def test_the_configs_of_a_readme_give_the_splits_that_datasets_reads(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path:"
        " first/*\n  - split: test\n    path: [second/a.jsonl]\n---\n# A dataset\n"
    )
    for name, rows in (("first/a.jsonl", 3), ("second/a.jsonl", 2), ("third/a.jsonl", 5)):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(
            "".join(f'{{"prompt": "{name} {i}", "completion": "b"}}\n' for i in range(rows))
        )
    loaded = read_dataset(tmp_path)
    assert loaded.declared_splits == ["train"] * 3 + ["test"] * 2
    ignored = {problem.code: problem.got for problem in loaded.problems}
    assert ignored["data/files-passed-over"] == "third/a.jsonl"
    theirs = datasets.load_dataset(str(tmp_path), cache_dir=str(tmp_path / ".cache"))
    assert {split: len(rows) for split, rows in theirs.items()} == {"train": 3, "test": 2}
