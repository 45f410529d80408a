"""Validation passes stay within a fifth of a time budget, however slow the model answers."""

from pathlib import Path

import pytest

from tests.engine.test_engine_train import MakeRecipe, Task, Trained
from tunesmith.engine.load import LoadedModel
from tunesmith.engine.schedule import Progress
from tunesmith.engine.validation_budget import (
    examples_that_fit,
    leaves_no_room,
    passes_that_fit,
    thinned_told,
)
from tunesmith.records import TrainingRecipe


@pytest.mark.parametrize(
    ("seconds_per_example", "allowance", "fits", "tried"),
    [
        (0.01, 100.0, 64, [2]),  # plenty: all of them
        (1.0, 20.0, 9, [2]),  # two passes over nine are 18 s, after 2 s for the trial
        (0.5, 20.0, 19, [2]),
        (0.3, 30.0, 41, [2, 16]),
        (30.0, 18.0, 1, [2]),  # not even one fits: the least there is
    ],
)
def test_the_validation_split_is_cut_to_what_two_passes_leave_room_for(
    seconds_per_example: float, allowance: float, fits: int, tried: list[int]
) -> None:
    asked: list[int] = []

    def seconds_of(examples: int) -> float:
        asked.append(examples)
        return seconds_per_example * examples

    assert examples_that_fit(64, allowance, seconds_of) == fits
    assert asked == tried


def test_what_the_first_pass_took_says_how_many_follow() -> None:
    progress = Progress(planned_steps=None, budget_seconds=100.0, evaluations=4)
    progress.looked(0, 5.0, 1.0, is_best=False)
    assert passes_that_fit(4, progress) == 3
    progress.evaluations, progress.look_examples = 3, 8
    assert thinned_told(progress, 4, 64) == (
        "3 validation passes after step 0 in place of 4, on 8 of 64 validation examples: otherwise validation would "
        "take more than a fifth of the 100 s"
    )
    assert not leaves_no_room(progress)
    progress.looked(1, 6.0, 1.0, is_best=False)
    assert leaves_no_room(progress)


def test_a_training_that_counts_passes_thins_nothing_out() -> None:
    progress = Progress(planned_steps=10, budget_seconds=None, evaluations=4)
    progress.looked(0, 500.0, 1.0, is_best=False)
    assert passes_that_fit(4, progress) == 4 and not leaves_no_room(progress)
    assert thinned_told(progress, 4, 64) is None


def test_slow_answers_eat_no_more_than_a_fifth_of_the_minutes(
    tiny: LoadedModel, task: Task, recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five passes over 16 examples at a second each would take 80 s of 60; the clock is one of its own."""
    clock = [0.0]

    def now() -> float:
        clock[0] += 0.1  # whatever is done takes a little
        return clock[0]

    def begin(kind: type[Progress], training: TrainingRecipe, steps_per_epoch: int) -> Progress:
        return kind(planned_steps=None, budget_seconds=60.0, now=now, evaluations=training.evaluations)

    monkeypatch.setattr(Progress, "of", classmethod(begin))
    asked: list[tuple[int, bool]] = []

    def score(examples: int, *, is_trial: bool = False) -> tuple[str, float]:
        clock[0] += float(examples)
        asked.append((examples, is_trial))
        return "accuracy", 0.5

    settings = recipe(epochs=None, minutes=1.0, evaluations=4, patience=None)
    run = Trained(tiny, task(16), settings, tmp_path, score=score)
    assert run.result.status == "finished" and run.result.steps > 0
    assert asked[0] == (2, True) and [examples for examples, is_trial in asked if not is_trial] == [4, 4]
    assert run.result.validation_seconds == pytest.approx(11.0, abs=1.0)
    assert run.looks[0].warning is not None and "1 validation pass after step 0 in place of 4" in run.looks[0].warning


def test_where_not_even_the_trial_fits_the_base_models_pass_is_made_on_one_example_and_it_is_told(
    tiny: LoadedModel, task: Task, recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten seconds an example of 60: the pass at step 0 was left out in silence, and with it what was thinned out."""
    clock = [0.0]

    def now() -> float:
        clock[0] += 0.1
        return clock[0]

    def begin(kind: type[Progress], training: TrainingRecipe, steps_per_epoch: int) -> Progress:
        return kind(planned_steps=None, budget_seconds=60.0, now=now, evaluations=training.evaluations)

    def score(examples: int, *, is_trial: bool = False) -> tuple[str, float]:
        clock[0] += 10.0 * examples
        return "accuracy", 0.5

    monkeypatch.setattr(Progress, "of", classmethod(begin))
    settings = recipe(epochs=None, minutes=1.0, evaluations=4, patience=None)
    run = Trained(tiny, task(16), settings, tmp_path, score=score)
    assert run.result.status == "finished" and [look.step == 0 for look in run.looks] == [True, False]
    assert run.looks[0].warning is not None and "on 1 of 16 validation examples" in run.looks[0].warning
