"""Validation passes stay within a fifth of a time budget, however slow the model answers."""

from pathlib import Path

import pytest

from tests.engine.test_engine_train import MakeRecipe, Task, Trained
from tunesmith.engine.model_loading import LoadedModel
from tunesmith.engine.schedule import TrainingProgress
from tunesmith.engine.validation_budget import (
    TooLong,
    count_examples_that_fit,
    count_passes_that_fit,
    describe_thinning,
    is_last_pass_at_risk,
)
from tunesmith.records import TrainingRecipe


@pytest.mark.parametrize(
    ("seconds_per_example", "allowance", "fits", "tried"),
    [
        (0.01, 100.0, 64, [2]),  # plenty: all of them
        (1.0, 20.0, 9, [2]),  # two passes over nine are 18 s, after 2 s for the trial
        (0.5, 20.0, 19, [2]),
        (0.3, 30.0, 41, [2, 16]),
        (30.0, 18.0, 0, [2]),  # not even one fits: there is no pass
    ],
)
def test_the_validation_split_is_cut_to_what_two_passes_leave_room_for(
    seconds_per_example: float, allowance: float, fits: int, tried: list[int]
) -> None:
    asked: list[int] = []

    def seconds_of(examples: int) -> float:
        asked.append(examples)
        return seconds_per_example * examples

    assert count_examples_that_fit(64, allowance, seconds_of) == fits
    assert asked == tried


def test_what_the_first_pass_took_says_how_many_follow() -> None:
    progress = TrainingProgress(planned_steps=None, budget_seconds=100.0, planned_validations=4)
    progress.record_validation(0, 5.0, 1.0, is_best=False)
    assert count_passes_that_fit(4, progress) == 3
    progress.planned_validations, progress.validation_examples = 3, 8
    assert (
        describe_thinning(progress, 4, 64)
        == "3 validation passes after step 0 instead of 4, on 8 of 64 validation examples:"
        " otherwise validation would exceed a fifth of the 100 s"
    )
    assert not is_last_pass_at_risk(progress)
    progress.record_validation(1, 6.0, 1.0, is_best=False)
    assert is_last_pass_at_risk(progress)


def test_a_training_that_counts_passes_thins_nothing_out() -> None:
    progress = TrainingProgress(planned_steps=10, budget_seconds=None, planned_validations=4)
    progress.record_validation(0, 500.0, 1.0, is_best=False)
    assert count_passes_that_fit(4, progress) == 4 and not is_last_pass_at_risk(progress)
    assert describe_thinning(progress, 4, 64) is None


