"""A time budget for the whole decision -> values for every open key that costs time, so that it
fits by its estimate.

The model is timed once, and the estimate is made for one level after the other, from the most
thorough to the least. The first level is taken that leaves time for the default number of passes
over the data; if none does, the first that leaves time for one pass. If not even that fits, the
last level is taken, provided all contenders can be evaluated: prompts and retrieval are judged, and
the verdict states that it cannot judge fine-tuning (`records/training_length.py`). Keys that the
user set are left alone. While the decision runs, `costs/budget_replanning.py` plans the rest again.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil, floor
from typing import Any

from tunesmith.costs.budget_replanning import MIN_MINUTES, MINUTES, TEST_LIMIT, BudgetClock
from tunesmith.costs.contender_forecast import (
    estimate_contender_seconds,
    estimate_prediction_seconds,
    estimate_probe_seconds,
    list_contender_work,
)
from tunesmith.costs.training_forecast import forecast, work_share
from tunesmith.errors import GateFailed
from tunesmith.progress_listener import ProgressListener
from tunesmith.records import BudgetPlan, Estimate, KindWork, Recipe, ResolvedRecipe
from tunesmith.records.quantity import format_duration
from tunesmith.records.training_length import MAX_VALIDATION_FRACTION
from tunesmith.runs.store_index import StoreIndex
from tunesmith.workflow.data_preparation import PreparedData, prepare_data
from tunesmith.workflow.estimate import ForecastInputs, busy_of, collect_forecast_inputs

ESTIMATE_MARGIN = 1.15
"""Factor on the estimate for what it leaves out: reading, loading and writing."""

ENDING_SECONDS = 3.0
"""Processor seconds for verdict, error analysis and report, which no rate is measured for."""

LEVEL_KEYS = (
    "evaluation.max_test_examples",
    "evaluation.max_validation_examples",
    "evaluation.max_shots",
    "evaluation.prompt_trials",
    "training.num_evals",
    "requirements.max_forgetting",
)
"""The keys that a level sets, in the order of a row of `LEVELS`."""
LEVELS: tuple[tuple[Any, ...], ...] = (
    (None, 64, 5, 8, 4, 0.05),
    (400, 48, 5, 8, 4, 0.05),
    (200, 32, 4, 6, 3, 0.05),
    (120, 32, 4, 4, 2, 0.05),
    (80, 16, 2, 2, 2, 0.05),
    (60, 16, 2, 2, 2, None),
    (40, 8, 1, 0, 1, None),
    (24, 8, 1, 0, 1, None),
)
"""Values of the keys from the most thorough level to the least. Without
`requirements.max_forgetting` general ability is not measured.
"""


@dataclass(frozen=True)
class EffortLevel:
    """A level as a recipe, with the seconds of everything but tuning, of one pass, and of the
    default number of passes.
    """

    recipe: Recipe
    evaluation_seconds: float
    pass_seconds: float
    default_training_seconds: float

    @property
    def pass_fits_in(self) -> float:
        """Seconds with the least tuning that allows a judgment: one pass."""
        return ESTIMATE_MARGIN * (self.evaluation_seconds + self.pass_seconds)

    @property
    def min_seconds(self) -> float:
        """Seconds with almost no tuning; with the full tuning if the user set its length."""
        training = self.recipe.training
        is_set = training.minutes is not None or training.epochs is not None
        return (
            self.pass_fits_in
            if is_set
            else ESTIMATE_MARGIN * (self.evaluation_seconds + MIN_MINUTES * 60)
        )


@dataclass(frozen=True)
class FittedBudget:
    """A recipe that was fitted to a time: the clock that runs since then, the inputs of the
    estimate, and the keys that the user left open.
    """

    recipe: Recipe
    known: ForecastInputs
    clock: BudgetClock
    open_keys: tuple[str, ...]

    def plan(self, data: PreparedData) -> BudgetPlan:
        """What the decision expects of its time, for data prepared with the fitted recipe."""
        return plan_budget(self.known.about(data), data, self.clock.budget_seconds, self.open_keys)


def fit_recipe_to_budget(
    recipe: Recipe,
    budget_seconds: float,
    listener: ProgressListener,
    now: Callable[[], float] = time.monotonic,
) -> FittedBudget:
    """The recipe with every open key that costs time filled so that the decision fits by its
    estimate; the choices are reported. The time of the search itself counts.

    Errors: `GateFailed` with the minimum time if nothing fits; whatever `prepare_data` and
    `collect_forecast_inputs` raise.
    """
    clock = BudgetClock(budget_seconds, now)
    most = with_level(recipe, LEVELS[0])
    # The most thorough level has the largest splits: smaller levels use a part of them.
    material = prepare_data(most, listener)
    listener.start_stage(
        f"choosing settings for a time budget of {format_duration(budget_seconds)}"
    )
    with StoreIndex.open(listener) as index:
        known = collect_forecast_inputs(material, index)
    for line in busy_of(known):
        listener.warn("estimate/busy-machine", line)
    fits = list(estimate_levels(recipe, material.recipe, known))
    # Preparing and timing count against the budget.
    spent = clock.spent
    taken = choose_level(fits, budget_seconds - spent)
    if taken is None:
        least = min(fits, key=lambda fit: fit.min_seconds)
        needed = spent + least.pass_fits_in
        raise GateFailed(
            "budget-too-short",
            "time budget is too short",
            at="--budget",
            got=(
                f"{format_duration(budget_seconds)}; estimated minimum "
                f"{format_duration(needed)}: evaluation "
                f"{format_duration(least.evaluation_seconds)}, one epoch "
                f"{format_duration(least.pass_seconds)}"
            ),
            hint=f"use --budget {ceil(needed / 60)}min or more; or a smaller model; or fewer "
            "examples",
        )
    fitted = with_training_minutes(taken, budget_seconds - spent)
    listener.note(
        "budget/filled",
        "chosen to fit: "
        f"{', '.join(list_filled_keys(recipe, fitted)) or 'nothing, all keys were set'}",
        keys=list_filled_keys(recipe, fitted),
    )
    if taken.pass_fits_in > budget_seconds - spent:
        enough = f"--budget {ceil((spent + taken.pass_fits_in) / 60)}min"
        listener.warn(
            "budget/too-small",
            f"one epoch does not fit ({format_duration(taken.pass_seconds)}): the verdict will "
            f"cover prompting and retrieval but not fine-tuning; {enough} would be enough for "
            "one epoch",
        )
    return FittedBudget(fitted, known, clock, list_open_keys(recipe))


def plan_budget(
    known: ForecastInputs, data: PreparedData, budget_seconds: float, open_keys: Sequence[str]
) -> BudgetPlan:
    """The expected seconds of each part of a decision, as `forecast` counts them."""
    recipe, profile, work = data.recipe, known.profile, known.workload
    estimate = forecast(profile, work, recipe, known.past_runs, "quick", known.conditions)
    slower, extent, training = (
        estimate.corrections["seconds"],
        estimate.training_length,
        recipe.training,
    )
    assert extent is not None  # every forecast has one
    kinds: dict[str, KindWork] = {}
    for one in list_contender_work(work, recipe):
        seconds = slower * estimate_contender_seconds(profile, work, recipe, one).expected
        kept = kinds.get(one.kind.name, KindWork(choice_seconds=0.0, test_seconds=0.0, choices=0))
        kinds[one.kind.name] = KindWork(
            choice_seconds=kept.choice_seconds + seconds * one.choice_share,
            test_seconds=kept.test_seconds + seconds * (1 - one.choice_share),
            choices=kept.choices + (one.choice_share > 0 and one.free + one.held > one.tested),
        )
    # The steps get what validation leaves of the training time.
    one_pass = extent.steps_per_epoch * extent.step_seconds / (1 - MAX_VALIDATION_FRACTION)
    planned = estimate.seconds.expected
    is_open = "training.minutes" in open_keys
    ending = estimate_prediction_seconds(profile, work, recipe).expected
    return BudgetPlan(
        budget_seconds=budget_seconds,
        open_keys=tuple(open_keys),
        test_examples=len(data.split.test[: recipe.evaluation.max_test_examples]),
        training_minutes=training.minutes,
        test_limit=recipe.evaluation.max_test_examples,
        work=kinds,
        probe_seconds=slower * estimate_probe_seconds(profile, work, recipe).expected / 2,
        ending_seconds=slower * ending + ENDING_SECONDS / work_share(known.conditions.waiting),
        pass_seconds=one_pass if is_open else planned,
        training_seconds=planned,
        max_training_seconds=one_pass * extent.default_epochs if is_open else planned,
    )


def list_open_keys(recipe: Recipe) -> tuple[str, ...]:
    """The keys that may change on the way, as far as the user left them open."""
    training = recipe.training
    is_length_open = training.minutes is None and training.epochs is None
    is_limit_open = "max_test_examples" not in recipe.evaluation.model_fields_set
    return (MINUTES,) * is_length_open + (TEST_LIMIT,) * is_limit_open


def choose_level(fits: Sequence[EffortLevel], seconds: float) -> EffortLevel | None:
    """The most thorough level with time for the default passes, else for one, else the least
    thorough; None if none fits.
    """
    for_usual = (
        fit
        for fit in fits
        if ESTIMATE_MARGIN * (fit.evaluation_seconds + fit.default_training_seconds) <= seconds
    )
    for_one = (fit for fit in fits if fit.pass_fits_in <= seconds)
    for_asking = (fit for fit in reversed(fits) if fit.min_seconds <= seconds)
    return next(for_usual, None) or next(for_one, None) or next(for_asking, None)


def with_training_minutes(fit: EffortLevel, seconds: float) -> Recipe:
    """The recipe with the minutes left for tuning, at most those of the default passes."""
    training = fit.recipe.training
    if training.minutes is not None or training.epochs is not None:
        return fit.recipe
    left = min(seconds / ESTIMATE_MARGIN - fit.evaluation_seconds, fit.default_training_seconds)
    # Rounded down to a tenth of a minute.
    return with_value(fit.recipe, "training.minutes", max(MIN_MINUTES, floor(left / 6) / 10))


def estimate_levels(
    recipe: Recipe, completed: ResolvedRecipe, inputs: ForecastInputs
) -> Iterator[EffortLevel]:
    """Every level with its estimate; `completed` is the recipe of the most thorough level with
    every number filled in.
    """
    for level in LEVELS:
        changed = with_level(recipe, level)
        estimate = estimate_level(changed, completed, inputs)
        extent = estimate.training_length
        assert extent is not None  # every forecast has one
        if recipe.training.minutes is not None or recipe.training.epochs is not None:
            one = usual = estimate.seconds.expected
        else:
            one, usual = (
                # The steps get what validation leaves of the training time.
                passes
                * extent.steps_per_epoch
                * extent.step_seconds
                / (1 - MAX_VALIDATION_FRACTION)
                for passes in (1.0, extent.default_epochs)
            )
        yield EffortLevel(changed, estimate.evaluation_seconds.expected, one, usual)


def estimate_level(changed: Recipe, completed: ResolvedRecipe, inputs: ForecastInputs) -> Estimate:
    """The forecast for a level: fewer examples are evaluated and validated on, and nothing is timed
    again.
    """
    work = inputs.workload
    evaluation = changed.evaluation
    tests = (
        work.test_examples
        if evaluation.max_test_examples is None
        else min(work.test_examples, evaluation.max_test_examples)
    )
    answers = work.answer_lengths[: evaluation.max_validation_examples]
    share = min(1.0, evaluation.max_validation_examples / max(1, inputs.validation_examples))
    prospect = replace(
        inputs.profile, validation_tokens=int(inputs.profile.validation_tokens * share)
    )
    training = completed.training.replace(num_evals=changed.training.num_evals)
    limits = {
        name: getattr(evaluation, name)
        for name in ("max_test_examples", "max_validation_examples", "max_shots", "prompt_trials")
    }
    recipe = completed.replace(
        training=training,
        evaluation=completed.evaluation.replace(**limits),
        requirements=changed.requirements,
    )
    return forecast(
        prospect,
        replace(work, test_examples=tests, answer_lengths=answers),
        recipe,
        inputs.past_runs,
        "quick",
        inputs.conditions,
    )


def with_level(recipe: Recipe, level: Sequence[Any]) -> Recipe:
    """The recipe at a level; keys that it sets itself stay."""
    for key, value in zip(LEVEL_KEYS, level, strict=True):
        section, name = key.split(".")
        if name not in getattr(recipe, section).model_fields_set:
            recipe = with_value(recipe, key, value)
    return recipe


def with_value(recipe: Recipe, key: str, value: Any) -> Recipe:
    """The recipe with one key of a section set, without marking it as set by the user."""
    section, name = key.split(".")
    filled = getattr(recipe, section).replace(**{name: value})
    return recipe.replace(**{section: filled})


def list_filled_keys(before: Recipe, after: Recipe) -> list[str]:
    """For example `evaluation.max_shots 2`: each key that was chosen here, with its value."""
    keys = []
    for key in ("training.minutes", *LEVEL_KEYS):
        section, name = key.split(".")
        if name in getattr(before, section).model_fields_set:
            continue
        value = getattr(getattr(after, section), name)
        if value is not None or key != "training.minutes":
            keys.append(f"{key} {'null' if value is None else format(value, 'g')}")
    return keys
