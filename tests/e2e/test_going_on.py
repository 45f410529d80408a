"""A run as the model of a new run: training goes on from its weights, and what comes out stands on
the same base."""

import json
from pathlib import Path

import pytest
from door import Door
from safetensors.torch import load_file

from tunesmith.records import Run
from tunesmith.runs.run_folder import RunFolder

ADAPTER = ("adapter_config.json", "adapter_model.safetensors")


def recipe_of(path: Path, data: Path) -> Path:
    path.write_text(f"data:\n  path: {data}\n")
    return path


@pytest.fixture(scope="module")
def first_run(
    labels_csv: Path, tmp_path_factory: pytest.TempPathFactory, settings: list[str]
) -> Path:
    from tunesmith.cli.main import run

    out = tmp_path_factory.mktemp("first")
    recipe = recipe_of(out / "recipe.yaml", labels_csv)
    assert run(["train", str(recipe), *settings, "--out", str(out / "runs")]) == 0
    (folder,) = (out / "runs").iterdir()
    return folder


@pytest.fixture
def recipe(fields_jsonl: Path, tmp_path: Path) -> Path:
    return recipe_of(tmp_path / "recipe.yaml", fields_jsonl)


def without_adapter(settings: list[str]) -> list[str]:
    pairs = zip(settings[::2], settings[1::2], strict=True)
    return [
        word
        for flag, value in pairs
        if not value.startswith(("adapter.", "model="))
        for word in (flag, value)
    ]


def test_a_run_goes_on_from_the_weights_of_a_run(
    tunesmith: Door,
    first_run: Path,
    recipe: Path,
    fields_jsonl: Path,
    tmp_path: Path,
    settings: list[str],
) -> None:
    short = without_adapter(settings)
    told = tunesmith(
        "train",
        recipe,
        *short,
        "--set",
        f"model={first_run}",
        "--out",
        tmp_path / "runs",
        "--set",
        "training.learning_rate=1e-12",
    )
    assert told.code == 0 and "continuing from" in told.out + told.err, told
    (second,) = (tmp_path / "runs").iterdir()
    before, after = (load_file(place / "adapter" / ADAPTER[1]) for place in (first_run, second))
    assert before.keys() == after.keys()
    assert all((before[name] - after[name]).abs().max() < 1e-6 for name in before), (
        "it began elsewhere"
    )
    config = json.loads((second / "adapter" / ADAPTER[0]).read_text())
    assert (
        config["base_model_name_or_path"]
        == json.loads((first_run / "adapter" / ADAPTER[0]).read_text())["base_model_name_or_path"]
    )
    run = RunFolder.open(second).read(Run)
    assert run.model.adapter == str(first_run / "adapter")
    assert (
        run.model.files[f"adapter/{ADAPTER[1]}"]
        == RunFolder.open(first_run).read(Run).adapter_files[ADAPTER[1]]
    )
    assert RunFolder.open(second).read_recipe().adapter.rank == 4
    assert tunesmith("chat", second, "--message", "1 a red boat").code == 0
    assert tunesmith("export", second, "--to", tmp_path / "merged").code == 0
    few = ("--set", "evaluation.max_test_examples=4")
    scored = tunesmith("evaluate", second, tmp_path / "merged", "--data", fields_jsonl, *few)
    assert scored.code == 0
    assert "was trained on" in scored.err


def test_another_adapter_than_the_runs_is_refused_with_what_to_set(
    tunesmith: Door, first_run: Path, recipe: Path, settings: list[str]
) -> None:
    short = without_adapter(settings)
    told = tunesmith(
        "train", recipe, *short, "--set", f"model={first_run}", "--set", "adapter.rank=8"
    )
    assert told.code == 2 and "adapter-goes-on" in told.err and "adapter.rank=4" in told.err


def test_a_mistyped_target_module_is_refused_before_anything_is_written(
    tunesmith: Door, recipe: Path, settings: list[str], tmp_path: Path
) -> None:
    options = (
        *settings,
        "--set",
        "adapter.target_modules=[q_proj, v_prj]",
        "--out",
        tmp_path / "r",
    )
    told = tunesmith("train", recipe, *options)
    assert told.code == 2 and "did you mean v_proj? this model has: q_proj" in told.err
    assert not (tmp_path / "r").exists()


def test_a_run_that_adapts_chosen_layers_is_estimated_trained_and_continued(
    tunesmith: Door, recipe: Path, settings: list[str], tmp_path: Path
) -> None:
    chosen = (*settings, "--set", "adapter.target_modules=[v_proj, q_proj]")
    assert tunesmith("estimate", recipe, *chosen).code == 0
    assert tunesmith("train", recipe, *chosen, "--out", tmp_path / "first").code == 0
    (first,) = (tmp_path / "first").iterdir()
    config = json.loads((first / "adapter" / ADAPTER[0]).read_text())
    assert config["target_modules"] == ["q_proj", "v_proj"]
    again = (*without_adapter(settings), "--set", f"model={first}", "--out", tmp_path / "second")
    assert tunesmith("train", recipe, *again).code == 0
    (second,) = (tmp_path / "second").iterdir()
    assert RunFolder.open(second).read_recipe().adapter.target_modules == ("q_proj", "v_proj")
    other = (*chosen, "--set", f"model={first}", "--set", "adapter.target_modules=[o_proj]")
    told = tunesmith("train", recipe, *other)
    assert told.code == 2 and "adapter.target_modules=[q_proj, v_proj]" in told.err


def test_full_fine_tuning_from_an_adapter_is_refused_with_what_to_do(
    tunesmith: Door, first_run: Path, recipe: Path, settings: list[str]
) -> None:
    short = without_adapter(settings)
    told = tunesmith(
        "train",
        recipe,
        *short,
        "--set",
        f"model={first_run}",
        "--set",
        "adapter.kind=full",
    )
    assert told.code == 2 and "tunesmith export" in told.err


@pytest.mark.parametrize("command", ["chat", "evaluate", "export", "train"])
def test_a_path_that_is_not_there_is_never_taken_for_a_hub_name(
    tunesmith: Door,
    recipe: Path,
    fields_jsonl: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    words = {
        "chat": ["chat", "./foo/bar", "--message", "hi"],
        "evaluate": ["evaluate", "./foo/bar", "--data", fields_jsonl],
        "export": ["export", "./foo/bar", "--to", "x"],
        "train": ["train", recipe, "--set", "model=./foo/bar"],
    }
    told = tunesmith(*words[command])
    assert told.code == 2 and "model/no-folder" in told.err and "no such folder" in told.err


def test_adafactor_and_checkpointing_of_a_recipe_are_estimated_and_trained_with(
    tunesmith: Door, recipe: Path, settings: list[str], tmp_path: Path
) -> None:
    keys = (
        "adapter.kind=full",
        "training.optimizer=adafactor",
        "training.gradient_checkpointing=on",
    )
    options = [*without_adapter(settings), *(part for key in keys for part in ("--set", key))]
    told = tunesmith("estimate", recipe, *options)
    assert told.code == 0 and "gradient checkpointing is on, as the recipe says" in told.out
    assert tunesmith("train", recipe, *options, "--out", tmp_path / "runs").code == 0
    (run,) = (tmp_path / "runs").iterdir()
    opened = RunFolder.open(run)
    assert opened.read_recipe().training.optimizer == "adafactor"
    result = opened.read(Run).result
    assert result is not None and result.plan.checkpointing
