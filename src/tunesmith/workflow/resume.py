"""A run that was cut short -> the run, finished as if nothing had happened.

It goes on in its own folder with its own recipe and the data that lie there; the data file may have moved. On a CPU and
with epochs the weights and the losses are those of the run left alone, bit by bit. So what would change them is
compared first: versions, threads, model, tokenizer, recipe, data.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tunesmith.errors import RunError, StoreError
from tunesmith.providers.local_model import NamedModel
from tunesmith.records import Run
from tunesmith.runs.folder import RunFolder
from tunesmith.runs.lesson import read_lesson
from tunesmith.runs.stop import stop_on_signals
from tunesmith.store.store import Store
from tunesmith.workflow.inventory import folder_of
from tunesmith.workflow.listener import SILENT, Listener
from tunesmith.workflow.tuning import Tuning, identity_of, interrupted, telling_how_it_ends, tune

if TYPE_CHECKING:
    from tunesmith.engine.checkpoint import Saved


def resume(name: str, *, allow_drift: bool = False, listener: Listener = SILENT) -> tuple[Run, RunFolder]:
    """Go on with the tuning of a run (its folder, its id, or the beginning of its id) from its newest good checkpoint.

    Errors: `RunError` when it is finished, in use, damaged, or something differs that must not; `ModelError`;
    `TrainingError`; `Interrupted` as `train`.
    """
    folder = RunFolder.open(folder_of(name))
    with folder.lock(), Store.open() as store:
        before = _unfinished(folder)
        folder.sweep()
        recipe, prepared = folder.read_recipe(), folder.read_prepared()
        lesson = read_lesson(folder, prepared)
        named = NamedModel.open(recipe.model, recipe.revision)
        model = named.load_for(recipe)
        run = _going_on(before, identity_of(recipe, model, prepared), allow_drift, folder, listener)
        saved = _newest(folder, listener)
        folder.rewind(saved.state["journal"] if saved else {})
        _remember(run, folder, store)
        tuning = Tuning(run, folder, recipe, lesson, model, store)
        with telling_how_it_ends(tuning), stop_on_signals() as stop:
            run = tune(tuning, listener, stop, saved)
    if run.status == "interrupted":
        raise interrupted(folder, stop)
    return run, folder


def _unfinished(folder: RunFolder) -> Run:
    run = folder.read(Run)
    if run.status == "finished":
        raise RunError(
            "finished", "The tuning of this run is finished; there is nothing to go on with.", where=str(folder.path),
            do=f"tunesmith chat {folder.path}",
        )  # fmt: skip
    return run


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    """What differs, as `torch 2.13.0 then, 2.14.1 now`; hashes are shortened."""

    def shown(value: str | None) -> str:
        return value[:12] if value else "unknown"

    return tuple(
        f"{name} {shown(before.get(name))} then, {shown(now.get(name))} now"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    )


def _going_on(
    before: Run, now: Mapping[str, str], allow_drift: bool, folder: RunFolder, listener: Listener
) -> Run:  # fmt: skip
    drift = differences(before.identity, now)
    if drift and not allow_drift:
        raise RunError(
            "drift", "Something is not as it was when this run began, so it would end differently.",
            where=str(folder.path), found="; ".join(drift), do="put it back, or accept it with --allow-drift",
        )  # fmt: skip
    for difference in drift:
        listener.note(f"warning: goes on although it differs: {difference}")
    changes = {"status": "running", "result": None, "identity": dict(now), "drift": (*before.drift, *drift)}
    return before.model_copy(update={**changes, "resumed": before.resumed + 1})


def _newest(folder: RunFolder, listener: Listener) -> "Saved | None":
    from tunesmith.engine.checkpoint import Checkpoints

    checkpoints = Checkpoints(folder.checkpoints)
    checkpoints.sweep()
    saved = checkpoints.newest()
    for damage in saved.passed_over if saved else ():
        listener.note(f"warning: a damaged checkpoint is passed over: {damage}")
    listener.note(f"goes on after step {saved.step}" if saved else "no checkpoint was written yet: begins at step 1")
    return saved


def _remember(run: Run, folder: RunFolder, store: Store) -> None:
    folder.write(run)
    try:
        store.update_run(run)
    except StoreError:  # the folder came from another machine
        store.add_run(run, folder.path)
