"""Prepared data -> run: the training data, metrics and samples in the run's folder, and the run in
the store.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tunesmith.atomic_io import hash_folder
from tunesmith.costs.training_forecast import compute_estimate_ratios
from tunesmith.data.prepare import format_mask
from tunesmith.errors import RunError, TunesmithError, format_command_line
from tunesmith.evaluation.usage_meter import compute_waiting_fraction, read_scheduler_stats
from tunesmith.progress_listener import NULL_LISTENER, ProgressListener
from tunesmith.providers.local_model import LocalModel
from tunesmith.records import (
    Command,
    Estimate,
    PreparedSplit,
    Recipe,
    Run,
    RunStatus,
    TrainingResult,
    compute_fingerprint,
    format_epochs,
)
from tunesmith.runs.interruption import (
    build_interruption,
    is_interruption,
    is_resumable,
    reporting_saved_work,
)
from tunesmith.runs.machine_info import describe_machine, list_versions
from tunesmith.runs.run_folder import APPENDED_FILES, RunFolder
from tunesmith.runs.signals import StopSignal, stop_on_signals
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
class TrainingSession:
    """A training about to begin or to resume: its run, whose folder this process has locked, and
    everything that it works with.
    """

    run: Run
    folder: RunFolder
    recipe: Recipe
    data: TrainingData
    model: LocalModel
    index: StoreIndex


def train(
    recipe: Recipe, out: Path = Path("runs"), listener: ProgressListener = NULL_LISTENER
) -> tuple[Run, RunFolder]:
    """Tune only. Ctrl-C and SIGTERM end after the current step with a checkpoint from which
    `resume` continues.

    Errors: `InputError`, `GateFailed` if the data has errors, `TrainingError` if training cannot
    continue; `Interrupted` after Ctrl-C, with what was saved.
    """
    material = prepare_data(recipe, listener)
    with StoreIndex.open(listener) as index:  # a model that does not load must leave no run folder
        estimate = report_estimate(material, index, listener)
        model = material.model.load_for_recipe(recipe)
        with (
            start_run(material, out, model, index, estimate, "train") as tuning,
            stop_on_signals() as stop,
            stop.finishing(),
        ):
            run = run_training(tuning, listener, stop)
    if run.status == "interrupted":
        raise build_interruption(tuning.folder, stop.exit_code)
    return run, tuning.folder


@contextmanager
def start_run(
    data: PreparedData,
    out: Path,
    model: LocalModel,
    index: StoreIndex,
    estimate: Estimate | None,
    command: Command,
    inputs: Mapping[str, str] = NO_EXTRA_INPUTS,
) -> Iterator[TrainingSession]:
    """A run's locked folder with everything known before training, made visible once complete, and
    the run in the store; `inputs` are fingerprints of what is read besides data and model.

    If the block is left before the training ended, the run's status records how.
    """
    folder = RunFolder.create_hidden(out, data.check.dataset.name)
    with folder.lock():
        try:
            run = _create_run(data, folder, model, estimate, command, inputs)
            _write_inputs(data, folder)
            folder.write(run)
            # Only now is the folder visible: an observer never sees half of a run.
            folder.publish()
        except BaseException:
            folder.discard()
            raise
        tuning = TrainingSession(run, folder, data.recipe, data.training_data, model, index)
        # From here on an error is recorded in the run instead of discarding it.
        with record_exit_status(tuning):
            index.record_run(folder)
            yield tuning


@contextmanager
def record_exit_status(session: TrainingSession) -> Iterator[None]:
    """If the block fails before the training ended, the run's status records it and the error names
    the next command.
    """
    folder = session.folder
    with reporting_saved_work(folder, is_decision=session.run.command == "decide"):
        try:
            yield
        except BaseException as error:
            if folder.read(Run).status == "running":
                with suppress(RunError):  # on a full disk: the original error is more informative
                    _finish(session, "interrupted" if is_interruption(error) else "failed", None)
            if not is_interruption(error) and is_resumable(folder):
                go_on = format_command_line("resume", folder.path)
                if isinstance(error, TunesmithError):
                    error.do = f"{error.do}; then resume with {go_on}".removeprefix("; then ")
                error.add_note(f"resume with {go_on}")
            raise


def _write_inputs(data: PreparedData, folder: RunFolder) -> None:
    folder.write_recipe(data.recipe)
    folder.write_versions(list_versions())
    folder.write(data.check)
    folder.write(data.split)
    folder.write_prepared(data.prepared)
    folder.write_mask(format_mask(data.mask_proof))
    write_training_data(folder, data.training_data)


def run_training(
    session: TrainingSession,
    listener: ProgressListener,
    stop: StopSignal,
    saved: "LoadedCheckpoint | None" = None,
) -> Run:
    """Train the model in memory, or continue from a checkpoint; afterwards it holds the best
    weights. Call it inside a `stop.finishing` block.
    """
    from tunesmith.engine.adapter_training import train_adapter

    # these load torch, which callers without a model must not import
    from tunesmith.engine.checkpoint import Checkpoints
    from tunesmith.engine.checkpointing import CheckpointConfig

    listener.start_stage("tuning")
    folder, lesson = session.folder, session.data
    _warn_about_untrained_weights(session, listener)
    lines = MetricRecorder(folder, listener, session.recipe, saved.step if saved else 0)
    checkpoints = Checkpoints(folder.checkpoints)
    queue = read_scheduler_stats()
    # The checksums of these files change while training appends to them.
    with folder.allow_rewriting("adapter", "model", *APPENDED_FILES):
        result = train_adapter(
            session.model.loaded,
            lesson.arrays["train"],
            lesson.arrays["validation"],
            session.recipe,
            adapter_folder=_get_output_folder(session),
            on_line=lines,
            score=build_generation_scorer(
                lesson, session.recipe, folder, session.model, lines, stop
            ),
            stop=stop.is_requested,
            at_once=stop.at_once,
            on_progress=listener.update_progress,
            checkpointing=CheckpointConfig(checkpoints, folder.record_journal, saved),
        )
    result = result.replace(waiting=compute_waiting_fraction(queue, read_scheduler_stats()))
    # The energy of a resumed run would lack its earlier sessions.
    if saved is None:
        result = result.replace(energy_joules=lines.energy.accumulate_joules())
    result = result.replace(extent=measure_training_length(folder, lesson, session.recipe, result))
    if result.extent is not None and result.status == "finished":
        listener.note("training/length", f"trained for {format_epochs(result.extent)}")
    run = _finish(session, result.status, result)
    if result.status == "finished":
        remove_training_files(folder, run)
    return run


def _warn_about_untrained_weights(session: TrainingSession, listener: ProgressListener) -> None:
    """Warn if an adapter leaves much of the model untrained: stacked experts are not linear
    layers.
    """
    from tunesmith.engine.adapters.linear_layers import count_stacked_weights

    stacked, total = count_stacked_weights(session.model.loaded.model)
    if session.recipe.adapter.kind != "full" and stacked > MIN_WARNED_FRACTION * total:
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
        identity={**build_reproducibility_key(data.recipe, model, data.prepared), **inputs},
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
        "data": compute_fingerprint({name: split.content for name, split in prepared.items()}),
        "model": compute_fingerprint(model.resolved.identity.files),
        "tokenizer": model.resolved.tokenizer.tokenizer_sha256,
        **{name: installed.get(name, "") for name in ("tunesmith", "transformers")},
        **identity_of_process(model.loaded),
    }


def _finish(session: TrainingSession, status: RunStatus, result: TrainingResult | None) -> Run:
    folder = session.folder
    place = _get_output_folder(session)
    files = hash_folder(place)
    finished = session.run.replace(status=status, result=result, adapter_files=files)
    finished = finished.replace(estimate_error=compute_estimate_ratios(finished))
    folder.write(finished)
    # The user is waiting for the process to end.
    if status == "interrupted":
        session.index.shorten_lock_wait()
    session.index.record_run(folder)
    return finished


def _get_output_folder(session: TrainingSession) -> Path:
    """Where the result goes: full fine-tuning writes a whole model, every other kind an adapter."""
    return session.folder.model if session.recipe.adapter.kind == "full" else session.folder.adapter
