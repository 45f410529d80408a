"""What a training takes is told before it, kept with it, compared with what it took, and learned
from."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from door import Door

from tunesmith.costs.contender_forecast import Workload
from tunesmith.costs.training_forecast import (
    ForecastConditions,
    compute_estimate_ratios,
    fit_correction,
    forecast,
    work_share,
)
from tunesmith.evaluation.forgetting.probe import MAX_PROBE_TOKENS
from tunesmith.records import (
    Estimate,
    EstimateInterval,
    EvaluationRecipe,
    MemoryPlan,
    ModelIdentity,
    Recipe,
    Requirements,
    ResolvedRecipe,
    RetrievalRecipe,
    Run,
    TrainingRecipe,
    TrainingResult,
)
from tunesmith.records.quantity import format_duration
from tunesmith.runs.run_folder import RunFolder
from tunesmith.testing.resolved_recipes import resolve_test_recipe
from tunesmith.training import training_callbacks
from tunesmith.workflow.estimate import format_short_training_warning, summarize_estimate


@pytest.fixture(scope="module")
def recipe(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    path.write_text(f"""
        model: {tiny_model}
        adapter: {{rank: 4}}
        training: {{epochs: 2, learning_rate: 0.01, dtype: float32, batch_size: 8, num_evals: 2}}
        evaluation: {{max_validation_examples: 4, max_new_tokens: 8}}
        machine_usd_per_hour: 3600
    """)
    return path


@pytest.mark.parametrize("how", [[], ["--measure"]])
def test_estimate_tells_low_expected_and_high(
    tunesmith: Door, recipe: Path, labels_csv: Path, tmp_path: Path, how: list[str]
) -> None:
    printed = tunesmith("estimate", recipe, labels_csv, "--json", *how)
    assert printed.code == 0, printed.err
    found = Estimate.model_validate_json(printed.out)
    assert found.method == ("measured" if how else "quick")
    assert found.steps == 18, "69 train examples in steps of 8, twice"
    for one in (found.seconds, found.memory_bytes, found.usd, found.decide_usd):
        assert 0 < one.low < one.expected < one.high
    assert found.usd.expected == pytest.approx(found.seconds.expected), "a dollar a second"
    assert found.decide_usd.expected > found.usd.expected
    assert found.tokens_trained < found.tokens_computed <= found.tokens_read
    assert found.plan.max_tokens == 1024 and found.plan.bytes_per_token > 0
    assert found.assumptions


def test_estimate_ends_with_the_command_that_trains(
    tunesmith: Door, recipe: Path, labels_csv: Path
) -> None:
    printed = tunesmith("estimate", recipe, labels_csv, "--set", "training.epochs=1")
    assert printed.code == 0, printed.err
    last = printed.out.splitlines()[-1]
    assert (
        last
        == f"next: tunesmith train {recipe} --set data.path={labels_csv} --set training.epochs=1"
    )
    assert all(
        word in printed.out for word in ("low", "expected", "high", "memory", "9 steps", "assumed:")
    )


def test_estimate_without_data_says_what_is_missing(tunesmith: Door, recipe: Path) -> None:
    printed = tunesmith("estimate", recipe)
    assert printed.code == 2 and "recipe/no-data" in printed.err


def test_pain_11_a_run_keeps_its_estimate_and_what_came_of_it(
    tunesmith: Door, recipe: Path, labels_csv: Path, tmp_path: Path
) -> None:
    """tinker-cookbook#298: cost is unknown before and after."""
    printed = tunesmith("train", recipe, "--set", f"data.path={labels_csv}", "--out", tmp_path)
    assert printed.code == 0, printed.err
    assert "estimated training time" in printed.err
    (folder,) = tmp_path.iterdir()
    run = RunFolder.open(folder).read(Run)
    assert run.estimate is not None and run.result is not None and run.result.plan is not None
    assert (
        run.estimate.steps == run.result.steps
        and run.estimate.tokens_read == run.result.tokens_read
    )
    assert run.estimate.plan.max_tokens == run.result.plan.max_tokens
    idle = work_share(run.result.waiting) / work_share(run.estimate.waiting)
    ratio = run.result.seconds / run.estimate.seconds.expected
    assert run.estimate_error["seconds"] == pytest.approx(ratio * idle, rel=0.01), (
        "both as on an idle machine"
    )
    assert 0.3 < run.estimate_error["memory_bytes"] < 3
    early = run.model_copy(update={"result": run.result.model_copy(update={"stopped_early": True})})
    assert set(compute_estimate_ratios(early)) == {"memory_bytes"}, (
        "a training that ended early says nothing about its time"
    )
    again = Estimate.model_validate_json(tunesmith("estimate", recipe, labels_csv, "--json").out)
    assert again.corrections["seconds"] != 1.0, "the run is in the store, and was learned from"


