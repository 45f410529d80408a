"""Recipe -> time, memory and cost before anything is spent; after the run, how accurate the
estimate was.
"""

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import psutil

from tunesmith.contenders.external_contenders import read_custom_prompts
from tunesmith.contenders.prompting.prompt_instructions import count_format_instructions
from tunesmith.costs.contender_forecast import Workload
from tunesmith.costs.load_warnings import (
    BUSY_MACHINE,
    compute_stolen_fraction,
    describe_rates_origin,
    list_load_warnings,
)
from tunesmith.costs.measured_rates import RatesFile, RatesLookup
from tunesmith.costs.training_forecast import EstimateMethod, ForecastConditions, forecast
from tunesmith.errors import GateFailed, ModelError
from tunesmith.evaluation.usage_meter import compute_waiting_fraction, read_scheduler_stats
from tunesmith.progress_listener import NULL_LISTENER, ProgressListener
from tunesmith.providers.local_model import LocalModel
from tunesmith.records import (
    ChatTokenizer,
    Estimate,
    Machine,
    OutputConstraint,
    Recipe,
    Run,
    TokenArrays,
    format_epochs,
    format_needed_minutes,
)
from tunesmith.records.quantity import format_duration, format_usd
from tunesmith.records.training_estimate import sum_intervals
from tunesmith.runs.machine_info import describe_machine
from tunesmith.runs.store_index import StoreIndex
from tunesmith.workflow.data_preparation import PreparedData, prepare_data

if TYPE_CHECKING:
    from tunesmith.engine.machine_measurement import TrainingProfile

MAX_PAST_RUNS = 100
"""The newest runs whose estimate errors are considered."""


def estimate(
    recipe: Recipe, *, measure: bool = False, listener: ProgressListener = NULL_LISTENER
) -> Estimate:
    """What the recipe's training will need; with `measure` the whole model is loaded and training
    steps are timed.

    Nothing is written. Errors: as `train`, before its first step.
    """
    material = prepare_data(recipe, listener)
    listener.start_stage("measuring this machine")
    with StoreIndex.open(listener) as index:
        return estimate_run(
            material, index, material.model.load_for_recipe(material.recipe) if measure else None
        )


@dataclass(frozen=True)
class ForecastInputs:
    """Inputs of a forecast: the timed model, the counted work, past runs, and the machine's present
    state; `seconds` is the time spent on collecting them.

    `timed_at`: ISO time of the rates' measurement, None if that was just now; `stolen`: fraction of
    the cores' time that the host gave to other machines meanwhile.
    """

    profile: "TrainingProfile"
    workload: Workload
    past_runs: list[Run]
    conditions: ForecastConditions
    machine: Machine
    validation_examples: int
    seconds: float
    timed_at: str | None = None
    stolen: float = 0.0

    def about(self, material: PreparedData) -> "ForecastInputs":
        """The same inputs for another recipe on the same training examples: nothing is timed
        again.
        """
        examples = len(material.arrays["validation"])
        share = min(1.0, examples / max(1, self.validation_examples))
        prospect = replace(
            self.profile, validation_tokens=int(self.profile.validation_tokens * share)
        )
        return replace(
            self, profile=prospect, workload=count_workload(material), validation_examples=examples
        )


def collect_forecast_inputs(
    data: PreparedData, index: StoreIndex, model: LocalModel | None = None
) -> ForecastInputs:
    """Time a `model` (which gets an adapter), else a slice of it, unless its rates on this machine
    are cached (`rates.py`).

    Errors: `ModelError` if the model cannot be sliced, `TrainingError` if memory cannot suffice.
    """
    from tunesmith.engine.machine_measurement import profile_model, profile_slices

    # Scheduler counters are read before and after: the difference tells how busy the machine was
    # during the timing.
    began, queue, cores_before = time.monotonic(), read_scheduler_stats(), psutil.cpu_times()
    train, validation, recipe = data.arrays["train"], data.arrays["validation"], data.recipe
    identity, timed_at = data.model.identity, None
    if model is None:
        file = RatesFile.of(identity, describe_machine(), recipe)
        recall = RatesLookup(
            file.read(), lambda: compute_waiting_fraction(queue, read_scheduler_stats())
        )
        prospect = profile_slices(identity.folder, train, validation, recipe, recall)
        timed_at = recall.used_of
        if timed_at is None:
            file.write(prospect.throughput.rates, recall.waiting())
    else:
        prospect = profile_model(model.loaded, train, validation, recipe)
    now, waiting = (
        describe_machine(prospect.accelerator),
        compute_waiting_fraction(queue, read_scheduler_stats()),
    )
    here = ForecastConditions(
        identity.parameters, psutil.getloadavg()[0] / now.cores, datetime.now(UTC), waiting
    )
    return ForecastInputs(
        prospect,
        count_workload(data),
        list_past_runs(index, now),
        here,
        now,
        len(validation),
        seconds=round(time.monotonic() - began, 3),
        timed_at=timed_at,
        stolen=compute_stolen_fraction(cores_before, psutil.cpu_times()),
    )


def estimate_run(
    data: PreparedData,
    index: StoreIndex,
    model: LocalModel | None = None,
    known: ForecastInputs | None = None,
) -> Estimate:
    """The estimate for prepared data, from what is `known` of the model. Errors: as
    `collect_forecast_inputs`.
    """
    known = known.about(data) if known else collect_forecast_inputs(data, index, model)
    how: EstimateMethod = "quick" if model is None else "measured"
    estimate = forecast(
        known.profile, known.workload, data.recipe, known.past_runs, how, known.conditions
    )
    assumptions = (
        *busy_of(known),
        *describe_rates_origin(known.timed_at),
        *estimate.assumptions,
    )
    return estimate.replace(assumptions=assumptions, estimating_seconds=known.seconds)