def test_slow_answers_eat_no_more_than_a_fifth_of_the_minutes(
    tiny: LoadedModel,
    task: Task,
    recipe: MakeRecipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Five passes over 16 examples at a second each would take 80 s of 60; the clock is one of its
    own."""
    clock = [0.0]

    def now() -> float:
        clock[0] += 0.1  # whatever is done takes a little
        return clock[0]

    def begin(
        kind: type[TrainingProgress], training: TrainingRecipe, steps_per_epoch: int
    ) -> TrainingProgress:
        return kind(
            planned_steps=None,
            budget_seconds=60.0,
            clock=now,
            planned_validations=training.num_evals,
        )

    monkeypatch.setattr(TrainingProgress, "from_recipe", classmethod(begin))
    asked: list[tuple[int, bool]] = []

    def score(examples: int, *, is_trial: bool = False, seconds: float = 0.0) -> tuple[str, float]:
        clock[0] += float(examples)
        asked.append((examples, is_trial))
        return "accuracy", 0.5

    settings = recipe(epochs=None, minutes=1.0, num_evals=4, early_stopping_patience=None)
    run = Trained(tiny, task(16), settings, tmp_path, score=score)
    assert run.result.status == "finished" and run.result.steps > 0
    assert asked[0] == (2, True) and [examples for examples, is_trial in asked if not is_trial] == [
        4,
        4,
    ]
    assert run.result.validation_seconds == pytest.approx(11.0, abs=1.0)
    assert (
        run.looks[0].warning is not None
        and "1 validation pass after step 0 instead of 4" in run.looks[0].warning
    )


def test_a_trial_that_is_cut_short_leaves_what_the_one_before_it_had() -> None:
    assert count_examples_that_fit(64, 30.0, lambda examples: None) == 0
    assert count_examples_that_fit(64, 30.0, lambda examples: 0.6 if examples == 2 else None) == 2


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock of one's own in place of the training's, with a minute of time; whatever is asked
    takes a little."""
    seconds = [0.0]

    def now() -> float:
        seconds[0] += 0.1
        return seconds[0]

    def begin(
        kind: type[TrainingProgress], training: TrainingRecipe, steps_per_epoch: int
    ) -> TrainingProgress:
        return kind(
            planned_steps=None,
            budget_seconds=60.0,
            clock=now,
            planned_validations=training.num_evals,
        )

    monkeypatch.setattr(TrainingProgress, "from_recipe", classmethod(begin))
    return seconds


def test_where_not_one_example_fits_into_a_fifth_there_is_no_validation_and_it_is_told(
    tiny: LoadedModel, task: Task, recipe: MakeRecipe, tmp_path: Path, clock: list[float]
) -> None:
    """Ten seconds an example of 60: two passes over one and a trial over two took 40 s. Now the
    trial is cut at 4 s."""

    def score(examples: int, *, is_trial: bool = False, seconds: float = 0.0) -> tuple[str, float]:
        clock[0] += min(10.0 * examples, seconds)
        raise TooLong

    settings = recipe(epochs=None, minutes=1.0, num_evals=4, early_stopping_patience=None)
    run = Trained(tiny, task(16), settings, tmp_path, score=score)
    assert run.result.status == "finished" and run.looks == []
    assert run.result.validation_seconds == pytest.approx(4.0, abs=1.0)
    assert run.result.best_step == run.result.steps > 0, "the weights of the last step"
    told = [line.warning for line in run.lines if line.warning]
    assert told == [
        "no validation: two passes over a single example would exceed a fifth of the 60 s; "
        "the weights of the last step are used"
    ]


def test_a_pass_that_suddenly_takes_long_is_cut_at_the_fifth_and_the_last_weights_are_taken(
    tiny: LoadedModel, task: Task, recipe: MakeRecipe, tmp_path: Path, clock: list[float]
) -> None:
    """A second an example, and a hundred at the end, because the machine became busy."""
    asked: list[float] = []

    def score(examples: int, *, is_trial: bool = False, seconds: float = 0.0) -> tuple[str, float]:
        takes = float(examples) if len(asked) < 2 else 100.0
        asked.append(seconds)
        clock[0] += min(takes, seconds)
        if takes > seconds:
            raise TooLong
        return "accuracy", 0.5

    settings = recipe(epochs=None, minutes=1.0, num_evals=1, early_stopping_patience=None)
    run = Trained(tiny, task(16), settings, tmp_path, score=score)
    assert run.result.status == "finished" and run.result.validation_seconds == pytest.approx(
        12.0, abs=1.0
    )
    assert [look.score for look in run.looks] == [0.5, None] and "was stopped early" in (
        run.looks[-1].warning or ""
    )
    assert run.result.best_step == run.result.steps


def test_a_base_model_that_answers_too_slowly_is_validated_by_no_pass(
    tiny: LoadedModel, task: Task, recipe: MakeRecipe, tmp_path: Path, clock: list[float]
) -> None:
    def score(examples: int, *, is_trial: bool = False, seconds: float = 0.0) -> tuple[str, float]:
        takes = 0.5 if is_trial else 100.0
        clock[0] += min(takes, seconds)
        if takes > seconds:
            raise TooLong
        return "accuracy", 0.5

    settings = recipe(epochs=None, minutes=1.0, num_evals=2, early_stopping_patience=None)
    run = Trained(tiny, task(16), settings, tmp_path, score=score)
    assert run.result.validation_seconds == pytest.approx(12.0, abs=1.0)
    assert [look.step for look in run.looks] == [
        0
    ] and "no validation: two passes over a single example" in (run.looks[0].warning or "")
