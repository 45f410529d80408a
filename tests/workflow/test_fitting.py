"""A time for the whole decision: what is picked fits into it by the estimate, and what the user set
stays."""

from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest

from tests.cli.test_flags import run
from tunesmith.cli.console import parse_duration
from tunesmith.costs.contender_forecast import Workload, estimate_generation_seconds
from tunesmith.costs.training_forecast import ForecastConditions
from tunesmith.engine.machine_measurement import Throughput, TrainingProfile
from tunesmith.errors import GateFailed, UsageError
from tunesmith.recipe.recipe_loader import load_recipe
from tunesmith.records import Machine, MemoryPlan, Recipe, ResolvedRecipe
from tunesmith.testing.recording_listener import RecordingListener
from tunesmith.testing.resolved_recipes import resolve_test_recipe
from tunesmith.workflow import estimate, time_budget
from tunesmith.workflow.estimate import ForecastInputs
from tunesmith.workflow.time_budget import (
    LEVELS,
    EffortLevel,
    choose_level,
    estimate_level,
    estimate_levels,
    fit_recipe_to_budget,
    list_filled_keys,
    list_open_keys,
    with_level,
    with_training_minutes,
)

PACE = Throughput(
    token_seconds=0.001,
    validation_token_seconds=0.0005,
    update_seconds=0.5,
    prompt_seconds=0.1,
    pass_seconds=0.2,
    used_bytes=1e9,
    pass_sequence_seconds=0.01,
)
PROSPECT = TrainingProfile(
    throughput=PACE,
    plan=MemoryPlan(),
    tokens_per_step=1500,
    validation_tokens=6400,
    reference_tokens=0,
    timed_prompts=10,
    base_bytes=500_000_000,
    accelerator=None,
)
WORK = Workload(
    examples=640,
    tokens_read=160_000,
    tokens_trained=32_000,
    answer_lengths=(5,) * 64,
    prompt_tokens=100.0,
    test_examples=500,
    max_new_tokens=20,
)
MACHINE = Machine(platform="p", processor="q", cores=2, memory_bytes=1, accelerator=None)
KNOWN = ForecastInputs(
    PROSPECT, WORK, [], ForecastConditions(), MACHINE, validation_examples=64, seconds=5.0
)


def completed(recipe: Recipe) -> ResolvedRecipe:
    """As preparing the data leaves the most thorough level: every open number is filled."""
    return resolve_test_recipe(with_level(recipe, LEVELS[0]))


def fitted(recipe: Recipe, seconds: float) -> Recipe | None:
    taken = choose_level(list(estimate_levels(recipe, completed(recipe), KNOWN)), seconds)
    return None if taken is None else with_training_minutes(taken, seconds)


@pytest.mark.parametrize("seconds", [600, 700, 900, 1800, 3600, 20_000])
def test_what_is_picked_fits_by_the_estimate(seconds: float) -> None:
    recipe = fitted(Recipe(), seconds)
    assert recipe is not None and recipe.training.minutes is not None
    asking = estimate_level(recipe, completed(Recipe()), KNOWN).evaluation_seconds.expected
    assert asking + 60 * recipe.training.minutes <= seconds
    assert recipe.training.minutes * 60 >= 40 * 2 / 0.8 - 3, (
        "one pass is forty steps of 2 s, and a fifth for validation"
    )


def test_more_time_never_asks_less() -> None:
    limits = [fitted(Recipe(), seconds) for seconds in (600, 900, 3600, 20_000)]
    tests = [one.evaluation.max_test_examples or 500 for one in limits if one is not None]
    assert tests == sorted(tests) and len(tests) == 4
    assert limits[-1] is not None and limits[-1].evaluation.max_test_examples is None


def test_where_nothing_fits_there_is_no_recipe_and_the_least_time_is_known() -> None:
    fits = list(estimate_levels(Recipe(), completed(Recipe()), KNOWN))
    least = min(fit.min_seconds for fit in fits)
    assert fitted(Recipe(), least - 1) is None and fitted(Recipe(), least + 1) is not None


def test_what_the_user_set_stays() -> None:
    recipe = load_recipe(
        None,
        [
            "evaluation.max_test_examples=77",
            "requirements.max_forgetting=0.1",
            "training.minutes=4",
        ],
    )
    found = fitted(recipe, 3000)
    assert found is not None
    assert (
        found.evaluation.max_test_examples,
        found.requirements.max_forgetting,
        found.training.minutes,
    ) == (
        77,
        0.1,
        4,
    )
    told = list_filled_keys(recipe, found)
    assert not any(word in " ".join(told) for word in ("test_limit", "max_forgetting", "minutes"))
    assert any(line.startswith("evaluation.max_shots ") for line in told)


