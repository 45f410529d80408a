"""Training end to end on a tiny model: what is kept, what is never applied, and how it stops."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tunesmith.engine import training_step as step_module
from tunesmith.engine.adapter_training import train_adapter
from tunesmith.engine.adapters.lora import list_lora_parameters
from tunesmith.engine.adapters.peft_format import WEIGHTS_FILE, read_adapter
from tunesmith.engine.generator import Generator
from tunesmith.engine.model_loading import LoadedModel, load_model
from tunesmith.engine.training_step import TrainingStep
from tunesmith.errors import TrainingError
from tunesmith.records import MetricLine, Recipe, TokenArrays, TrainingResult
from tunesmith.testing.rounding_tolerance import LOSS_TERMS, assert_close_within_rounding

Task = Callable[..., TokenArrays]
MakeRecipe = Callable[..., Recipe]


class Trained:
    """Train and keep everything that came out."""

    def __init__(
        self,
        loaded: LoadedModel,
        arrays: TokenArrays,
        recipe: Recipe,
        folder: Path,
        **options: object,
    ):
        self.loaded, self.folder = loaded, folder
        self.lines: list[MetricLine] = []
        self.result: TrainingResult = train_adapter(
            loaded,
            arrays,
            arrays,
            recipe,
            adapter_folder=folder,
            on_line=self.lines.append,
            **options,
        )

    @property
    def steps(self) -> list[MetricLine]:
        return [line for line in self.lines if line.kind == "step"]

    @property
    def looks(self) -> list[MetricLine]:
        return [line for line in self.lines if line.kind == "validation"]

    @property
    def weights(self) -> list[torch.Tensor]:
        return [weight.detach().clone() for weight in list_lora_parameters(self.loaded.model)]


def test_training_learns_and_never_touches_the_base(
    tiny_folder: Path, tiny: LoadedModel, task: Task, recipe: MakeRecipe, tmp_path: Path
) -> None:
    run = Trained(tiny, task(40), recipe(epochs=12.0), tmp_path)
    assert run.result.status == "finished"
    assert run.result.steps == run.result.planned_steps == len(run.steps) == 60
    assert run.looks[-1].loss < 0.7 * run.looks[0].loss
    base = load_file(tiny_folder / "model.safetensors")
    now = {name.replace(".frozen.", "."): value for name, value in tiny.model.state_dict().items()}
    assert all(torch.equal(value, now[name]) for name, value in base.items())


def test_lines_count_what_was_read_and_trained(
    tiny: LoadedModel, task: Task, recipe: MakeRecipe, tmp_path: Path
) -> None:
    arrays = task(20)
    run = Trained(tiny, arrays, recipe(epochs=2.0, batch_size=8, num_evals=2), tmp_path)
    assert [line.step for line in run.steps] == [1, 2, 3, 4, 5, 6]
    assert [line.step for line in run.looks] == [0, 3, 6]
    assert run.result.tokens_read == 2 * len(arrays.tokens_N) == run.lines[-1].tokens_read
    assert (
        run.result.tokens_trained
        == 2 * int((arrays.weights_N > 0).sum())
        == run.lines[-1].tokens_trained
    )
    assert run.lines[-1].epoch == pytest.approx(2.0)
    assert run.result.trainable_parameters == sum(weight.numel() for weight in run.weights)
    assert run.result.peak_memory_bytes > 0


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_the_same_seed_gives_the_same_bits(
    tiny_folder: Path, task: Task, recipe: MakeRecipe, tmp_path: Path, dropout: float
) -> None:
    runs = []
    for place, seed in enumerate([7, 7, 8]):
        torch.manual_seed(place)  # what the caller did with the random state must not matter
        loaded = load_model(tiny_folder, "float32")
        runs.append(
            Trained(loaded, task(12), recipe(seed=seed, dropout=dropout), tmp_path / str(place))
        )
    same, again, other = runs
    assert [line.loss for line in same.lines] == [line.loss for line in again.lines]
    assert (same.folder / WEIGHTS_FILE).read_bytes() == (again.folder / WEIGHTS_FILE).read_bytes()
    assert [line.loss for line in same.steps] != [line.loss for line in other.steps]


def test_training_leaves_the_callers_random_state_alone(
    tiny: LoadedModel, task: Task, recipe: MakeRecipe, tmp_path: Path
) -> None:
    before = torch.get_rng_state()
    Trained(tiny, task(8), recipe(dropout=0.1), tmp_path)
    assert torch.equal(before, torch.get_rng_state())


def test_pain_19_the_saved_adapter_is_not_empty_and_is_the_one_on_the_model(
    tiny_folder: Path, tiny: LoadedModel, task: Task, recipe: MakeRecipe, tmp_path: Path
) -> None:
    run = Trained(tiny, task(12), recipe(), tmp_path)
    saved = load_file(tmp_path / WEIGHTS_FILE)
    assert len(saved) == 2 * 2 * 7  # A and B, two blocks, seven linear layers each
    assert all(value.dtype == torch.float32 and value.abs().sum() > 0 for value in saved.values())
    again = load_model(tiny_folder, "float32", tmp_path)
    for ours, theirs in zip(run.weights, list_lora_parameters(again.model), strict=True):
        assert torch.equal(ours, theirs)


def test_the_best_score_is_kept_not_the_last(
    tiny: LoadedModel, task: Task, recipe: MakeRecipe, tmp_path: Path
) -> None:
    scores, weights = iter([0.2, 0.9, 0.5, 0.9]), []

    def score(examples: int, *, is_trial: bool = False, seconds: float = 0.0) -> tuple[str, float]:
        weights.append([weight.detach().clone() for weight in list_lora_parameters(tiny.model)])
        return "accuracy", next(scores)

    run = Trained(tiny, task(16), recipe(epochs=4.0, num_evals=4), tmp_path, score=score)
    measured = run.looks[1:]
    best = min((1, 3), key=lambda look: measured[look].loss)  # equal scores: the lower loss
    assert (run.result.best_step, run.result.best_score) == (measured[best].step, 0.9)
    assert run.result.best_validation_loss == measured[best].loss
    assert all(torch.equal(a, b) for a, b in zip(run.weights, weights[best], strict=True))
    assert {line.score_name for line in measured} == {"accuracy"}


def test_it_ends_when_looks_in_a_row_were_no_better(
    tiny: LoadedModel, task: Task, recipe: MakeRecipe, tmp_path: Path
) -> None:
    scores = iter(
        [0.2, 0.1, 0.9, 0.5, 0.9, 0.95]
    )  # the second has the lowest loss so far; the fifth equals the best
    losses = iter([9.0, 2.0, 1.5, 1.6, 1.7, 1.8, 0.5])

    def score(examples: int, *, is_trial: bool = False, seconds: float = 0.0) -> tuple[str, float]:
        return "accuracy", next(scores)

    settings = recipe(epochs=6.0, num_evals=6, early_stopping_patience=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingStep, "validate", lambda *_: (next(losses), None))
        run = Trained(tiny, task(16), settings, tmp_path, score=score)
    assert (run.result.status, run.result.stopped_early) == ("finished", True)
    assert (run.result.steps, run.result.best_step, run.result.best_score) == (10, 6, 0.9)
    assert len(run.looks) == 1 + 5


def test_asked_to_stop_when_patience_is_at_its_end_it_is_finished(
    tiny: LoadedModel, task: Task, recipe: MakeRecipe, tmp_path: Path
) -> None:
    scores, losses, run = iter([0.9, 0.1, 0.1, 0.1]), iter([9.0, 1.0, 2.0, 3.0, 4.0]), []
    settings = recipe(epochs=4.0, num_evals=4, early_stopping_patience=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingStep, "validate", lambda *_: (next(losses), None))

        def score(
            examples: int, *, is_trial: bool = False, seconds: float = 0.0
        ) -> tuple[str, float]:
            run.append(next(scores))
            return "accuracy", run[-1]

        result = Trained(
            tiny, task(16), settings, tmp_path, score=score, stop=lambda: len(run) == 2
        ).result
    assert (result.status, result.stopped_early, result.best_score) == ("finished", True, 0.9)


def test_without_patience_it_goes_to_the_end(
    tiny: LoadedModel, task: Task, recipe: MakeRecipe, tmp_path: Path
) -> None:
    scores = iter([0.9, 0.1, 0.1, 0.1])
    settings = recipe(epochs=4.0, num_evals=4, early_stopping_patience=None)
    run = Trained(
        tiny, task(16), settings, tmp_path, score=lambda *_, **__: ("accuracy", next(scores))
    )
    assert run.result.steps == run.result.planned_steps and not run.result.stopped_early


def test_a_model_without_forests_is_told_at_the_first_look(
    tiny: LoadedModel,
    task: Task,
    recipe: MakeRecipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tiny.model.config, "sliding_window", 4, raising=False)
    run = Trained(tiny, task(8), recipe(), tmp_path)
    first, *others = run.looks
    assert first.warning and "its attention window is 4 tokens" in first.warning
    assert not any(line.warning for line in others)


def test_without_a_score_the_lowest_loss_is_kept(
    tiny: LoadedModel, task: Task, recipe: MakeRecipe, tmp_path: Path
) -> None:
    run = Trained(
        tiny,
        task(8),
        recipe(
            epochs=6.0,
            learning_rate=0.5,
            lr_scheduler="constant",
            num_evals=6,
            early_stopping_patience=None,
        ),
        tmp_path,
    )
    lowest = min(run.looks[1:], key=lambda line: line.loss)
    assert (run.result.best_step, run.result.best_validation_loss) == (lowest.step, lowest.loss)
    assert run.result.best_score is None


def test_generating_while_training_leaves_training_as_it_was(
    tiny_folder: Path, task: Task, recipe: MakeRecipe, tmp_path: Path
) -> None:
    losses = []
    for place, generates in enumerate([True, False]):
        loaded = load_model(tiny_folder, "float32")

        def score(
            examples: int,
            *,
            is_trial: bool = False,
            seconds: float = 0.0,
            loaded: LoadedModel = loaded,
        ) -> tuple[str, float]:
            Generator(loaded).generate([[1, 3, 4], [1, 5]], 4, {2})
            return "nothing", 0.0

        options = {"score": score} if generates else {}
        settings = recipe(dropout=0.2, epochs=3.0, num_evals=3)
        run = Trained(loaded, task(8), settings, tmp_path / str(place), **options)
        losses.append([line.loss for line in run.lines])
    assert losses[0] == losses[1]


@pytest.mark.parametrize("kind", ["stop", "ctrl-c"])
def test_pain_17_an_interrupted_run_leaves_an_adapter(
    tiny_folder: Path, tiny: LoadedModel, task: Task, recipe: MakeRecipe, tmp_path: Path, kind: str
) -> None:
    """Interrupted before any validation, the current adapter is the one that is kept."""
    lines: list[MetricLine] = []

    def on_line(line: MetricLine) -> None:
        lines.append(line)
        if kind == "ctrl-c" and line.step == 3:
            raise KeyboardInterrupt

    arrays = task(40)
    result = train_adapter(
        tiny,
        arrays,
        arrays,
        recipe(),
        adapter_folder=tmp_path,
        on_line=on_line,
        stop=lambda: kind == "stop" and lines[-1].step == 3,
    )
    assert (result.status, result.steps, result.best_step, result.best_validation_loss) == (
        "interrupted",
        3,
        3,
        None,
    )
    again = load_model(tiny_folder, "float32")
    read_adapter(again.model, tmp_path)
    for ours, theirs in zip(
        list_lora_parameters(tiny.model), list_lora_parameters(again.model), strict=True
    ):
        assert torch.equal(ours, theirs)


def test_interrupted_before_the_first_step_nothing_is_written(
    tiny: LoadedModel, task: Task, recipe: MakeRecipe, tmp_path: Path
) -> None:
    def on_line(line: MetricLine) -> None:
        raise KeyboardInterrupt

    folder = tmp_path / "adapter"
    result = train_adapter(tiny, task(8), task(8), recipe(), adapter_folder=folder, on_line=on_line)
    assert (result.status, result.steps) == ("interrupted", 0)
    assert not folder.exists()


def test_pain_20_a_loss_that_is_not_finite_never_reaches_the_weights(
    tiny: LoadedModel,
    task: Task,
    recipe: MakeRecipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The step is not applied, the run stops and says where, and the adapter measured before it
    stays on disk."""
    before: list[torch.Tensor] = []
    original = step_module.compute_token_losses

    def poisoned(*arguments: object) -> torch.Tensor:
        losses = original(*arguments)
        poison = len(seen) >= 3 and torch.is_grad_enabled()
        if poison:
            before.extend(weight.detach().clone() for weight in list_lora_parameters(tiny.model))
        return losses * float("nan") if poison else losses

    seen: list[MetricLine] = []
    monkeypatch.setattr(step_module, "compute_token_losses", poisoned)
    arrays = task(16)
    with pytest.raises(TrainingError) as caught:
        train_adapter(
            tiny,
            arrays,
            arrays,
            recipe(epochs=4.0, num_evals=4),
            adapter_folder=tmp_path,
            on_line=seen.append,
        )
    assert caught.value.code == "training/loss-not-finite"
    assert caught.value.at.startswith("step 3, train examples 12, 14,")
    for weight, old in zip(list_lora_parameters(tiny.model), before, strict=True):
        assert torch.equal(weight, old) and torch.isfinite(weight).all()
    assert all(torch.isfinite(value).all() for value in load_file(tmp_path / WEIGHTS_FILE).values())


