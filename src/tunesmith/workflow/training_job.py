"""Prepared data -> run: the training data, metrics and samples in the run's folder, and the run in
the store.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tunesmith.costs.training_forecast import compute_estimate_ratios
from tunesmith.data.prepare import format_mask
from tunesmith.progress_listener import NULL_LISTENER, ProgressListener
from tunesmith.providers.local_model import LocalModel
from tunesmith.records import (
    Command,
    Estimate,
    PreparedSplit,
    Recipe,
    Run,
    compute_fingerprint,
    format_epochs,
)
from tunesmith.runs.machine_info import describe_machine, list_versions
from tunesmith.runs.run_folder import APPENDED_FILES, RunFolder
from tunesmith.runs.session import begin_run
from tunesmith.runs.store_index import StoreIndex, remove_training_files
from tunesmith.runs.training_data import write_training_data
from tunesmith.training.training_callbacks import measure_training_length
from tunesmith.training.training_service import TrainingJob, open_training_service
from tunesmith.workflow.data_preparation import PreparedData, prepare_data
from tunesmith.workflow.estimate import report_estimate
from tunesmith.workflow.result import Result

if TYPE_CHECKING:
    pass


TRAINING_STAGE = "tuning"
"""Title of the stage in which a job is submitted, followed and fetched."""
NO_EXTRA_INPUTS: Mapping[str, str] = {}


def train(
    recipe: Recipe, out: Path = Path("runs"), listener: ProgressListener = NULL_LISTENER
) -> Result:
    """Tune only. Ctrl-C and SIGTERM end after the current step with a checkpoint from which
    `resume` continues.

    Errors: `InputError`, `GateFailed` if the data has errors, `TrainingError` if training cannot
    continue; `Interrupted` after Ctrl-C, with what was saved.
    """
    data = prepare_data(recipe, listener)
    with StoreIndex.open(listener) as index:  # a model that does not load must leave no run folder
        # What is measured here says nothing of a training that runs elsewhere.
        is_local = open_training_service(data.recipe).is_local
        estimate = report_estimate(data, index, listener) if is_local else None
        model = data.model.load_for_recipe(recipe)
        with begin_training_run(data, out, model, index, estimate, "train", listener) as job:
            run, _ = run_training(job)
            return Result(job.recipe, run, job.session.folder)


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
        yield TrainingJob(session, data.recipe, data.training_data, model, data.train)


def _write_inputs(data: PreparedData, folder: RunFolder) -> None:
    folder.write_recipe(data.recipe)
    folder.write_versions(list_versions())
    folder.write(data.check)
    folder.write(data.split)
    folder.write_prepared(data.prepared)
    folder.write_mask(format_mask(data.mask_proof))
    write_training_data(folder, data.training_data)


def run_training(job: TrainingJob) -> tuple[Run, LocalModel]:
    """Train where the recipe says, or follow a training that was submitted before; the finished run
    and the model with the best weights. Errors: `TrainingError`, `ProviderError`; `Interrupted`
    when a stop was requested.
    """
    session, service = job.session, open_training_service(job.recipe)
    # To the end: a signal between the last step and the record would lose the training, one while
    # a job is submitted would lose its id.
    with session.stop.finishing():
        session.listener.start_stage(TRAINING_STAGE)
        job_id = session.run.training_job or service.submit(job)
        if job_id != session.run.training_job:
            session.save(session.run.replace(training_job=job_id))
        # The checksums of these files change while training appends to them.
        with session.folder.allow_rewriting("adapter", "model", *APPENDED_FILES):
            result = service.follow(job, job_id)
            model = service.fetch(job, job_id) if result.status == "finished" else job.model
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
    return run, model


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
    from tunesmith.engine.checkpointer import build_numerics_key as identity_of_process

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
