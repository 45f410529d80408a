"""Material -> run: what was trained, its metrics and its samples in the run's folder, and the run in the store."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tunesmith.data.prepare import show_mask
from tunesmith.errors import RunError, TunesmithError, command_line
from tunesmith.evaluation.meter import read_queue, share_waited
from tunesmith.files import hashes_of
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
from tunesmith.runs.folder import APPENDED, RunFolder
from tunesmith.runs.lesson import Lesson, write_lesson
from tunesmith.runs.stop import Stop, stop_on_signals
from tunesmith.workflow.ending import can_go_on, interrupted, is_interruption, telling_what_is_kept
from tunesmith.workflow.estimate import foreseen
from tunesmith.workflow.forecast import errors_of
from tunesmith.workflow.index import Index, clear_leftovers
from tunesmith.workflow.listener import SILENT, Listener
from tunesmith.workflow.looks import Lines, generation_score, measured_extent
from tunesmith.workflow.material import Material, gather

if TYPE_CHECKING:
    from tunesmith.engine.checkpoint import Saved


NOTHING_ELSE: Mapping[str, str] = {}
LEAST_TOLD = 0.05
"""Share of a model's weights; convolutions of a few places have three dimensions too."""


@dataclass(frozen=True)
class Tuning:
    """A tuning about to begin or to go on: its run, whose folder this process holds, and all that it works with."""

    run: Run
    folder: RunFolder
    recipe: Recipe
    lesson: Lesson
    model: LocalModel
    index: Index


def train(recipe: Recipe, out: Path = Path("runs"), listener: Listener = SILENT) -> tuple[Run, RunFolder]:
    """Tune only. Ctrl-C and SIGTERM end after the current step with a checkpoint, from which `resume` goes on.

    Errors: `InputError`, `GateFailed` when the data has errors, `TrainingError` when training cannot go on;
    `Interrupted` after Ctrl-C, which says what was kept.
    """
    material = gather(recipe, listener)
    with Index.open(listener) as index:  # nothing is written before the model is open
        estimate = foreseen(material, index, listener)
        model = material.model.load_for(recipe)
        with (
            open_run(material, out, model, index, estimate, "train") as tuning,
            stop_on_signals() as stop,
            stop.finishing(),
        ):
            run = tune(tuning, listener, stop)
    if run.status == "interrupted":
        raise interrupted(tuning.folder, stop.exit_code)
    return run, tuning.folder


@contextmanager
def open_run(
    material: Material,
    out: Path,
    model: LocalModel,
    index: Index,
    estimate: Estimate | None,
    command: Command,
    inputs: Mapping[str, str] = NOTHING_ELSE,
) -> Iterator[Tuning]:
    """A run's locked folder with everything that is known before training, visible once all of it is there, and the run
    in the store; `inputs` are fingerprints of what is read besides data and model.

    When the block is left before the training ended, the run's status says how.
    """
    folder = RunFolder.begin(out, material.check.dataset.name)
    with folder.lock():
        try:
            run = _new_run(material, folder, model, estimate, command, inputs)
            _write_known(material, folder)
            folder.write(run)
            folder.appear()
        except BaseException:
            folder.discard()
            raise
        tuning = Tuning(run, folder, material.recipe, material.lesson, model, index)
        with telling_how_it_ends(tuning):
            index.record(folder)
            yield tuning


@contextmanager
def telling_how_it_ends(tuning: Tuning) -> Iterator[None]:
    """When the block is left by an error before the training ended, the run says so and the error what is next."""
    folder = tuning.folder
    with telling_what_is_kept(folder, is_decision=tuning.run.command == "decide"):
        try:
            yield
        except BaseException as error:
            if folder.read(Run).status == "running":
                with suppress(RunError):  # on a full disk: the error under way says more
                    _finish(tuning, "interrupted" if is_interruption(error) else "failed", None)
            if not is_interruption(error) and can_go_on(folder):
                go_on = command_line("resume", folder.path)
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
    """Train the model in memory, or go on from a checkpoint; afterwards it is the best one. For a block of
    `stop.finishing`."""
    from tunesmith.engine.checkpoint import Checkpoints  # torch: not on the way of anything that needs no model
    from tunesmith.engine.snapshot import Safekeeping
    from tunesmith.engine.train import train_adapter

    listener.stage("tuning")
    folder, lesson = tuning.folder, tuning.lesson
    _tell_what_stays(tuning, listener)
    lines = Lines(folder, listener, tuning.recipe, saved.step if saved else 0)
    checkpoints = Checkpoints(folder.checkpoints)
    queue = read_queue()
    with folder.rewriting("adapter", "model", *APPENDED):
        result = train_adapter(
            tuning.model.loaded,
            lesson.arrays["train"],
            lesson.arrays["validation"],
            tuning.recipe,
            adapter_folder=_place_of(tuning),
            on_line=lines,
            score=generation_score(lesson, tuning.recipe, folder, tuning.model, lines, stop),
            stop=stop.asked,
            at_once=stop.at_once,
            tell=listener.progress,
            safekeeping=Safekeeping(checkpoints, folder.journal, saved),
        )
    result = result.model_copy(update={"waiting": share_waited(queue, read_queue())})
    if saved is None:
        result = result.model_copy(update={"energy_joules": lines.energy.add_up()})
    result = result.model_copy(update={"extent": measured_extent(folder, lesson, tuning.recipe, result)})
    if result.extent is not None and result.status == "finished":
        listener.note(f"tuned for {passes_told(result.extent)}")
    run = _finish(tuning, result.status, result)
    if result.status == "finished":
        clear_leftovers(folder, run)
    return run


def _tell_what_stays(tuning: Tuning, listener: Listener) -> None:
    """Say where an adapter leaves much of the model as it is: experts are no linear layers."""
    from tunesmith.engine.adapters.linear import weights_without_layer

    stacked, total = weights_without_layer(tuning.model.loaded.model)
    if tuning.recipe.adapter.kind != "full" and stacked > LEAST_TOLD * total:
        listener.note(
            f"warning: {stacked / total:.0%} of the model's weights are experts, which no adapter can be put on: they "
            "stay as they are (adapter.kind=full trains them)"
        )


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
    folder = tuning.folder
    place = _place_of(tuning)
    files = hashes_of(place)
    finished = tuning.run.model_copy(update={"status": status, "result": result, "adapter_files": files})
    finished = finished.model_copy(update={"estimate_error": errors_of(finished)})
    folder.write(finished)
    if status == "interrupted":
        tuning.index.hurry()
    tuning.index.record(folder)
    return finished


def _place_of(tuning: Tuning) -> Path:
    """Where the result goes: full fine-tuning leaves a whole model, every other kind an adapter."""
    return tuning.folder.model if tuning.recipe.adapter.kind == "full" else tuning.folder.adapter
