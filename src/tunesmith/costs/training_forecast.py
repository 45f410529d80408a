"""Measured rates and counted work -> an estimate. Pure arithmetic: this module measures and reads
nothing.

    tuning = steps * (tokens per step * seconds per token + attention + optimizer)
             + validation + reference
    attention = pairs of tokens * seconds per pair, three times for forward and backward
    a validation pass = validation tokens forward + answers generated (none in the first pass)

The outcome of past estimates corrects this one: actual / expected of the newest runs with a model
of similar size, weighted by age and by the difference in machine load, and shrunk towards 1 as if
one run had been estimated exactly:

    factor = exp( sum w log(actual / expected) / (1 + sum w) )
    w = 2^-(days / HALF_LIFE_DAYS + difference of loads)

clipped to [1 / `MAX_CORRECTION`, `MAX_CORRECTION`], so that one busy hour cannot distort later
estimates further. The smallest and largest past ratios (and a tenth beyond) widen the interval, at
least `MIN_INTERVAL_FACTOR` to each side; without past runs the interval is a guess:
`DEFAULT_INTERVALS`. See docs/decisions/112.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil, exp, log
from typing import TYPE_CHECKING, Literal

from tunesmith.costs.contender_forecast import (
    Workload,
    estimate_evaluation_seconds,
    estimate_generation_seconds,
    estimate_probe_seconds,
)
from tunesmith.recipe.defaults import get_default_epochs
from tunesmith.records import (
    Estimate,
    EstimateInterval,
    Recipe,
    ResolvedRecipe,
    Run,
    TrainingLength,
)
from tunesmith.records.training_estimate import make_point_interval, scale_interval, sum_intervals
from tunesmith.records.training_length import MAX_VALIDATION_FRACTION

if TYPE_CHECKING:
    from tunesmith.engine.machine_measurement import TrainingProfile

EstimateMethod = Literal["quick", "measured"]
DEFAULT_INTERVALS = {"quick": (0.6, 1.7), "measured": (0.7, 1.5), "memory_bytes": (0.8, 1.3)}
"""Low and high factor on the expected value while there are no runs to learn from; by method for
time.
"""
MAX_CORRECTION_RUNS = 5
"""The newest comparable runs that a correction is fitted to."""
INTERVAL_MARGIN = 1.1
"""Factor beyond the extremes of past ratios."""
MAX_CORRECTION = 2.0
"""The correction factor lies in [1 / 2, 2]."""
MIN_INTERVAL_FACTOR = 1.25
"""Minimum factor between the expected value and each end of the interval."""
HALF_LIFE_DAYS = 7.0
"""Days after which a run counts half."""
BACKWARD_FACTOR = 3
"""A forward and a backward pass cost as much attention as three forward passes
(`engine/machine_measurement.py`).
"""
MAX_WAITING = 0.9
"""A larger fraction of waiting says that the machine is overloaded, but no longer how much longer
work takes.
"""
MAX_SIZE_RATIO = 2.0
"""Maximum ratio of parameters at which another model's runs are informative for this one."""


@dataclass(frozen=True)
class EstimateCorrection:
    """The correction from past errors for one quantity: actual / expected, lowest, middle and
    highest.
    """

    low: float
    middle: float
    high: float
    runs: int = 0

    def apply_to(self, raw: EstimateInterval, idle: float = 1.0) -> EstimateInterval:
        """The quantity, corrected and with its interval; `idle` scales the low end, the time on an
        idle machine.
        """
        return EstimateInterval(
            low=raw.low * self.low * idle,
            expected=raw.expected * self.middle,
            high=raw.high * self.high,
        )

    def __str__(self) -> str:
        least, most = self.low * INTERVAL_MARGIN, self.high / INTERVAL_MARGIN
        return (
            f"the last {self.runs} runs of a model of this size took {least:.2g} to {most:.2g} "
            "times the estimate"
        )


@dataclass(frozen=True)
class ForecastConditions:
    """What past runs are compared with: the model's parameters, processes per core, the time, and
    the fraction of the time that this program waits for a core.
    """

    parameters: int | None = None
    load: float | None = None
    now: datetime | None = None
    waiting: float | None = None

    def is_comparable(self, run: Run) -> bool:
        """Whether the run's model has a similar size. A model of unknown size is not comparable."""
        theirs = run.trained_model.parameters
        return bool(
            self.parameters
            and theirs
            and 1 / MAX_SIZE_RATIO <= theirs / self.parameters <= MAX_SIZE_RATIO
        )

    def compute_weight(self, run: Run) -> float:
        """Weight of a past run, in (0, 1]."""
        days = (
            0.0
            if self.now is None
            else (self.now - datetime.fromisoformat(run.created)).total_seconds() / 86400
        )
        is_corrected = None not in (
            run.estimate and run.estimate.waiting,
            run.result and run.result.waiting,
        )
        # If both waiting times are known, the ratio is already corrected for load
        # (`compute_estimate_ratios`).
        then = run.estimate.load if run.estimate and not is_corrected else None
        other = 0.0 if then is None or self.load is None else abs(then - self.load)
        return float(0.5 ** (max(0.0, days) / HALF_LIFE_DAYS + other))


