"""What is measured of a training before it begins."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tunesmith.engine.batches import batches
from tunesmith.engine.forest import plant
from tunesmith.engine.load import load_model
from tunesmith.engine.pace import Prospect, prospect_of_model, prospect_of_slices
from tunesmith.engine.step import Stepper
from tunesmith.errors import ModelError
from tunesmith.records import AdapterRecipe, EvaluationRecipe, Recipe, TokenArrays, TrainingRecipe

Task = Callable[..., TokenArrays]


def recipe(method: str = "sft") -> Recipe:
    return Recipe(
        method=method, adapter=AdapterRecipe(rank=4), evaluation=EvaluationRecipe(batch_size=2),
        training=TrainingRecipe(batch_size=4, epochs=1, learning_rate=1e-3, precision="float32"),
    )  # fmt: skip


def rated(arrays: TokenArrays) -> TokenArrays:
    return replace(arrays, is_desirable_E=np.arange(len(arrays)) % 2 == 0)


def forest_tokens(arrays: TokenArrays, examples: list[int]) -> int:
    return len(plant([arrays.sequence(e)[0][:-1] for e in examples]))  # nobody needs what stands at the end


@pytest.mark.parametrize("measured_on", ["slices", "model"])
def test_tokens_are_those_that_are_computed(measured_on: str, tiny_folder: Path, task: Task) -> None:
    train, validation = task(8), task(4, seed=1)
    found = measure(measured_on, tiny_folder, train, validation, recipe())
    steps = list(zip(range(2), batches(8, 4, seed=0), strict=False))
    assert found.tokens_per_step == pytest.approx(np.mean([forest_tokens(train, step) for _, step in steps]), rel=0.1)
    assert found.look_tokens == forest_tokens(validation, [0, 1, 2, 3])
    assert found.reference_tokens == 0 and found.rows == 2 and found.base_bytes > 0
    assert found.pace.token_seconds > 0 and found.pace.prompt_seconds > 0 and found.pace.held_bytes > 0


def measure(measured_on: str, folder: Path, train: TokenArrays, validation: TokenArrays, wanted: Recipe) -> Prospect:
    if measured_on == "slices":
        return prospect_of_slices(str(folder), train, validation, wanted)
    return prospect_of_model(load_model(folder, "float32"), train, validation, wanted)


def test_the_weights_need_not_be_there(tiny_folder: Path, tmp_path: Path, task: Task) -> None:
    shutil.copy(tiny_folder / "config.json", tmp_path)
    assert prospect_of_slices(str(tmp_path), task(4), task(2), recipe()).pace.token_seconds > 0


def test_a_model_that_cannot_be_cut_says_what_to_do(tiny_folder: Path, tmp_path: Path, task: Task) -> None:
    config = json.loads((tiny_folder / "config.json").read_text()) | {"num_attention_heads": 5}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError) as caught:
        prospect_of_slices(str(tmp_path), task(4), task(2), recipe())
    assert caught.value.code == "model/no-slice" and caught.value.do == "estimate with --measure"


def test_ktos_mismatched_answers_are_paid_for(tiny_folder: Path, task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    sequence_logps = Stepper.sequence_logps

    def counted(self: Stepper, arrays: TokenArrays, examples: list[int]) -> object:
        asked.append(self.loaded.model.training)
        return sequence_logps(self, arrays, examples)

    monkeypatch.setattr(Stepper, "sequence_logps", counted)
    train = rated(task(8))
    found = prospect_of_model(load_model(tiny_folder, "float32"), train, rated(task(4)), recipe("kto"))
    assert any(asked), "a step of KTO reads the mismatched answers"
    once = sum(forest_tokens(train, step) for _, step in zip(range(2), batches(8, 4, seed=0), strict=False))
    assert found.reference_tokens == pytest.approx(2 * once, rel=0.2)


@pytest.mark.parametrize("kind", ["full", "lora"])
def test_weights_in_bfloat16_are_foreseen_with_their_masters(tiny_folder: Path, task: Task, kind: str) -> None:
    wanted = recipe()
    adapter = AdapterRecipe(kind="full") if kind == "full" else AdapterRecipe(rank=4)
    training = wanted.training.model_copy(update={"precision": "bf16"})
    wanted = wanted.model_copy(update={"training": training, "adapter": adapter})
    assert prospect_of_slices(str(tiny_folder), task(8), task(4, seed=1), wanted).pace.update_seconds > 0
