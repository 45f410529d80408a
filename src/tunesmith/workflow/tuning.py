"""Material -> run: what was trained, its metrics and its samples in the run's folder, and the run in the store."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tunesmith.data.prepare import show_mask
from tunesmith.errors import Interrupted, RunError, TunesmithError, command_line
from tunesmith.files import sha256_of
from tunesmith.providers.local_model import LocalModel
from tunesmith.records import (
    Command,
    Estimate,
    Prepared,
    Recipe,
    Run,
    RunStatus,
    TrainingResult,
    fingerprint_of,
    passes_told,
)
from tunesmith.runs.environment import machine, versions
from tunesmith.runs.folder import RunFolder
from tunesmith.runs.lesson import Lesson, clear_lesson, write_lesson
from tunesmith.runs.stop import Stop, stop_on_signals
from tunesmith.store.entries import Artifact
from tunesmith.store.store import Store
from tunesmith.workflow.ending import can_go_on, interrupted, is_interruption, stopped_at_once
from tunesmith.workflow.estimate import foreseen
from tunesmith.workflow.forecast import errors_of
from tunesmith.workflow.listener import SILENT, Listener
from tunesmith.workflow.looks import Lines, generation_score, measured_extent
from tunesmith.workflow.material import Material, gather

if TYPE_CHECKING:
    from tunesmith.engine.checkpoint import Saved


NOTHING_ELSE: Mapping[str, str] = {}


@dataclass(frozen=True)
class Tuning:
    """A tuning about to begin or to go on: its run, whose folder this process holds, and all that it works with."""

    run: Run
    folder: RunFolder
    recipe: Recipe
    lesson: Lesson
    model: LocalModel
    store: Store


def train(recipe: Recipe, out: Path = Path("runs"), listener: Listener = SILENT) -> tuple[Run, RunFolder]:
    """Tune only. Ctrl-C and SIGTERM end after the current step with a checkpoint, from which `resume` goes on.

    Errors: `InputError`, `GateFailed` when the data has errors, `TrainingError` when training cannot go on;
    `Interrupted` after Ctrl-C, which says what was kept.
    """
    material = gather(recipe, listener)
    with Store.open() as store:  # nothing is written before the store and the model are open
        estimate = foreseen(material, store, listener)
        model = material.model.load_for(recipe)
        with open_run(material, out, model, store, estimate, "train") as tuning, stop_on_signals() as stop:
            run = tune(tuning, listener, stop)
    if run.status == "interrupted":
        raise interrupted(tuning.folder, stop)
    return run, tuning.folder


@contextmanager
def open_run(
    material: Material,
    out: Path,
    model: LocalModel,
    store: Store,
    estimate: Estimate | None,
    command: Command,
    inputs: Mapping[str, str] = NOTHING_ELSE,
) -> Iterator[Tuning]:
    """A run's locked folder with everything that is known before training, and the run in the store; `inputs` are
    fingerprints of what is read besides data and model.

    When the block is left before the training ended, the run's status says how.
    """
    folder = RunFolder.create(out, material.check.dataset.name)
    with folder.lock():
        run = _new_run(material, folder, model, estimate, command, inputs)
        _write_known(material, folder)
        folder.write(run)
        store.add_dataset(material.check.dataset)
        store.add_run(run, folder.path)
        tuning = Tuning(run, folder, material.recipe, material.lesson, model, store)
        with telling_how_it_ends(tuning):
            yield tuning


@contextmanager
def telling_how_it_ends(tuning: Tuning) -> Iterator[None]:
    """When the block is left by an error before the training ended, the run says so and the error what is next."""
    try:
        yield
    except BaseException as error:
        folder = tuning.folder
        if folder.read(Run).status == "running":
            with suppress(RunError):  # on a full disk: the error under way says more
                _finish(tuning, "interrupted" if is_interruption(error) else "failed", None)
        if isinstance(error, Interrupted) or not can_go_on(folder):
            raise
        go_on = command_line("resume", folder.path)
        if isinstance(error, KeyboardInterrupt):
            raise stopped_at_once(folder, error) from None
        if isinstance(error, TunesmithError):
            error.do = f"{error.do}; then go on with {go_on}".removeprefix("; then ")
        error.add_note(f"go on with {go_on}")
        raise


def _write_known(material: Material, folder: RunFolder) -> None:
    folder.write_recipe(material.recipe)
    folder.write_versions(versions())
    folder.write(material.check)
    folder.write(material.split)
    folder.write_prepared(material.prepared)
    folder.write_mask(show_mask(material.proof))
    write_lesson(folder, material.lesson)


def tune(tuning: Tuning, listener: Listener, stop: Stop, saved: "Saved | None" = None) -> Run:
    """Train the model in memory, or go on from a checkpoint; afterwards it is the best one."""
    from tunesmith.engine.checkpoint import Checkpoints  # torch: not on the way of anything that needs no model
    from tunesmith.engine.snapshot import Safekeeping
    from tunesmith.engine.train import train_adapter

    listener.stage("tuning")
    folder, lesson = tuning.folder, tuning.lesson
    lines = Lines(folder, listener, tuning.recipe, saved.step if saved else 0)
    checkpoints = Checkpoints(folder.checkpoints)
    result = train_adapter(
        tuning.model.loaded,
        lesson.arrays["train"],
        lesson.arrays["validation"],
        tuning.recipe,
        adapter_folder=_place_of(tuning),
        on_line=lines,
        score=generation_score(lesson, tuning.recipe, folder, tuning.model, lines, stop),
        stop=stop.asked,
        tell=listener.progress,
        safekeeping=Safekeeping(checkpoints, folder.journal, saved),
    )
    if saved is None:
        result = result.model_copy(update={"energy_joules": lines.energy.add_up()})
    result = result.model_copy(update={"extent": measured_extent(folder, lesson, tuning.recipe, result)})
    if result.extent is not None and result.status == "finished":
        listener.note(f"tuned for {passes_told(result.extent)}")
    run = _finish(tuning, result.status, result)
    if result.status == "finished":
        clear_what_tuning_needed(folder)
    return run


def clear_what_tuning_needed(folder: RunFolder) -> None:
    """Checkpoints and lesson of a finished tuning: nobody will go on with it."""
    from tunesmith.engine.checkpoint import Checkpoints

    Checkpoints(folder.checkpoints).clear()
    clear_lesson(folder)


def _new_run(
    material: Material,
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
        recipe=material.recipe.fingerprint,
        dataset=material.check.dataset.fingerprint,
        split=material.split.fingerprint,
        prepared={name: prepared.fingerprint for name, prepared in material.prepared.items()},
        model=material.model.identity,
        machine=machine(model.accelerator),
        versions=versions(),
        seeds={"recipe": material.recipe.seed},
        identity={**identity_of(material.recipe, model, material.prepared), **inputs},
        estimate=estimate,
        command=command,
        defaults=material.defaults,
    )


def identity_of(recipe: Recipe, model: LocalModel, prepared: Mapping[str, Prepared]) -> dict[str, str]:
    """What must be the same for a run to go on as if it had never stopped."""
    from tunesmith.engine.snapshot import identity_of as identity_of_process

    installed = versions()
    return {
        "recipe": recipe.fingerprint,
        "data": fingerprint_of({name: split.content for name, split in prepared.items()}),
        "model": fingerprint_of(model.named.identity.files),
        "tokenizer": model.named.tokenizer.tokenizer_sha256,
        **{name: installed.get(name, "") for name in ("tunesmith", "transformers")},
        **identity_of_process(model.loaded),
    }


def _finish(tuning: Tuning, status: RunStatus, result: TrainingResult | None) -> Run:
    folder, store = tuning.folder, tuning.store
    place = _place_of(tuning)
    files = {path.name: sha256_of(path) for path in sorted(place.glob("*"))}
    finished = tuning.run.model_copy(update={"status": status, "result": result, "adapter_files": files})
    finished = finished.model_copy(update={"estimate_error": errors_of(finished)})
    folder.write(finished)
    store.update_run(finished)
    if files:
        store.add_artifact(artifact_of(place.name, place, finished.id))
    return finished


def _place_of(tuning: Tuning) -> Path:
    """Where the result goes: full fine-tuning leaves a whole model, every other kind an adapter."""
    return tuning.folder.model if tuning.recipe.adapter.kind == "full" else tuning.folder.adapter


def artifact_of(kind: str, path: Path, run: str) -> Artifact:
    """A file, or a folder by the list of its files, as the store knows it."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    hashes = {file.relative_to(path).as_posix(): sha256_of(file) for file in files}
    sha256 = fingerprint_of(hashes) if path.is_dir() else next(iter(hashes.values()))
    size = sum(file.stat().st_size for file in files)
    return Artifact(kind=kind, path=str(path.absolute()), sha256=sha256, size_bytes=size, run=run)