def forecast(
    profile: "TrainingProfile",
    workload: Workload,
    recipe: ResolvedRecipe,
    past: Sequence[Run],
    method: EstimateMethod,
    conditions: ForecastConditions = ForecastConditions(),
) -> Estimate:
    """Time, memory and cost of the tuning, and what evaluating all contenders adds."""
    pace, training = profile.throughput, recipe.training
    corrections = {
        name: fit_correction(past, name, method, conditions) for name in ("seconds", "memory_bytes")
    }
    step, validation, reference = _sum_passes(profile)
    reading = (training.num_evals + 1) * validation
    answers = scale_interval(
        estimate_generation_seconds(profile, workload, len(workload.answer_lengths), recipe),
        training.num_evals,
    )
    validation_seconds = sum_intervals([make_point_interval(reading), answers])
    # the engine skips validation passes to stay in budget (engine/validation_budget.py)
    length, unit = training.length
    if unit == "minutes":
        most = MAX_VALIDATION_FRACTION * length * 60 / corrections["seconds"].middle
        validation_seconds = EstimateInterval(
            low=min(validation_seconds.low, most),
            expected=min(validation_seconds.expected, most),
            high=min(validation_seconds.high, most),
        )
    per_epoch = ceil(workload.examples / training.batch_size)
    slower, idle = corrections["seconds"].middle, work_share(conditions.waiting)
    if unit == "epochs":
        steps = max(1, round(length * per_epoch))
        seconds = corrections["seconds"].apply_to(
            sum_intervals([make_point_interval(steps * step + reference), validation_seconds]), idle
        )
    else:
        left = length * 60 - (validation_seconds.expected + reference) * slower
        steps = max(1, int(left / (step * slower)))
        # training ends after the step and validation pass in progress
        budget = length * 60
        over = step * slower + validation_seconds.high * slower / (training.num_evals + 1)
        seconds = EstimateInterval(
            low=0.95 * budget, expected=budget, high=max(1.1 * budget, budget + over)
        )
    deciding = sum_intervals(
        [
            estimate_evaluation_seconds(profile, workload, recipe),
            estimate_probe_seconds(profile, workload, recipe),
        ]
    )
    asked = corrections["seconds"].apply_to(deciding, idle)
    per_second = recipe.machine_usd_per_hour / 3600
    return Estimate(
        method=method,
        steps=steps,
        tokens_read=round(workload.tokens_read * steps / per_epoch),
        tokens_trained=round(workload.tokens_trained * steps / per_epoch),
        tokens_computed=round(profile.tokens_per_step * steps),
        plan=profile.plan,
        seconds=seconds,
        breakdown={
            "steps": steps * step * slower,
            "looks": validation_seconds.expected * slower,
            "reference": reference * slower,
        },
        evaluation_seconds=asked,
        memory_bytes=corrections["memory_bytes"].apply_to(
            make_point_interval(profile.base_bytes + pace.used_bytes)
        ),
        usd=scale_interval(seconds, per_second),
        decide_usd=scale_interval(sum_intervals([seconds, asked]), per_second),
        training_length=_compute_training_length(
            workload, recipe, steps, step * slower, seconds.expected
        ),
        load=conditions.load,
        waiting=conditions.waiting,
        corrections={name: correction.middle for name, correction in corrections.items()},
        assumptions=_list_assumptions(profile, workload, recipe, corrections, method),
    )


def _sum_passes(profile: "TrainingProfile") -> tuple[float, float, float]:
    """Seconds of a step, of reading the validation examples, and of the reference model's pass."""
    pace = profile.throughput

    def read(tokens: float, pairs: float) -> float:
        return tokens * pace.validation_token_seconds + pairs * pace.pair_seconds

    attention = BACKWARD_FACTOR * profile.step_pairs * pace.pair_seconds
    return (
        profile.tokens_per_step * pace.token_seconds + attention + pace.update_seconds,
        read(profile.validation_tokens, profile.validation_pairs),
        read(profile.reference_tokens, profile.reference_pairs),
    )


def fit_correction(
    past: Sequence[Run], name: str, method: EstimateMethod, conditions: ForecastConditions
) -> EstimateCorrection:
    """The correction of "seconds" or "memory_bytes" from the newest finished runs of a similar
    model.
    """
    ratios = [
        # The stored error is relative to a corrected estimate; times its factor it is relative to
        # the raw one.
        (
            run.estimate_error[name] * run.estimate.corrections.get(name, 1.0),
            conditions.compute_weight(run),
        )
        for run in past
        if run.estimate is not None
        and run.estimate.method == method
        and name in run.estimate_error
        and conditions.is_comparable(run)
    ][:MAX_CORRECTION_RUNS]
    low, high = DEFAULT_INTERVALS["memory_bytes" if name == "memory_bytes" else method]
    if not ratios:
        return EstimateCorrection(low, 1.0, high)
    moved = sum(weight * log(max(ratio, 1e-9)) for ratio, weight in ratios) / (
        1 + sum(weight for _, weight in ratios)
    )
    middle = exp(min(log(MAX_CORRECTION), max(-log(MAX_CORRECTION), moved)))
    if len(ratios) == 1:  # a single run gives the middle, but no information about the width
        return EstimateCorrection(low * middle, middle, high * middle, 1)
    least, most = (
        min(ratio for ratio, _ in ratios) / INTERVAL_MARGIN,
        max(ratio for ratio, _ in ratios) * INTERVAL_MARGIN,
    )
    return EstimateCorrection(
        max(middle / MAX_CORRECTION, min(least, middle / MIN_INTERVAL_FACTOR)),
        middle,
        min(middle * MAX_CORRECTION, max(most, middle * MIN_INTERVAL_FACTOR)),
        len(ratios),
    )


