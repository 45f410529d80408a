"""The example plugin through the program: its loss and its adapter train, its scorer scores, its
check checks."""

import json
from pathlib import Path

import pytest
from door import Door

from tunesmith.records import Evaluation, Run
from tunesmith.runs.run_folder import RunFolder

pytestmark = pytest.mark.usefixtures("example_plugin")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    questions = [
        f"{number} what colour is the {thing}"
        for number in range(12)
        for thing in ("apple", "boat")
    ]
    rows = [
        {"prompt": question, "chosen": "red", "rejected": "I do not know that"}
        for question in questions
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_loss_of_a_plugin_trains(
    tunesmith: Door, pairs: Path, settings: list[str], tmp_path: Path
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"method: hinge\ndpo: {{beta: 0.3}}\ndata: {{path: {pairs}}}\n")
    printed = tunesmith(
        "train", recipe, *settings, "--set", "training.epochs=4", "--out", tmp_path / "runs"
    )
    assert printed.code == 0, printed.err
    (folder,) = (tmp_path / "runs").iterdir()
    run = RunFolder.open(folder)
    looks = [line for line in run.read_metrics().records if line.kind == "validation"]
    assert looks[0].loss == pytest.approx(1.0, abs=1e-3)  # nobody is ahead yet
    assert looks[-1].loss < looks[0].loss and looks[-1].reward_accuracy == 1.0
    assert (run.read_recipe().method, run.read_recipe().dpo.beta) == ("hinge", 0.3)


def test_an_adapter_of_a_plugin_goes_all_the_way_and_a_scorer_of_one_judges_it(
    tunesmith: Door, fields_jsonl: Path, settings: list[str], tmp_path: Path
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"data: {{path: {fields_jsonl}}}\nadapter: {{kind: lora-fa}}\n")
    named = ["--set", "evaluation.scorer=word-overlap"]
    printed = tunesmith("train", recipe, "--out", tmp_path / "runs", *settings, *named)
    assert printed.code == 0, printed.err
    (folder,) = (tmp_path / "runs").iterdir()
    assert RunFolder.open(folder).read_recipe().adapter.kind == "lora-fa"
    assert tunesmith("chat", folder, "--message", "1 a red boat").code == 0
    asked = tunesmith("evaluate", folder, "--data", fields_jsonl, "--json")
    assert asked.code == 0, asked.err
    evaluation = Evaluation.model_validate(asked.document)
    assert (evaluation.scorer, evaluation.metric) == ("word-overlap", "word_overlap")
    exported = tunesmith("export", folder, "--to", tmp_path / "merged")
    assert exported.code == 0, exported.err
    copied = tunesmith("export", folder, "--to", tmp_path / "copied", "--format", "adapter")
    assert copied.code == 0, copied.err
    weights = "adapter_model.safetensors"
    assert (tmp_path / "copied" / weights).read_bytes() == (
        folder / "adapter" / weights
    ).read_bytes()


def test_a_kind_of_contender_a_provider_and_a_training_service_of_plugins_decide(
    tunesmith: Door,
    labels_csv: Path,
    settings: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The adapter of one run is what the training service of the other has ready."""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"data: {{path: {labels_csv}}}\n")
    trained = tunesmith("train", recipe, "--out", tmp_path / "trained", *settings)
    assert trained.code == 0, trained.err
    (first,) = (tmp_path / "trained").iterdir()
    monkeypatch.setenv("TUNESMITH_READY_ADAPTER", str(first / "adapter"))
    remote = '{name: parrot, model: any, base_url: "echo://localhost", usd_per_million_in: 0, '
    remote += "usd_per_million_out: 0}"
    chosen = ["--set", f"evaluation.remote=[{remote}]", "--set", "training.service=ready-made"]
    decided = tunesmith("decide", labels_csv, "--out", tmp_path / "runs", *settings, *chosen)
    assert decided.code == 0, decided.err
    (place,) = (tmp_path / "runs").iterdir()
    folder = RunFolder.open(place)
    run, evaluation = folder.read(Run), folder.read(Evaluation)
    assert run.training_job == str(first / "adapter")
    weights = "adapter/adapter_model.safetensors"
    assert (place / weights).read_bytes() == (first / weights).read_bytes()
    names = [one.name for one in evaluation.contenders]
    assert names[0] == "nearest" and {"tuned", "parrot+zero-shot"} <= {*names}
    assert evaluation.get_contender("nearest").traits.verdict == "rag"
    # the question names no color before the answer is held to one of them
    assert "red" not in {one.text for one in folder.read_answers("parrot+zero-shot").records}
    held = {one.text for one in folder.read_answers("parrot+zero-shot-constrained").records}
    assert held <= {"red", "green", "blue"}


def test_a_check_of_a_plugin_checks(tunesmith: Door, tmp_path: Path) -> None:
    rows = [
        {"prompt": f"question {n}", "completion": "LOUD WORDS" if n == 7 else f"answer {n}"}
        for n in range(240)
    ]
    path = tmp_path / "data.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    printed = tunesmith("check", path, "--json")
    assert printed.code == 0, printed.err
    assert ("data/shouting", [8]) in [
        (one["code"], one["lines"]) for one in printed.document["problems"]
    ]


def test_a_name_that_no_plugin_has_is_refused_as_a_wrong_value(
    tunesmith: Door, tmp_path: Path
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("method: hinj\nadapter: {kind: lora-fb}\ndata: {path: x.jsonl}\n")
    printed = tunesmith("train", recipe)
    assert printed.code == 2
    assert (
        "method: 'hinj'; give 'sft', 'dpo', 'orpo', 'simpo', 'kto', 'clipped' or 'hinge'"
        in printed.err
    )
    assert "adapter.kind: 'lora-fb'; give 'lora', 'full' or 'lora-fa'" in printed.err
