"""A folder of another evaluation tool: the task in it is read, or each file that is not is
named."""

import json
import shutil
from pathlib import Path

import pytest

from tunesmith.data.interop.dataset_loader import load_data, load_imported_task
from tunesmith.errors import DataError
from tunesmith.records import DataRecipe

FILES = Path(__file__).parent / "outside"
CONFIG = "prompts: ['{{q}}']\nproviders: [x]\ntests: rows.csv\n"
ROWS = "q,__expected\nwhere?,here\nwhen?,now\n"


def folder_of(tmp_path: Path, **files: str) -> Path:
    for name, text in files.items():
        (tmp_path / name.replace("__", ".")).write_text(text)
    return tmp_path


def test_a_folder_of_a_promptfoo_task_is_that_task(tmp_path: Path) -> None:
    loaded, task = load_imported_task(folder_of(tmp_path, config__yaml=CONFIG, rows__csv=ROWS))
    assert [example.answer for example in loaded.examples] == ["here", "now"]
    assert (task.format, loaded.dataset.files[0].path) == (
        "promptfoo",
        str(tmp_path / "config.yaml"),
    )
    assert "data/files-passed-over" not in {problem.code for problem in loaded.problems}


def test_files_that_the_task_does_not_name_are_named_as_not_read(tmp_path: Path) -> None:
    folder = folder_of(
        tmp_path, config__yaml=CONFIG, rows__csv=ROWS, other__txt="x", deploy__yaml="a: 1"
    )
    (problem,) = (
        p for p in load_data(folder, DataRecipe()).problems if p.code == "data/files-passed-over"
    )
    assert problem.got.endswith("deploy.yaml, other.txt") and problem.count == 2


@pytest.mark.parametrize("name", ["samples.jsonl", "log.json", "samples_sums_2026-01-01.jsonl"])
def test_a_folder_with_one_file_of_another_tool_is_read_as_that_file(
    tmp_path: Path, name: str
) -> None:
    shutil.copy(FILES / name, tmp_path / name)
    alone = load_data(FILES / name, DataRecipe())
    assert load_data(tmp_path, DataRecipe()).examples == alone.examples


def test_a_registry_is_the_task_and_its_samples_are_its_own(tmp_path: Path) -> None:
    registry = (
        "a: {id: a.v0}\na.v0:\n  class: basic.match:Match\n  args: {samples_jsonl: samples.jsonl}\n"
    )
    shutil.copy(FILES / "samples.jsonl", tmp_path / "samples.jsonl")
    _, task = load_imported_task(folder_of(tmp_path, evals__yaml=registry))
    assert (task.format, len(task.examples)) == ("openai-evals", 2)


def test_several_tasks_are_refused_with_their_names(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, a__yaml=CONFIG, b__yaml=CONFIG, rows__csv=ROWS)
    with pytest.raises(DataError) as caught:
        load_data(folder, DataRecipe())
    assert (caught.value.code, caught.value.got) == ("data/several-tasks", "a.yaml, b.yaml")


def test_beside_data_of_our_own_a_task_is_a_file_that_is_not_read(tmp_path: Path) -> None:
    own = json.dumps({"prompt": "a", "completion": "b"}) + "\n"
    loaded = load_data(folder_of(tmp_path, config__yaml=CONFIG, own__jsonl=own), DataRecipe())
    (problem,) = (p for p in loaded.problems if p.code == "data/files-passed-over")
    assert problem.got.endswith("config.yaml") and len(loaded.examples) == 1


def test_where_the_data_beside_it_cannot_be_read_the_task_is_offered(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, config__yaml=CONFIG, rows__csv=ROWS, more__csv=ROWS)
    with pytest.raises(DataError) as caught:
        load_data(folder, DataRecipe())
    assert str(tmp_path / "config.yaml") in caught.value.hint
