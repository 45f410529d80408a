"""Prepared data -> run: the training data, metrics and samples in the run's folder, and the run in
the store.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tunesmith.costs.training_forecast import compute_estimate_ratios
from tunesmith.data.prepare import format_mask
from tunesmith.evaluation.usage_meter import compute_waiting_fraction, read_scheduler_stats
from tunesmith.progress_listener import NULL_LISTENER, ProgressListener
from tunesmith.providers.local_model import LocalModel
from tunesmith.records import (
    Command,
    Estimate,
    PreparedSplit,
    Recipe,
    Run,
    TrainingResult,
    compute_fingerprint,
    format_epochs,
)
from tunesmith.runs.machine_info import describe_machine, list_versions
from tunesmith.runs.run_folder import APPENDED_FILES, RunFolder
from tunesmith.runs.session import RunSession, begin_run
from tunesmith.runs.store_index import StoreIndex, remove_training_files
from tunesmith.runs.training_data import TrainingData, write_training_data
from tunesmith.workflow.data_preparation import PreparedData, prepare_data
from tunesmith.workflow.estimate import report_estimate
from tunesmith.workflow.training_callbacks import (
    MetricRecorder,
    build_generation_scorer,
    measure_training_length,
)

if TYPE_CHECKING:
    from tunesmith.engine.checkpoint import LoadedCheckpoint


NO_EXTRA_INPUTS: Mapping[str, str] = {}
MIN_WARNED_FRACTION = 0.05
"""Fraction of a model's weights; below it no warning, because small convolutions also have
three-dimensional weights.
"""


@dataclass(frozen=True)
class TrainingJob:
    """A training about to begin or to resume: the run in progress and everything that it works
    with.
    """

    session: RunSession
    recipe: Recipe
    data: TrainingData
    model: LocalModel

    @property
    def output_folder(self) -> Path:
        """Where the result goes: full fine-tuning writes a whole model, every other kind an
        adapter.
        """
        folder = self.session.folder
        return folder.model if self.recipe.adapter.kind == "full" else folder.adapter


def train(
    recipe: Recipe, out: Path = Path("runs"), listener: ProgressListener = NULL_LISTENER
) -> tuple[Run, RunFolder]:
    """Tune only. Ctrl-C and SIGTERM end after the current step with a checkpoint from which
    `resume` continues.

    Errors: `InputError`, `GateFailed` if the data has errors, `TrainingError` if training cannot
    continue; `Interrupted` after Ctrl-C, with what was saved.
    """
    data = prepare_data(recipe, listener)
    with StoreIndex.open(listener) as index:  # a model that does not load must leave no run folder
        estimate = report_estimate(data, index, listener)
        model = data.model.load_for_recipe(recipe)
        with begin_training_run(data, out, model, index, estimate, "train", listener) as job:
            return run_training(job), job.session.folder


@contextmanager
def begin_training_run(
    data: PreparedData,
    out: Path,
    model: LocalModel,
    index: StoreIndex,
    estimate: Estimate | None,
    command: Command,
    listener: ProgressListener,
    inputs: Mapping[str, str] = NO_EXTRA_INPUTS,
) -> Iterator[TrainingJob]:
    """A new run with everything known before training; `inputs` are fingerprints of what is read
    besides data and model.
    """

    def write_inputs(folder: RunFolder) -> Run:
        _write_inputs(data, folder)
        return _create_run(data, folder, model, estimate, command, inputs)

    with begin_run(out, data.check.dataset.name, index, listener, write_inputs) as session:
        yield TrainingJob(session, data.recipe, data.training_data, model)


def _write_inputs(data: PreparedData, folder: RunFolder) -> None:
    folder.write_recipe(data.recipe)
    folder.write_versions(list_versions())
    folder.write(data.check)
    folder.write(data.split)
    folder.write_prepared(data.prepared)
    folder.write_mask(format_mask(data.mask_proof))
    write_training_data(folder, data.training_data)


def run_training(job: TrainingJob, saved: "LoadedCheckpoint | None" = None) -> Run:
    """Train the model in memory, or continue from a checkpoint; afterwards it holds the best
    weights. Errors: `TrainingError`; `Interrupted` after the step in which a stop was requested.
    """
    session = job.session
    session.listener.start_stage("tuning")
    _warn_about_untrained_weights(job, session.listener)
    # To the end: a signal between the last step and the record would lose the training.
    with session.stop.finishing():
        result = _train_weights(job, saved)
        result = result.replace(
            training_length=measure_training_length(session.folder, job.data, job.recipe, result)
        )
        if result.training_length is not None and result.status == "finished":
            session.listener.note(
                "training/length", f"trained for {format_epochs(result.training_length)}"
            )
        ratios = compute_estimate_ratios(session.run.replace(status=result.status, result=result))
        run = session.finish(result.status, result=result, estimate_error=ratios)
        if run.status == "interrupted":
            raise session.build_interruption()
        remove_training_files(session.folder, run)
    return run


def _train_weights(job: TrainingJob, saved: "LoadedCheckpoint | None") -> TrainingResult:
    from tunesmith.engine.adapter_training import train_adapter

    # these load torch, which callers without a model must not import
    from tunesmith.engine.checkpoint import Checkpoints
    from tunesmith.engine.checkpointing import CheckpointConfig

    folder, listener, stop = job.session.folder, job.session.listener, job.session.stop
    recorder = MetricRecorder(folder, listener, job.recipe, saved.step if saved else 0)
    checkpoints = Checkpoints(folder.checkpoints)
    queue = read_scheduler_stats()
    # The checksums of these files change while training appends to them.
    with folder.allow_rewriting("adapter", "model", *APPENDED_FILES):
        result = train_adapter(
            job.model.loaded,
            job.data.arrays["train"],
            job.data.arrays["validation"],
            job.recipe,
            adapter_folder=job.output_folder,
            on_line=recorder,
            score=build_generation_scorer(job.data, job.recipe, folder, job.model, recorder, stop),
            stop=stop.is_requested,
            at_once=stop.at_once,
            on_progress=listener.update_progress,
            checkpointing=CheckpointConfig(checkpoints, folder.record_journal, saved),
        )
    result = result.replace(waiting=compute_waiting_fraction(queue, read_scheduler_stats()))
    # The energy of a resumed run would lack its earlier sessions.
    if saved is None:
        result = result.replace(energy_joules=recorder.energy.accumulate_joules())
    return result


def _warn_about_untrained_weights(job: TrainingJob, listener: ProgressListener) -> None:
    """Warn if an adapter leaves much of the model untrained: stacked experts are not linear
    layers.
    """
    from tunesmith.engine.adapters.linear_layers import count_stacked_weights

    stacked, total = count_stacked_weights(job.model.loaded.model)
    if job.recipe.adapter.kind != "full" and stacked > MIN_WARNED_FRACTION * total:
        listener.warn(
            "training/untrained-weights",
            f"{stacked / total:.0%} of the model weights are experts, which adapters do not "
            "support; they are not trained (adapter.kind=full trains them)",
            fraction=stacked / total,
        )


def _create_run(
    data: PreparedData,
    folder: RunFolder,
    model: LocalModel,
    estimate: Estimate | None,
    command: Command,
    inputs: Mapping[str, str],
) -> Run:
    return Run(
        id=folder.id,
        created=datetime.now(UTC).isoformat(timespec="milliseconds"),
        status="running",
        recipe=data.recipe.fingerprint,
        dataset=data.check.dataset.fingerprint,
        split=data.split.fingerprint,
        prepared={name: prepared.fingerprint for name, prepared in data.prepared.items()},
        model=data.model.identity,
        machine=describe_machine(model.accelerator),
        versions=list_versions(),
        seeds={"recipe": data.recipe.seed},
        reproducibility_key={
            **build_reproducibility_key(data.recipe, model, data.prepared),
            **inputs,
        },
        estimate=estimate,
        command=command,
        defaults=data.defaults,
    )


def build_reproducibility_key(
    recipe: Recipe, model: LocalModel, prepared: Mapping[str, PreparedSplit]
) -> dict[str, str]:
    """What must be unchanged for a run to resume as if it had never stopped."""
    from tunesmith.engine.checkpointing import build_numerics_key as identity_of_process

    installed = list_versions()
    return {
        "recipe": recipe.fingerprint,
        "data": compute_fingerprint(
            {name: split.content_sha256 for name, split in prepared.items()}
        ),
        "model": compute_fingerprint(model.resolved.identity.files),
        "tokenizer": model.resolved.tokenizer.tokenizer_sha256,
        **{name: installed.get(name, "") for name in ("tunesmith", "transformers")},
        **identity_of_process(model.loaded),
    }