def test_passes_that_the_user_set_are_held_against_the_time() -> None:
    recipe = load_recipe(None, ["training.epochs=3"])
    found = fitted(recipe, 900)
    assert found is not None and (found.training.epochs, found.training.minutes) == (3, None)
    assert fitted(load_recipe(None, ["training.epochs=30"]), 900) is None


def test_the_usual_passes_go_before_more_test_examples() -> None:
    thorough, short = (
        EffortLevel(Recipe(), 500.0, 50.0, 150.0),
        EffortLevel(Recipe(seed=1), 100.0, 50.0, 150.0),
    )
    assert choose_level([thorough, short], 1.15 * 600) is short
    assert choose_level([thorough, short], 1.15 * 650) is thorough
    assert choose_level([thorough, short], 1.15 * 160) is short, "time for one pass"
    assert choose_level([thorough, short], 1.15 * 140) is short, "no pass, but all can be asked"
    assert choose_level([thorough, short], 1.15 * 105) is None


@pytest.mark.parametrize(
    ("text", "seconds"), [("15min", 900), ("1h", 3600), ("90s", 90), ("1.5 h", 5400), ("2M", 120)]
)
def test_a_time_is_written_with_its_unit(text: str, seconds: float) -> None:
    assert parse_duration(text, "--budget") == seconds


@pytest.mark.parametrize("text", ["15", "soon", "-3min", "0s", "1h30", ""])
def test_a_time_without_a_unit_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="invalid duration"):
        parse_duration(text, "--budget")


def test_a_budget_that_is_no_time_is_refused_before_anything_is_read() -> None:
    assert run(["decide", "no-such-file.jsonl", "--budget", "soon"]) == 2


def test_a_limit_below_the_right_answers_bounds_what_is_expected_too() -> None:
    """Answers of 40 tokens and a limit of 20: the expected time was above the highest."""
    found = estimate_generation_seconds(
        PROSPECT, replace(WORK, answer_lengths=(40,) * 64), 10, Recipe()
    )
    assert found.low == found.expected == found.high


def test_where_no_pass_fits_prompts_are_judged_and_it_is_told_what_one_pass_would_need(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    least = min(
        estimate_levels(Recipe(), completed(Recipe()), KNOWN), key=lambda fit: fit.pass_fits_in
    )
    material = SimpleNamespace(recipe=completed(Recipe()))
    monkeypatch.setattr(time_budget, "prepare_data", lambda recipe, listener: material)
    monkeypatch.setattr(time_budget, "collect_forecast_inputs", lambda material, index: KNOWN)
    notes = RecordingListener()
    budget = fit_recipe_to_budget(Recipe(), least.pass_fits_in - 10, notes, now=lambda: 0.0)
    found = budget.recipe
    assert budget.known is KNOWN, "the decision goes on with what was timed"
    assert found.training.minutes is not None and found.training.minutes * 60 < least.pass_seconds
    assert any("but not fine-tuning" in note and "--budget" in note for note in notes.messages)
    with pytest.raises(GateFailed, match="too short"):
        fit_recipe_to_budget(Recipe(), least.evaluation_seconds, notes, now=lambda: 0.0)


def test_the_time_that_fitting_took_is_part_of_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    material = SimpleNamespace(recipe=completed(Recipe()))
    monkeypatch.setattr(time_budget, "prepare_data", lambda recipe, listener: material)
    monkeypatch.setattr(time_budget, "collect_forecast_inputs", lambda material, index: KNOWN)
    minutes = []
    for clock in (iter([0.0, 0.0]), iter([0.0, 300.0])):
        found = fit_recipe_to_budget(
            Recipe(), 900.0, RecordingListener(), now=partial(next, clock)
        ).recipe
        minutes.append((found.evaluation.max_test_examples or 500, found.training.minutes or 0))
    assert minutes[1] < minutes[0]


def test_what_was_timed_once_serves_for_other_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    """`decide --budget` timed the model twice: to pick, and again for the estimate of what was
    picked."""
    monkeypatch.setattr(
        estimate, "count_workload", lambda material: replace(WORK, test_examples=24)
    )
    found = KNOWN.about(SimpleNamespace(arrays={"validation": range(16)}))
    assert found.profile.validation_tokens == 6400 // 4 and found.workload.test_examples == 24
    assert found.profile.throughput == PACE and found.validation_examples == 16


def test_only_what_the_user_left_open_may_change_on_the_way() -> None:
    assert list_open_keys(Recipe()) == ("training.minutes", "evaluation.max_test_examples")
    limited = load_recipe(None, ["evaluation.max_test_examples=50"])
    assert list_open_keys(limited) == ("training.minutes",)
    assert list_open_keys(load_recipe(None, ["training.epochs=2"])) == (
        "evaluation.max_test_examples",
    )
