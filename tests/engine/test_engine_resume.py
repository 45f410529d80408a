"""A training cut short anywhere and gone on with ends bit by bit like the one left alone."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tunesmith import failpoints
from tunesmith.atomic_io import compute_sha256
from tunesmith.engine import training_step as step_module
from tunesmith.engine.adapter_training import train_adapter
from tunesmith.engine.batching import MicroBatch
from tunesmith.engine.checkpoint import Checkpoints
from tunesmith.engine.checkpointer import CheckpointConfig
from tunesmith.engine.model_loading import LoadedModel, load_model
from tunesmith.engine.optimizer import count_values_per_weight
from tunesmith.errors import DiskFull, RunError, TrainingError
from tunesmith.records import MetricLine, Recipe, TokenArrays, TrainingResult
from tunesmith.testing.adapter_recipes import build_adapter_recipe

Task = Callable[..., TokenArrays]
MakeRecipe = Callable[..., Recipe]
STEPS = 8


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    failpoints.arm(None)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Matrices this small are slower on two threads, much slower where the cores are shared."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def settings(recipe: MakeRecipe) -> Recipe:
    """Two and two thirds epochs of three steps (the last one is smaller), three micro-batches in a
    step, dropout."""
    return recipe(
        seed=3,
        dropout=0.1,
        epochs=2.67,
        batch_size=6,
        micro_batch_size=2,
        num_evals=3,
        checkpoint_minutes=0.0,
    )


def bits_of(tensors: dict[str, torch.Tensor]) -> dict[str, bytes]:
    return {
        name: tensor.reshape(-1).view(torch.uint8).numpy().tobytes()
        for name, tensor in tensors.items()
    }


class Place:
    """Where one training happens, however often it is begun; as `workflow/resume.py`, without files
    for lines."""

    def __init__(self, path: Path, tiny_folder: Path, arrays: TokenArrays) -> None:
        self.path, self.tiny_folder, self.arrays = path, tiny_folder, arrays
        self.checkpoints = Checkpoints(path / "checkpoints")
        self.lines: list[MetricLine] = []
        self.loaded: LoadedModel

    def go(self, recipe: Recipe, **options: Any) -> TrainingResult:
        """Begin, or go on from the newest good checkpoint."""
        saved = self.checkpoints.load_latest()
        del self.lines[saved.state["journal"]["lines"] if saved else 0 :]
        self.loaded = load_model(
            self.tiny_folder, recipe.training.dtype, four_bits=recipe.adapter.load_in_4bit
        )
        return train_adapter(
            self.loaded,
            self.arrays,
            self.arrays,
            recipe,
            adapter_folder=self.path / "adapter",
            on_line=self.lines.append,
            checkpointing=CheckpointConfig(
                self.checkpoints, lambda: {"lines": len(self.lines)}, saved
            ),
            **options,
        )

    def stop_at(self, step: int) -> Callable[[], bool]:
        return lambda: bool(self.lines) and self.lines[-1].step >= step

    def outcome(self) -> dict[str, Any]:
        """Everything that must be equal; losses as hex."""
        last = max((self.path / "checkpoints").iterdir())
        weights = bits_of(self.loaded.model.state_dict())
        lines = [
            (
                line.kind,
                line.step,
                line.loss.hex() if line.loss else None,
                line.learning_rate,
                line.gradient_norm,
                line.tokens_read,
                line.warning,
            )
            for line in self.lines
        ]
        files = {path.name: compute_sha256(path) for path in last.glob("*.safetensors")}
        adapter = {
            path.name: bits_of(load_file(path))
            for path in (self.path / "adapter").glob("*.safetensors")
        }
        return {"weights": weights, "lines": lines, "files": files, "adapter": adapter}


@pytest.fixture
def place(tmp_path: Path, tiny_folder: Path, task: Task) -> Callable[[str], Place]:
    return lambda name: Place(tmp_path / name, tiny_folder, task(16))


@pytest.fixture
def clean(place: Callable[[str], Place], settings: Recipe) -> dict[str, Any]:
    alone = place("clean")
    result = alone.go(settings)
    assert result.steps == result.planned_steps == STEPS
    return alone.outcome()


# --- bit by bit
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", range(STEPS))
def test_stopped_after_any_step(
    place: Callable[[str], Place], settings: Recipe, clean: object, step: int
) -> None:
    cut = place("cut")
    result = cut.go(settings, stop=cut.stop_at(step))
    assert (result.status, result.steps) == ("interrupted", step)
    assert cut.go(settings).status == "finished"
    assert cut.outcome() == clean


def test_stopped_after_every_step(
    place: Callable[[str], Place], settings: Recipe, clean: object
) -> None:
    cut = place("cut")
    for step in range(STEPS):
        cut.go(settings, stop=cut.stop_at(step))
    assert cut.go(settings).status == "finished"
    assert cut.outcome() == clean


@pytest.mark.parametrize("nth", [1, 2, 3, 8, 9, 14, 21])
def test_dead_between_two_micro_batches(
    place: Callable[[str], Place], settings: Recipe, clean: object, nth: int
) -> None:
    cut = place("cut")
    failpoints.arm(f"train.micro_batch:{nth}:raise")
    with pytest.raises(failpoints.InjectedError):
        cut.go(settings)
    assert cut.go(settings).status == "finished"
    assert cut.outcome() == clean


@pytest.mark.parametrize("rows", [1, 3, None])
def test_whatever_the_micro_batches_are(
    place: Callable[[str], Place], recipe: MakeRecipe, rows: int | None
) -> None:
    settings = recipe(
        dropout=0.2,
        epochs=2.0,
        batch_size=5,
        micro_batch_size=rows,
        num_evals=2,
        checkpoint_minutes=0.0,
        dtype="float32",
    )
    alone, cut = place("alone"), place("cut")
    alone.go(settings)
    cut.go(settings, stop=cut.stop_at(3))
    cut.go(settings)
    assert cut.outcome() == alone.outcome()


@pytest.mark.parametrize("method", ["dpo", "orpo", "simpo", "kto"])
def test_whatever_the_method(
    tmp_path: Path, tiny_folder: Path, task: Task, settings: Recipe, method: str
) -> None:
    """What the reference model said is kept with the checkpoint: nothing is asked twice."""
    arrays = task(32)
    if method == "kto":
        arrays = replace(arrays, columns_E={"is_desirable": np.arange(32) % 3 > 0})
    else:
        arrays = replace(arrays, sequences_per_example=2)
    preferring = settings.model_copy(update={"method": method})
    alone, cut = (Place(tmp_path / name, tiny_folder, arrays) for name in ("alone", "cut"))
    alone.go(preferring)
    cut.go(preferring, stop=cut.stop_at(4))
    told: list[str] = []
    cut.go(preferring, on_progress=lambda what, done, of: told.append(what))
    assert told == []
    assert cut.outcome() == alone.outcome()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", ["rslora", "dora", "qlora", "qdora", "full"])
def test_whatever_is_trained(
    place: Callable[[str], Place], settings: Recipe, kind: str, precision: str
) -> None:
    if kind.startswith("q"):
        pytest.importorskip("bitsandbytes")
    options = settings.adapter.model_dump(include={"rank", "alpha", "dropout"})
    adapter = build_adapter_recipe(kind, **options)
    training = settings.training.model_copy(update={"dtype": precision})
    other = settings.model_copy(update={"adapter": adapter, "training": training})
    alone, cut = place("alone"), place("cut")
    alone.go(other)
    cut.go(other, stop=cut.stop_at(4))
    cut.go(other)
    assert cut.outcome() == alone.outcome()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_adafactor_too_and_its_checkpoints_are_small(
    place: Callable[[str], Place], settings: Recipe, precision: str
) -> None:
    training = settings.training.replace(dtype=precision, optimizer="adafactor")
    full = settings.replace(adapter=build_adapter_recipe("full"), training=training)
    alone, cut = place("alone"), place("cut")
    alone.go(full)
    cut.go(full, stop=cut.stop_at(4))
    saved = cut.checkpoints.load_latest()
    assert saved is not None
    kinds = {name.partition("/")[0] for name in saved.groups["optimizer"]}
    assert kinds == {"step", "row_var", "col_var", "variance"}
    sizes = {
        group: sum(tensor.numel() for tensor in saved.groups[group].values())
        for group in ("weights", "optimizer")
    }
    weights = saved.groups["weights"].values()
    assert sizes["optimizer"] == len(weights) + round(
        sizes["weights"] * count_values_per_weight("adafactor", weights)
    )
    cut.go(full)
    assert cut.outcome() == alone.outcome()


def test_seldom_saved_it_goes_back_to_the_last_look(
    place: Callable[[str], Place], recipe: MakeRecipe
) -> None:
    settings = recipe(
        dropout=0.1,
        epochs=4.0,
        batch_size=4,
        num_evals=4,
        checkpoint_minutes=60.0,
        dtype="float32",
    )
    alone, cut = place("alone"), place("cut")
    alone.go(settings)
    failpoints.arm("train.step:11:raise")
    with pytest.raises(failpoints.InjectedError):
        cut.go(settings)
    assert cut.checkpoints.load_latest().step == 8  # type: ignore[union-attr]
    cut.go(settings)
    assert cut.outcome() == alone.outcome()


@pytest.mark.parametrize("step", [5, 7, 8])
def test_patience_goes_on_too(
    place: Callable[[str], Place], recipe: MakeRecipe, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The best look is the second of six; the two after it end the training, also when one lies
    before the stop."""
    losses = {0: 9.0, 2: 2.0, 4: 1.0, 6: 1.5, 8: 1.4, 10: 0.5, 12: 0.4}
    settings = recipe(
        epochs=6.0,
        batch_size=8,
        num_evals=6,
        early_stopping_patience=2,
        checkpoint_minutes=0.0,
        dtype="float32",
    )
    alone, cut = place("alone"), place("cut")
    for one in (alone, cut):
        one_lines = one.lines
        step_now = lambda lines=one_lines: lines[-1].step if lines else 0  # noqa: E731
        monkeypatch.setattr(
            step_module.TrainingStep, "validate", lambda *_, now=step_now: (losses[now()], None)
        )
        if one is cut:
            one.go(settings, stop=one.stop_at(step))
        result = one.go(settings)
        assert (result.status, result.steps, result.best_step, result.stopped_early) == (
            "finished",
            8,
            4,
            True,
        )
    assert cut.outcome() == alone.outcome()