def test_a_training_keeps_the_energy_that_the_machine_tells(
    tunesmith: Door, recipe: Path, labels_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read with every line, so that no counter begins again unseen."""
    joules = iter(range(100, 10_000, 100))
    monkeypatch.setattr(
        training_callbacks,
        "EnergyCounters",
        lambda: SimpleNamespace(accumulate_joules=lambda: float(next(joules))),
    )
    assert (
        tunesmith("train", recipe, "--set", f"data.path={labels_csv}", "--out", tmp_path).code == 0
    )
    (path,) = tmp_path.iterdir()
    folder = RunFolder.open(path)
    result, lines = folder.read(Run).result, folder.read_metrics().records
    assert result is not None and result.energy_joules == 100.0 * (len(lines) + 1)


# --- the arithmetic


NOW = datetime(2026, 1, 31, tzinfo=UTC)
HERE = ForecastConditions(parameters=100, load=1.0, now=NOW)


def a_run(
    seconds: float,
    *,
    memory: float = 1.0,
    factor: float = 1.0,
    how: str = "quick",
    parameters: int | None = 100,
    load: float = 1.0,
    days: float = 0.0,
) -> Run:
    estimate = Estimate(
        method=how,
        steps=10,
        tokens_read=1,
        tokens_trained=1,
        tokens_computed=1,
        plan=MemoryPlan(),
        seconds=EstimateInterval(low=1, expected=1, high=1),
        breakdown={},
        evaluation_seconds=EstimateInterval(low=0, expected=0, high=0),
        memory_bytes=EstimateInterval(low=1, expected=1, high=1),
        usd=EstimateInterval(low=0, expected=0, high=0),
        decide_usd=EstimateInterval(low=0, expected=0, high=0),
        corrections={"seconds": factor, "memory_bytes": 1.0},
        load=load,
    )
    model = ModelIdentity(
        name="m", source="folder", revision=None, folder="f", files={}, parameters=parameters
    )
    return Run.model_construct(
        estimate=estimate,
        estimate_error={"seconds": seconds, "memory_bytes": memory},
        model=model,
        created=(NOW - timedelta(days=days)).isoformat(),
    )


def prospect() -> object:
    """100 steps' worth of round numbers."""
    from tunesmith.engine.machine_measurement import Throughput, TrainingProfile

    pace = Throughput(
        token_seconds=0.001,
        validation_token_seconds=0.0005,
        update_seconds=0.5,
        prompt_seconds=0.1,
        pass_seconds=0.2,
        used_bytes=1e9,
    )
    return TrainingProfile(
        throughput=pace,
        plan=MemoryPlan(),
        tokens_per_step=1500,
        validation_tokens=2000,
        reference_tokens=0,
        timed_prompts=10,
        base_bytes=500_000_000,
        accelerator=None,
    )


WORK = Workload(
    examples=160,
    tokens_read=40_000,
    tokens_trained=8_000,
    answer_lengths=(5,) * 10,
    prompt_tokens=100.0,
    test_examples=0,
    max_new_tokens=20,
)
RECIPE = resolve_test_recipe(
    Recipe(training=TrainingRecipe(epochs=1, batch_size=16, num_evals=2), machine_usd_per_hour=3.6)
)


def with_minutes(minutes: float, num_evals: int) -> ResolvedRecipe:
    """The recipe with a time budget."""
    changes = {"epochs": None, "minutes": minutes, "num_evals": num_evals}
    return RECIPE.replace(training=RECIPE.training.replace(**changes))


def test_a_forecast_is_the_sum_of_its_pieces() -> None:
    found = forecast(prospect(), WORK, RECIPE, [], "quick")
    steps = 10 * (1500 * 0.001 + 0.5)
    looks = 3 * 2000 * 0.0005 + 2 * (10 * 0.1 + 5 * 0.2)
    assert found.steps == 10 and found.breakdown == pytest.approx(
        {"steps": steps, "looks": looks, "reference": 0}
    )
    assert found.seconds.expected == pytest.approx(steps + looks)
    assert found.seconds.low == pytest.approx(0.6 * (steps + looks))
    assert found.seconds.high == pytest.approx(1.7 * (steps + looks + 2 * 15 * 0.2)), (
        "all answers to the limit"
    )
    assert found.memory_bytes.expected == 1.5e9
    assert found.usd.expected == pytest.approx((steps + looks) / 1000)


def test_a_time_budget_is_kept_and_the_steps_are_estimated() -> None:
    timed = with_minutes(1, 2)
    found = forecast(prospect(), WORK, timed, [], "quick")
    assert (found.seconds.low, found.seconds.expected, found.seconds.high) == pytest.approx(
        (57, 60, 66)
    )
    assert found.steps == int((60 - 7) / 2)
    assert found.training_length is not None and found.training_length.epochs == pytest.approx(2.6)


def test_validation_is_foreseen_to_take_no_more_than_a_fifth_of_a_time_budget() -> None:
    """21 passes would take 61 of 60 s: 12 s are left for them, as the engine leaves them, and no
    more is told."""
    timed = with_minutes(1, 20)
    found = forecast(prospect(), WORK, timed, [], "quick")
    assert found.breakdown["looks"] == 12 and found.steps == 24 and found.seconds.high <= 66


def test_a_budget_for_less_than_a_pass_says_before_it_is_spent_what_would_be_enough() -> None:
    """8 s leave three steps of 2 s: 48 of 160 examples; three passes are 30 steps, 60 s and a
    quarter more."""
    timed = with_minutes(8 / 60, 1)
    found = forecast(prospect(), WORK, timed, [], "quick")
    assert (
        format_short_training_warning(found)
        == "8 s of training are only about 0.3 epochs (48 of 160 examples, 3 steps), too little "
        "for a conclusion about fine-tuning. 3 epochs take about 75 s (--minutes 1.3)."
    )
    assert format_short_training_warning(forecast(prospect(), WORK, RECIPE, [], "quick")) == ""


def test_a_decision_is_foreseen_with_its_total_first() -> None:
    found = forecast(prospect(), replace(WORK, test_examples=100), RECIPE, [], "quick")
    whole = found.seconds.expected + found.evaluation_seconds.expected
    assert summarize_estimate(found, decides=True).startswith(
        f"estimated total time {format_duration(whole)} ("
    )
    assert "training 27 s for 1 epoch (160 examples, 10 steps), evaluation" in summarize_estimate(
        found, decides=True
    )


def test_labels_are_read_after_each_question() -> None:
    """100 tests, 10 for choosing; 300 label tokens on a question of 100 read 1 + 4.5 times what the
    question does."""
    work = replace(WORK, test_examples=100, label_tokens=300)
    recipe = RECIPE.model_copy(
        update={
            "requirements": Requirements(max_forgetting=None),
            "retrieval": RetrievalRecipe(top_k=1),
        }
    )
    free = recipe.model_copy(update={"evaluation": EvaluationRecipe(constrained=False)})
    with_labels, without = (
        forecast(prospect(), work, one, [], "measured").evaluation_seconds for one in (recipe, free)
    )
    held = 4 * 100 * 0.1 * (1 + 4.5) + 2 * 100 * 0.1 * (1 + 0.1 * 4.5)  # four ways, then tuned
    assert with_labels.expected - without.expected == pytest.approx(held, rel=0.5), (
        "and what choices take"
    )
    assert with_labels.high > with_labels.expected > with_labels.low


def test_general_ability_is_foreseen_unless_it_is_switched_off() -> None:
    work = replace(WORK, test_examples=100)
    off = RECIPE.model_copy(update={"requirements": Requirements(max_forgetting=None)})
    asked, not_asked = (
        forecast(prospect(), work, one, [], "measured").evaluation_seconds for one in (RECIPE, off)
    )
    assert asked.expected - not_asked.expected > 2 * MAX_PROBE_TOKENS * 0.2, (
        "passes before and after"
    )


def test_past_errors_move_the_middle_and_set_the_interval() -> None:
    past = [a_run(2.0), a_run(1.0), a_run(1.5)]
    lesson = fit_correction(past, "seconds", "quick", HERE)
    assert lesson.middle == pytest.approx(3.0**0.25), "three runs and one that came out right"
    assert (lesson.low, lesson.high) == pytest.approx((1 / 1.1, 2.2))
    found = forecast(prospect(), WORK, RECIPE, past, "quick", HERE)
    assert any(
        "the last 3 runs of a model of this size took 1 to 2 times" in line
        for line in found.assumptions
    )


def test_a_correction_is_not_corrected_twice() -> None:
    """Twice too low, then right with the factor 2: both say 2."""
    twice = fit_correction([a_run(1.0, factor=2.0), a_run(2.0)], "seconds", "quick", HERE)
    assert twice.middle == fit_correction([a_run(2.0), a_run(2.0)], "seconds", "quick", HERE).middle


def test_on_a_busy_machine_low_is_an_idle_one() -> None:
    idle, busy = (
        forecast(prospect(), WORK, RECIPE, [], "quick", replace(HERE, waiting=w))
        for w in (0.0, 0.5)
    )
    assert busy.seconds.low == pytest.approx(idle.seconds.low / 2)
    assert (busy.seconds.expected, busy.seconds.high) == (idle.seconds.expected, idle.seconds.high)
    assert busy.waiting == 0.5


def test_a_run_that_waited_for_a_core_is_compared_as_on_an_idle_machine() -> None:
    """Expected 10 s on an idle machine; it took 20 s, half of which it waited: the estimate was
    right."""
    estimate = forecast(prospect(), WORK, RECIPE, [], "quick", replace(HERE, waiting=0.0))
    result = TrainingResult(
        status="finished",
        steps=10,
        planned_steps=10,
        best_step=10,
        best_validation_loss=None,
        best_score=None,
        seconds=2 * estimate.seconds.expected,
        tokens_trained=1,
        tokens_read=1,
        peak_memory_bytes=int(estimate.memory_bytes.expected),
        trainable_parameters=1,
        waiting=0.5,
    )
    run = a_run(1.0).model_copy(update={"estimate": estimate, "result": result})
    assert compute_estimate_ratios(run)["seconds"] == 1.0
    unknown = run.model_copy(update={"result": result.model_copy(update={"waiting": None})})
    assert compute_estimate_ratios(unknown)["seconds"] == 2.0


def test_one_run_does_not_narrow_the_interval() -> None:
    lesson = fit_correction([a_run(4.0)], "seconds", "quick", HERE)
    assert (lesson.low, lesson.middle, lesson.high) == pytest.approx((1.2, 2.0, 3.4))


def test_a_model_of_another_size_teaches_nothing() -> None:
    """A tiny model's factor of a busy hour once made the estimate of a real one 3.4 times too
    high."""
    others = [a_run(3.4, parameters=5), a_run(3.4, parameters=None), a_run(3.4, parameters=201)]
    assert fit_correction(others, "seconds", "quick", HERE).middle == 1.0
    assert fit_correction([a_run(1.5, parameters=190)], "seconds", "quick", HERE).middle > 1.0


def test_what_a_run_teaches_fades_with_its_age_and_with_another_load() -> None:
    fresh, old, busy = (
        fit_correction([one], "seconds", "quick", HERE).middle
        for one in (a_run(1.5), a_run(1.5, days=28), a_run(1.5, load=5.0))
    )
    assert fresh == pytest.approx(1.5**0.5)
    assert old == busy == pytest.approx(1.5 ** (1 / 17)), (
        "four half-lives, or four more processes for each core"
    )


def test_no_estimate_is_corrected_by_more_than_twice_and_its_interval_stays_within_that() -> None:
    lesson = fit_correction([a_run(20.0), a_run(30.0), a_run(25.0)], "seconds", "quick", HERE)
    assert (lesson.middle, lesson.high) == pytest.approx((2.0, 4.0))
    alike = fit_correction([a_run(1.0)] * 3, "seconds", "quick", HERE)
    assert (alike.low, alike.middle, alike.high) == pytest.approx((0.8, 1.0, 1.25))


def test_quick_and_measured_learn_apart_and_only_from_the_newest() -> None:
    past = [a_run(3.0, how="measured"), *(a_run(1.0) for _ in range(5)), a_run(9.0)]
    assert fit_correction(past, "seconds", "quick", HERE).high == pytest.approx(1.25)
    assert fit_correction(past, "seconds", "measured", HERE).middle == pytest.approx(3.0**0.5)


def test_nothing_is_learned_from_a_run_that_was_cut_short() -> None:
    run = a_run(1.0)
    assert compute_estimate_ratios(run.model_copy(update={"result": None})) == {}


def test_a_model_whose_examples_cannot_share_says_so() -> None:
    found = forecast(
        replace(prospect(), no_sharing_message="why they cannot"), WORK, RECIPE, [], "quick"
    )
    assert "why they cannot" in found.assumptions


def test_estimates_are_json(tunesmith: Door, recipe: Path, labels_csv: Path) -> None:
    assert set(json.loads(tunesmith("estimate", recipe, labels_csv, "--json").out)) == set(
        Estimate.model_fields
    )