def _compute_training_length(
    workload: Workload, recipe: Recipe, steps: int, step_seconds: float, seconds: float
) -> TrainingLength:
    """The number of passes over the data in so many steps."""
    per_pass = ceil(workload.examples / recipe.training.batch_size)
    whole, rest = divmod(steps, per_pass)
    return TrainingLength(
        steps=steps,
        examples=whole * workload.examples
        + min(rest * recipe.training.batch_size, workload.examples),
        train_examples=workload.examples,
        seconds=seconds,
        step_seconds=step_seconds,
        steps_per_epoch=per_pass,
        default_epochs=get_default_epochs(workload.examples, recipe.method),
    )


def work_share(waiting: float | None) -> float:
    """Fraction of the time in which this program's threads had a core; at least 1 -
    `MAX_WAITING`.
    """
    return 1.0 - min(MAX_WAITING, waiting or 0.0)


def compute_estimate_ratios(run: Run) -> dict[str, float]:
    """Actual / expected of a finished run; {} if that is not informative. With a time budget: of
    the time of one step.

    Both are converted to an idle machine if the waiting times are known. The time of a training
    that ended early is not informative.
    """
    estimate, result = run.estimate, run.result
    if (
        estimate is None
        or result is None
        or result.status != "finished"
        or run.resume_count
        or not result.steps
    ):
        return {}
    memory = {
        "memory_bytes": round(
            result.peak_memory_bytes / max(estimate.memory_bytes.expected, 1.0), 4
        )
    }
    if result.stopped_early:
        return memory
    is_timed, busier = result.planned_steps is None, 1.0
    if estimate.waiting is not None and result.waiting is not None:
        busier = work_share(estimate.waiting) / work_share(result.waiting)
    if (
        is_timed
        and estimate.training_length
        and result.training_length
        and estimate.training_length.step_seconds > 0
    ):
        slower = result.training_length.step_seconds / estimate.training_length.step_seconds
        return {"seconds": round(slower / busier, 4), **memory}
    slower = (
        estimate.steps / result.steps
        if is_timed
        else result.seconds / max(estimate.seconds.expected, 1e-9)
    )
    return {"seconds": round(slower / busier, 4), **memory}


def _list_assumptions(
    profile: "TrainingProfile",
    workload: Workload,
    recipe: Recipe,
    corrections: Mapping[str, EstimateCorrection],
    method: EstimateMethod,
) -> tuple[str, ...]:
    source = (
        "a few layers of the model with random weights"
        if method == "quick"
        else "steps of the whole model"
    )
    sentences = [
        f"measured on this machine with {source} and a few hundred tokens",
        "assumes that all steps are like the first 16",
        (
            "low and expected: answers are as long as the reference answers; high: all "
            f"answers reach the limit of {workload.max_new_tokens:,} tokens"
        ),
        f"machine time costs {recipe.machine_usd_per_hour:g} USD per hour (machine_usd_per_hour)",
        "not included: reading and preparing the data, loading the model, writing the report",
    ]
    if recipe.retrieval.documents is not None or recipe.evaluation.remote:
        sentences.append("not included: documents and remote models")
    if (
        recipe.training.early_stopping_patience is not None
        and recipe.training.early_stopping_patience < recipe.training.num_evals
    ):
        sentences.append(
            f"assumes no early stopping ({recipe.training.early_stopping_patience} consecutive"
            " validations "
            "without improvement would stop it)"
        )
    if profile.no_sharing_message:
        sentences.append(profile.no_sharing_message)
    if profile.plan.checkpointing:
        is_asked_for = recipe.training.gradient_checkpointing == "on"
        why = "as the recipe says" if is_asked_for else "because memory is limited"
        sentences.append(f"gradient checkpointing is on, {why}")
    for name, word in (("seconds", "time"), ("memory_bytes", "memory")):
        correction = corrections[name]
        sentences.append(
            f"{word}: {correction}; the estimate is corrected for this"
            if correction.runs > 1
            else (
                f"{word}: corrected by one earlier run on this machine"
                if correction.runs
                else (
                    f"{word}: no finished run on this machine to compare with yet; the "
                    "interval is a guess"
                )
            )
        )
    return tuple(sentences)