def test_a_look_that_is_cut_short_comes_again(
    place: Callable[[str], Place], settings: Recipe
) -> None:
    """The first generation is given up half-way because somebody asked to stop; nothing of that
    look is kept."""

    def scores(first: object = ("accuracy", 0.5)) -> Callable[[], Any]:
        answers = iter([first])
        return lambda *_, **__: next(answers, ("accuracy", 0.5))

    alone, cut = place("alone"), place("cut")
    alone.go(settings, score=scores())
    result = cut.go(settings, score=scores(None))
    assert (result.status, result.steps) == ("interrupted", 3)
    assert [line.step for line in cut.lines if line.kind == "validation"] == [0]
    assert cut.go(settings, score=scores()).status == "finished"
    assert cut.outcome() == alone.outcome()


def test_how_much_fits_into_memory_is_remembered(
    place: Callable[[str], Place], settings: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another cut of the batch would round differently."""
    cut, alone, whole = place("cut"), place("alone"), place("whole")
    original = step_module.collate

    def small(arrays: TokenArrays, examples: list[int], *rest: Any, **more: Any) -> MicroBatch:
        batch = original(arrays, examples, *rest, **more)
        if batch.tokens_BT.numel() > 40:
            raise torch.OutOfMemoryError("CUDA out of memory (simulated)")
        return batch

    with monkeypatch.context() as patch:
        patch.setattr(step_module, "collate", small)
        alone.go(settings)
        cut.go(settings, stop=cut.stop_at(4))
    cut.go(settings)
    assert cut.outcome() == alone.outcome()
    whole.go(settings)
    assert whole.outcome() != alone.outcome(), "with all the memory the steps are cut otherwise"


def test_what_was_counted_and_the_time_used_go_on(
    place: Callable[[str], Place], settings: Recipe
) -> None:
    cut = place("cut")
    first = cut.go(settings, stop=cut.stop_at(5))
    second = cut.go(settings)
    assert second.seconds > first.seconds
    assert second.tokens_read == cut.lines[-1].tokens_read
    seconds = [line.seconds for line in cut.lines]
    assert seconds == sorted(seconds)


def test_a_time_budget_counts_what_was_used_before(
    place: Callable[[str], Place], recipe: MakeRecipe
) -> None:
    settings = recipe(
        epochs=None, minutes=0.02, num_evals=1, checkpoint_minutes=0.0, dtype="float32"
    )
    cut = place("cut")
    cut.go(settings, stop=cut.stop_at(3))
    saved = cut.checkpoints.load_latest()
    assert saved is not None
    state = {**saved.state, "progress": {**saved.state["progress"], "seconds": 1.2}}
    cut.checkpoints.save(
        saved.step, state, saved.groups
    )  # as if all of the 1.2 seconds had been used
    result = cut.go(settings)
    assert (result.status, result.steps) == ("finished", 3) and result.seconds > 1.2


# --- trouble
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["weights.safetensors", "optimizer.safetensors", "random.safetensors", "checkpoint.json"],
)
def test_a_damaged_checkpoint_is_passed_over(
    place: Callable[[str], Place], settings: Recipe, clean: object, name: str
) -> None:
    cut = place("cut")
    cut.go(
        settings, stop=cut.stop_at(6)
    )  # a look was at this step, so the adapter on disk is newer than step 5
    newest = max(cut.checkpoints.folder.iterdir())
    failpoints.flip_bit(newest / name, (newest / name).stat().st_size // 2)
    saved = cut.checkpoints.load_latest()
    assert (
        saved is not None
        and saved.step == 5
        and f"{newest.name}/{name}" in saved.skipped_damaged[0]
    )
    cut.go(settings)
    assert cut.outcome() == clean


def test_a_full_disk_stops_it_and_with_room_it_goes_on(
    place: Callable[[str], Place], settings: Recipe, clean: object
) -> None:
    cut = place("cut")
    failpoints.arm("checkpoint.write:30000:enospc")
    with pytest.raises(DiskFull):
        cut.go(settings)
    assert cut.checkpoints.load_latest() is not None
    assert list(cut.checkpoints.folder.glob(".tmp-*")) == []
    cut.go(settings)
    assert cut.outcome() == clean


def test_no_room_is_told_before_the_first_step(
    place: Callable[[str], Place], settings: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 100_000}))
    cut = place("cut")
    with pytest.raises(DiskFull, match="not enough disk space"):
        cut.go(settings)
    assert cut.lines == []


def test_a_checkpoint_of_another_training_is_refused(
    place: Callable[[str], Place], settings: Recipe
) -> None:
    cut = place("cut")
    cut.go(settings, stop=cut.stop_at(2))
    other = settings.model_copy(update={"adapter": settings.adapter.model_copy(update={"rank": 2})})
    with pytest.raises(RunError) as caught:
        cut.go(other)
    assert caught.value.code == "run/checkpoint-misfit" and "lora_A" in caught.value.got


def test_ctrl_c_during_a_save_leaves_the_one_before(
    place: Callable[[str], Place], settings: Recipe, clean: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = place("cut")
    real, seen = failpoints.hit, []

    def impatient(point: str, path: Path | None = None) -> None:
        seen.append(point)
        if seen.count("checkpoint.rename") == 4:
            monkeypatch.setattr(failpoints, "hit", real)
            raise KeyboardInterrupt
        real(point, path)

    monkeypatch.setattr(failpoints, "hit", impatient)
    assert cut.go(settings).status == "interrupted"
    assert list(cut.checkpoints.folder.glob(".tmp-*")) == []
    cut.go(settings)
    assert cut.outcome() == clean


# --- numbers that are none
# --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("point", ["train.loss:8", "train.gradient:3"])
def test_pain_20_a_bad_step_stops_and_the_last_checkpoint_is_before_it(
    place: Callable[[str], Place], settings: Recipe, clean: object, point: str
) -> None:
    cut = place("cut")
    failpoints.arm(f"{point}:nan")
    with pytest.raises(TrainingError, match=r"non-finite (loss|gradient)"):
        cut.go(settings)
    assert cut.checkpoints.load_latest().step == 2  # type: ignore[union-attr]
    assert (
        cut.go(settings).status == "finished"
    )  # the fault is not armed twice: the data were innocent
    assert cut.outcome() == clean


@pytest.mark.parametrize("point", ["train.loss:8", "train.gradient:3"])
def test_a_bad_step_is_left_out_if_the_recipe_says_so(
    place: Callable[[str], Place], settings: Recipe, point: str
) -> None:
    skipping = settings.model_copy(
        update={"training": settings.training.model_copy(update={"on_nonfinite": "skip"})}
    )
    cut = place("cut")
    failpoints.arm(f"{point}:nan")
    result = cut.go(skipping)
    assert (result.status, result.steps) == ("finished", STEPS)
    skipped = [line for line in cut.lines if line.kind == "skipped"]
    assert [(line.step, line.loss) for line in skipped] == [(3, None)]
    assert re.fullmatch(
        r"skipped: (loss|norm) nan \(step 3, train examples \d+(, \d+)*\)", str(skipped[0].warning)
    )
    assert all(torch.isfinite(weight).all() for weight in cut.loaded.model.state_dict().values())
    assert [line.step for line in cut.lines if line.kind == "step"] == [1, 2, 4, 5, 6, 7, 8]


def test_three_in_a_row_are_left_out_and_the_fourth_stops(
    place: Callable[[str], Place], settings: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    skipping = settings.model_copy(
        update={"training": settings.training.model_copy(update={"on_nonfinite": "skip"})}
    )
    cut = place("cut")
    monkeypatch.setattr(
        failpoints,
        "inject_nan",
        lambda point, number: float("nan") if point == "train.loss" else number,
    )
    with pytest.raises(TrainingError, match="step 4"):
        cut.go(skipping)
    assert [line.kind for line in cut.lines if line.step] == ["skipped"] * 3 + ["validation"]
