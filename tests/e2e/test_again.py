"""What must hold when a run is used again: its recipe repeats it, its files are verified, its data
is known."""

import json
from pathlib import Path
from typing import Any

import pytest
from door import Door

from tunesmith.errors import GateFailed
from tunesmith.recipe.recipe_loader import load_recipe
from tunesmith.records import Run, Split
from tunesmith.runs.run_folder import RunFolder
from tunesmith.workflow.data_preparation import prepare_data


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def trained(
    fields_jsonl: Path, settings: list[str], tmp_path_factory: pytest.TempPathFactory
) -> RunFolder:
    from tunesmith.cli.main import run

    out = tmp_path_factory.mktemp("runs")
    recipe = out / "recipe.yaml"
    recipe.write_text(f"data: {{path: {fields_jsonl}}}\n")
    assert run(["train", str(recipe), "--out", str(out / "made"), *settings]) == 0
    (folder,) = (out / "made").iterdir()
    return RunFolder.open(folder)


def test_the_recipe_of_a_run_repeats_its_material(trained: RunFolder) -> None:
    again = prepare_data(load_recipe(trained.path / "recipe.yaml"))
    assert again.split == trained.read(Split)
    assert {name: one.content_sha256 for name, one in again.prepared.items()} == {
        name: one.content_sha256 for name, one in trained.read_prepared().items()
    }
    assert again.recipe == trained.read_recipe()


def test_a_longer_example_outside_train_does_not_stop_the_repetition(
    tmp_path: Path, settings: list[str], tiny_model: Path
) -> None:
    rows = [
        {"prompt": f"question {i} " + "and more " * (i % 30), "completion": "yes"}
        for i in range(60)
    ]
    data = write_rows(tmp_path / "d.jsonl", rows)
    first = prepare_data(load_recipe(None, [f"data.path={data}", f"model={tiny_model}"]))
    assert prepare_data(first.recipe).split == first.split


def test_a_changed_adapter_is_not_used(trained: RunFolder, tunesmith: Door) -> None:
    weights = trained.adapter / "adapter_model.safetensors"
    good = weights.read_bytes()
    weights.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    try:
        printed = tunesmith("chat", trained.path, "--message", "1 a red boat")
    finally:
        weights.write_bytes(good)
    assert printed.code == 2
    assert (
        "error[model/changed]" in printed.err and "adapter/adapter_model.safetensors" in printed.err
    )
    assert tunesmith("chat", trained.path, "--message", "1 a red boat").code == 0


def test_a_given_test_file_that_leaks_stops_the_run(tmp_path: Path, tiny_model: Path) -> None:
    rows = [
        {"prompt": f"question {i}", "completion": "yes", "customer": f"c{i % 20}"}
        for i in range(80)
    ]
    data, test = (
        write_rows(tmp_path / "train.jsonl", rows[:60]),
        write_rows(tmp_path / "test.jsonl", rows[60:65]),
    )
    changes = [
        f"data.path={data}",
        f"data.test_path={test}",
        "data.group_column=customer",
        f"model={tiny_model}",
    ]
    with pytest.raises(GateFailed, match="gate/leak") as caught:
        prepare_data(load_recipe(None, changes))
    assert f"group 5 ({test} lines 1, 2, 3 (2 more) like train {data} line" in str(caught.value)
    assert caught.value.exit_code == 1


def test_a_leak_that_is_allowed_by_name_is_told_and_marked(
    tmp_path: Path, tiny_model: Path
) -> None:
    rows = [{"prompt": f"question number {i * 7919}", "completion": "yes"} for i in range(40)]
    data, test = (
        write_rows(tmp_path / "train.jsonl", rows),
        write_rows(tmp_path / "test.jsonl", rows[:4]),
    )
    changes = [
        f"data.path={data}",
        f"data.test_path={test}",
        "data.system_prompt=Say yes.",
        f"model={tiny_model}",
    ]
    material = prepare_data(load_recipe(None, [*changes, "data.allow_contamination=[exact]"]))
    codes = {problem.code: problem.count for problem in material.check.problems}
    assert codes["data/test-leak"] == 4
    assert set(material.contamination.contaminated_test_ids) == {
        example.id for example in material.test
    }


def test_evaluate_asks_each_example_once_and_tells_what_was_trained_on(
    trained: RunFolder, fields_jsonl: Path, tmp_path: Path, tunesmith: Door
) -> None:
    twice = tmp_path / "twice.jsonl"
    twice.write_text(fields_jsonl.read_text() * 2)
    printed = tunesmith(
        "evaluate",
        trained.path,
        "--data",
        twice,
        "--set",
        "evaluation.max_test_examples=20",
        "--set",
        "evaluation.max_new_tokens=4",
    )
    assert printed.code == 0, printed.err
    assert "using 20 of 192 examples, exact duplicates once" in printed.err
    assert "was trained on" in printed.err


def test_a_training_has_no_verdict_to_make_again(trained: RunFolder, tunesmith: Door) -> None:
    refused = tunesmith("decide", trained.path, "--min-gain", "0.1")
    assert refused.code == 2 and "error[run/no-verdict]" in refused.err
    assert "run of tunesmith train has no verdict" in refused.err


def test_a_killed_run_is_called_killed(trained: RunFolder, tunesmith: Door) -> None:
    run = trained.read(Run)
    trained.write(run.model_copy(update={"status": "running"}))
    try:
        listed = {
            row["id"]: row["status"]
            for row in tunesmith("runs", "--all", "--json").document["runs"]
        }
    finally:
        trained.write(run)
    assert listed[trained.id] == "killed"