def test_pain_20_a_gradient_that_is_not_finite_never_reaches_the_weights(
    tiny: LoadedModel,
    task: Task,
    recipe: MakeRecipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = step_module.TrainingStep.backward

    def poisoned(self: step_module.TrainingStep, *arguments: object) -> float:
        loss = original(self, *arguments)
        list_lora_parameters(tiny.model)[0].grad[0, 0] = float("inf")
        return loss

    monkeypatch.setattr(step_module.TrainingStep, "backward", poisoned)
    with pytest.raises(TrainingError) as caught:
        Trained(tiny, task(8), recipe(), tmp_path)
    assert caught.value.code == "training/gradient-not-finite"
    assert all(torch.isfinite(weight).all() for weight in list_lora_parameters(tiny.model))
    assert all(not layer.any() for layer in list_lora_parameters(tiny.model)[1::2]), (
        "B is still zero: nothing was applied"
    )


def fail_above(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every forward pass with more than this many rows run out of memory."""
    original = step_module.collate

    def collate(arrays: TokenArrays, examples: list[int], *rest: object, **more: object) -> object:
        if len(examples) > rows:
            raise torch.OutOfMemoryError("CUDA out of memory (simulated)")
        return original(arrays, examples, *rest, **more)

    monkeypatch.setattr(step_module, "collate", collate)


def test_out_of_memory_halves_the_micro_batch_and_nothing_else(
    tiny_folder: Path,
    task: Task,
    recipe: MakeRecipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = Trained(load_model(tiny_folder, "float32"), task(24), recipe(), tmp_path / "plain")
    fail_above(2, monkeypatch)
    halved = Trained(load_model(tiny_folder, "float32"), task(24), recipe(), tmp_path / "halved")
    losses, expected = ([line.loss for line in run.lines] for run in (halved, plain))
    assert_close_within_rounding(losses, expected, LOSS_TERMS * len(expected))
    assert halved.result.steps == plain.result.steps
    # AdamW divides by the root of second moments near 0, which magnifies rounding without a bound:
    # a tenth of one step's length, far below what a missing example would move
    for ours, theirs in zip(halved.weights, plain.weights, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


def test_out_of_memory_with_one_example_says_so(
    tiny: LoadedModel,
    task: Task,
    recipe: MakeRecipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fail_above(0, monkeypatch)
    with pytest.raises(TrainingError) as caught:
        Trained(tiny, task(8), recipe(), tmp_path)
    assert caught.value.code == "training/out-of-memory"


def test_other_errors_are_not_taken_for_lack_of_memory(
    tiny: LoadedModel,
    task: Task,
    recipe: MakeRecipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*arguments: object, **more: object) -> None:
        raise RuntimeError("shapes cannot be multiplied")

    monkeypatch.setattr(step_module, "collate", broken)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        Trained(tiny, task(8), recipe(), tmp_path)


def test_a_time_budget_ends_the_run_within_it(
    tiny: LoadedModel, task: Task, recipe: MakeRecipe, tmp_path: Path
) -> None:
    run = Trained(tiny, task(16), recipe(epochs=None, minutes=1.5 / 60, num_evals=2), tmp_path)
    assert run.result.status == "finished" and run.result.planned_steps is None
    assert run.result.steps > 3
    assert run.result.seconds < 3.0
    rates = [line.learning_rate for line in run.steps]
    assert max(rates) > 0.008 and rates[-1] < 0.003
    assert run.lines[-1].kind == "validation" and run.lines[-1].step == run.result.steps
