"""What is measured of a training before it begins."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tunesmith.engine.batching import iterate_batches
from tunesmith.engine.machine_measurement import TrainingProfile, profile_model, profile_slices
from tunesmith.engine.model_loading import load_model
from tunesmith.engine.prefix_forest import build_forest
from tunesmith.engine.training_step import TrainingStep
from tunesmith.errors import ModelError
from tunesmith.records import AdapterRecipe, EvaluationRecipe, Recipe, TokenArrays, TrainingRecipe

Task = Callable[..., TokenArrays]


def recipe(method: str = "sft") -> Recipe:
    return Recipe(
        method=method,
        adapter=AdapterRecipe(rank=4),
        evaluation=EvaluationRecipe(batch_size=2),
        training=TrainingRecipe(batch_size=4, epochs=1, learning_rate=1e-3, dtype="float32"),
    )


def rated(arrays: TokenArrays) -> TokenArrays:
    return replace(arrays, columns_E={"is_desirable": np.arange(len(arrays)) % 2 == 0})


def forest_tokens(arrays: TokenArrays, examples: list[int]) -> int:
    return len(
        build_forest([arrays.get_sequence(e)[0][:-1] for e in examples])
    )  # nobody needs what stands at the end


@pytest.mark.parametrize("measured_on", ["slices", "model"])
def test_tokens_are_those_that_are_computed(
    measured_on: str, tiny_folder: Path, task: Task
) -> None:
    train, validation = task(8), task(4, seed=1)
    found = measure(measured_on, tiny_folder, train, validation, recipe())
    steps = list(zip(range(2), iterate_batches(8, 4, seed=0), strict=False))
    assert found.tokens_per_step == pytest.approx(
        np.mean([forest_tokens(train, step) for _, step in steps]), rel=0.1
    )
    assert found.validation_tokens == forest_tokens(validation, [0, 1, 2, 3])
    assert found.reference_tokens == 0 and found.timed_prompts == 2 and found.base_bytes > 0
    assert (
        found.throughput.token_seconds > 0
        and found.throughput.prompt_seconds > 0
        and found.throughput.used_bytes > 0
    )


def measure(
    measured_on: str, folder: Path, train: TokenArrays, validation: TokenArrays, wanted: Recipe
) -> TrainingProfile:
    if measured_on == "slices":
        return profile_slices(str(folder), train, validation, wanted)
    return profile_model(load_model(folder, "float32"), train, validation, wanted)


def test_the_weights_need_not_be_there(tiny_folder: Path, tmp_path: Path, task: Task) -> None:
    shutil.copy(tiny_folder / "config.json", tmp_path)
    assert profile_slices(str(tmp_path), task(4), task(2), recipe()).throughput.token_seconds > 0


def test_a_model_that_cannot_be_cut_says_what_to_do(
    tiny_folder: Path, tmp_path: Path, task: Task
) -> None:
    config = json.loads((tiny_folder / "config.json").read_text()) | {"num_attention_heads": 5}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError) as caught:
        profile_slices(str(tmp_path), task(4), task(2), recipe())
    assert (
        caught.value.code == "model/no-slice" and caught.value.hint == "run estimate with --measure"
    )


def test_ktos_mismatched_answers_are_paid_for(
    tiny_folder: Path, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    sequence_logps = TrainingStep.compute_sequence_logps

    def counted(self: TrainingStep, arrays: TokenArrays, examples: list[int]) -> object:
        asked.append(self.loaded.model.training)
        return sequence_logps(self, arrays, examples)

    monkeypatch.setattr(TrainingStep, "compute_sequence_logps", counted)
    train = rated(task(8))
    found = profile_model(load_model(tiny_folder, "float32"), train, rated(task(4)), recipe("kto"))
    assert any(asked), "a step of KTO reads the mismatched answers"
    once = sum(
        forest_tokens(train, step)
        for _, step in zip(range(2), iterate_batches(8, 4, seed=0), strict=False)
    )
    assert found.reference_tokens == pytest.approx(2 * once, rel=0.2)


@pytest.mark.parametrize("kind", ["full", "lora"])
def test_weights_in_bfloat16_are_foreseen_with_their_masters(
    tiny_folder: Path, task: Task, kind: str
) -> None:
    wanted = recipe()
    adapter = AdapterRecipe(kind="full") if kind == "full" else AdapterRecipe(rank=4)
    training = wanted.training.model_copy(update={"dtype": "bfloat16"})
    wanted = wanted.model_copy(update={"training": training, "adapter": adapter})
    assert (
        profile_slices(str(tiny_folder), task(8), task(4, seed=1), wanted).throughput.update_seconds
        > 0
    )