def busy_of(known: ForecastInputs) -> tuple[str, ...]:
    """A warning if the machine was busy while the model was timed."""
    return list_load_warnings(
        known.conditions.waiting, known.conditions.load, known.machine.cores, known.stolen
    )


def report_estimate(
    data: PreparedData,
    index: StoreIndex,
    listener: ProgressListener,
    *,
    decides: bool = False,
    known: ForecastInputs | None = None,
) -> Estimate | None:
    """Report the estimate at the beginning of a run: the total of `decide`, or the tuning alone;
    None for a model that can be trained but not sliced.

    Errors: `GateFailed` if strict and the tuning would be too short to judge fine-tuning by.
    """
    listener.start_stage("estimating")
    try:
        estimate = estimate_run(data, index, known=known)
    # The estimate is a service: a model that cannot be sliced can still be trained.
    except ModelError as error:
        listener.note("estimate/none", f"no estimate: {error.got or error.what}")
        return None
    listener.note("estimate/made", summarize_estimate(estimate, decides=decides))
    for line in estimate.assumptions:
        if line.startswith(BUSY_MACHINE):
            listener.warn("estimate/busy-machine", line)
    if warning := format_short_training_warning(estimate):
        listener.warn("estimate/short-training", warning)
        if decides and data.recipe.fail_on_warning:
            raise GateFailed(
                "too-short-tuning",
                warning,
                at="training.minutes",
                got=format_training_length(estimate),
                hint="allow more training time; or turn off fail_on_warning",
            )
    return estimate


def format_short_training_warning(estimate: Estimate) -> str:
    """The warning for a tuning that will be too short; empty if it will not."""
    extent = estimate.training_length
    if extent is None or not extent.is_short:
        return ""
    return (
        f"{format_duration(estimate.seconds.expected)} of training are only about "
        f"{format_epochs(extent)}, too little for a conclusion about fine-tuning. "
        f"{format_needed_minutes(extent)}."
    )


def format_training_length(estimate: Estimate) -> str:
    """The planned length of the tuning, in passes or steps."""
    return (
        format_epochs(estimate.training_length)
        if estimate.training_length
        else f"{estimate.steps:,} steps"
    )


def summarize_estimate(estimate: Estimate, *, decides: bool = False) -> str:
    """For example `tuning takes about 5 min (4 min to 8 min) for 3 passes over the data (...), 1.3
    GB of memory and $0.01`; for a decision, the total first.
    """
    seconds = estimate.seconds
    if decides:
        whole, asking = (
            sum_intervals([seconds, estimate.evaluation_seconds]),
            estimate.evaluation_seconds.expected,
        )
        return (
            f"estimated total time {format_duration(whole.expected)} "
            f"({format_duration(whole.low)} to {format_duration(whole.high)}): training "
            f"{format_duration(seconds.expected)} for {format_training_length(estimate)}, "
            f"evaluation {format_duration(asking)}; memory "
            f"{estimate.memory_bytes.expected / 1e9:.1f} GB, cost "
            f"{format_usd(estimate.decide_usd.expected)}"
        )
    between = f"{format_duration(seconds.low)} to {format_duration(seconds.high)}"
    memory = f"memory {estimate.memory_bytes.expected / 1e9:.1f} GB"
    return (
        f"estimated training time {format_duration(seconds.expected)} ({between}) for "
        f"{format_training_length(estimate)}; {memory}, cost "
        f"{format_usd(estimate.usd.expected)}"
    )


def list_past_runs(index: StoreIndex, here: Machine) -> list[Run]:
    """Finished runs with a measured estimate error on a machine like this one, newest first."""
    return [
        stored.run
        for stored in index.list_runs(MAX_PAST_RUNS)
        if stored.run.estimate_error
        and (stored.run.machine.processor, stored.run.machine.cores, stored.run.machine.accelerator)
        == (here.processor, here.cores, here.accelerator)
    ]


def count_workload(data: PreparedData) -> Workload:
    """The amount of work, counted in the data."""
    train, validation = data.prepared["train"], data.prepared["validation"]
    has_questions = any(example.messages for example in data.validation)
    answers = count_answer_tokens(data.arrays["validation"]) if has_questions else ()
    constraint, _ = data.output_constraint
    return Workload(
        examples=train.examples,
        tokens_read=train.tokens_read,
        tokens_trained=train.tokens_trained,
        answer_lengths=answers,
        prompt_tokens=(validation.tokens_read - validation.tokens_trained)
        / max(1, validation.examples),
        test_examples=len(data.test) if has_questions else 0,
        max_new_tokens=data.recipe.evaluation.max_new_tokens,
        label_tokens=count_label_tokens(constraint, data.model.tokenizer),
        format_instructions=count_format_instructions(constraint),
        custom_prompts=len(read_custom_prompts(data.recipe)),
    )


def count_label_tokens(constraint: OutputConstraint | None, tokenizer: ChatTokenizer) -> int:
    """Tokens of all labels, common prefixes counted once; 0 if the answers are not labels."""
    if constraint is None or not constraint.labels:
        return 0
    encoded = tokenizer.encode(list(constraint.labels))
    # Every distinct prefix is one node of the trie that is scored.
    return len({tuple(one.ids[:t]) for one in encoded for t in range(1, len(one.ids) + 1)})


def count_answer_tokens(arrays: TokenArrays) -> tuple[int, ...]:
    """Trained tokens of the first sequence of each example."""
    return tuple(
        int((arrays.get_sequence(arrays.get_sequence_range(e)[0])[1] > 0).sum())
        for e in range(len(arrays))
    )
