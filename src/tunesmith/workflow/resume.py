"""An interrupted run -> the run, finished as if nothing had happened.

It continues in its own folder with its own recipe and the data stored there; the data file may have
moved. On a CPU and with epochs, weights and losses equal those of an uninterrupted run bit by bit.
So everything that would change them is compared first: versions, threads, model, tokenizer, recipe,
data.

A decision continues to its verdict: no contender is run twice and no choice is made twice. It needs
the original data file, because it needs the test examples.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from tunesmith.costs.budget_replanning import TEST_LIMIT
from tunesmith.errors import RunError, format_command_line
from tunesmith.progress_listener import NULL_LISTENER, ProgressListener
from tunesmith.providers.local_model import LocalModel, ResolvedModel
from tunesmith.records import Decision, JudgeQualification, Recipe, Run, TestExample, TestSet
from tunesmith.runs.interruption import build_interruption, reporting_saved_work
from tunesmith.runs.run_folder import RunFolder
from tunesmith.runs.run_registry import find_run_folder
from tunesmith.runs.signals import stop_on_signals
from tunesmith.runs.store_index import StoreIndex, remove_training_files
from tunesmith.runs.training_data import read_training_data
from tunesmith.workflow.data_preparation import PreparedData
from tunesmith.workflow.decide import (
    DecisionResult,
    build_decision_result,
    load_decision_result,
    run_decision,
)
from tunesmith.workflow.decision_inputs import prepare_decision_inputs
from tunesmith.workflow.decision_pacing import find_budget, resume_clock
from tunesmith.workflow.evaluation_runner import build_test_examples
from tunesmith.workflow.training_session import (
    TrainingSession,
    build_reproducibility_key,
    record_exit_status,
    run_training,
)

if TYPE_CHECKING:
    from tunesmith.engine.checkpoint import LoadedCheckpoint


def resume(
    name: str, *, allow_drift: bool = False, listener: ProgressListener = NULL_LISTENER
) -> tuple[Run, RunFolder] | DecisionResult:
    """Continue a run (given by folder, id, or unique prefix of an id) from its newest valid
    checkpoint to the end of the command that began it: a trained model, or a verdict. For a
    finished run, pending cleanup is done: the store is updated, and files that only training needed
    are removed.

    Errors: `RunError` if there is nothing to do, the run is in use or damaged, or something differs
    that must not; `ModelError`; `TrainingError`; `Interrupted` as `train` and `decide`.
    """
    folder = RunFolder.open(find_run_folder(name))
    run = folder.read(Run)
    # older versions did not record the command
    is_decision = run.command == "decide" or folder.has(TestSet)
    with (
        folder.lock(),
        reporting_saved_work(folder, is_decision=is_decision),
        StoreIndex.open(listener) as index,
    ):
        # Read again under the lock: another process may have finished the run meanwhile.
        before = folder.read(Run)
        folder.remove_temporaries()
        if folder.has(Decision) or (before.status == "finished" and not is_decision):
            return _complete_finished_run(folder, before, index, listener)
        if is_decision:
            return _resume_decision(folder, before, index, allow_drift, listener)
        return _resume_training(folder, before, index, allow_drift, listener), folder


def _complete_finished_run(
    folder: RunFolder, run: Run, index: StoreIndex, listener: ProgressListener
) -> tuple[Run, RunFolder] | DecisionResult:
    """Do pending cleanup. Errors: `RunError` if there is nothing to do."""
    undone = [
        *(["leftover training files removed"] if remove_training_files(folder, run) else []),
        *(["store updated"] if index.record_run(folder) else []),
    ]
    if undone:
        listener.note("run/cleaned-up", f"run is finished; repaired: {', '.join(undone)}")
        return load_decision_result(folder, run) if folder.has(Decision) else (run, folder)
    what, then = (
        ("run already has its verdict; nothing to resume", "show")
        if folder.has(Decision)
        else ("training of this run is finished; nothing to resume", "chat")
    )
    raise RunError(
        "finished", what, where=str(folder.path), do=format_command_line(then, folder.path)
    )


def _resume_training(
    folder: RunFolder, before: Run, index: StoreIndex, allow_drift: bool, listener: ProgressListener
) -> Run:
    recipe, prepared = folder.read_recipe(), folder.read_prepared()
    lesson = read_training_data(folder, prepared)
    named = ResolvedModel.open(recipe.model, recipe.revision)
    model = named.load_for_recipe(recipe)
    run = _build_resumed_run(
        before, build_reproducibility_key(recipe, model, prepared), allow_drift, folder, listener
    )
    saved = _load_latest_checkpoint(folder, listener)
    _save_resumed_run(run, recipe, folder, index)
    tuning = TrainingSession(run, folder, recipe, lesson, model, index)
    with record_exit_status(tuning), stop_on_signals() as stop, stop.finishing():
        run = run_training(tuning, listener, stop, saved)
    if run.status == "interrupted":
        raise build_interruption(folder, stop.exit_code)
    return run


def _resume_decision(
    folder: RunFolder, before: Run, index: StoreIndex, allow_drift: bool, listener: ProgressListener
) -> DecisionResult:
    compared: list[tuple[Run, LocalModel]] = []

    def check_inputs(material: PreparedData, inputs: Mapping[str, str]) -> None:
        """Runs before any custom scorer is imported: this folder may come from someone else."""
        _check_same_data(folder, before, material)
        model = material.model.load_for_recipe(material.recipe)
        now = {**build_reproducibility_key(material.recipe, model, material.prepared), **inputs}
        _check_same_scorer(folder, before.identity.get("scorer"), now.get("scorer"))
        compared.append((_build_resumed_run(before, now, allow_drift, folder, listener), model))

    budget, recipe = find_budget(folder), folder.read_recipe()
    if budget is not None:  # it is recognized by the recipe that it began with
        recipe = budget.undo_changes(recipe)
    examined = folder.read(JudgeQualification) if folder.has(JudgeQualification) else None
    scored_by = folder.read(TestSet).scorer if folder.has(TestSet) else None
    ready = prepare_decision_inputs(recipe, listener, examined, check_inputs)
    _check_same_scorer(folder, scored_by or ready.task.scorer.name, ready.task.scorer.name)
    ((run, model),) = compared
    material = ready.material
    saved = None if run.result else _load_latest_checkpoint(folder, listener)
    _save_resumed_run(run, material.recipe, folder, index)
    tuning = TrainingSession(run, folder, material.recipe, material.training_data, model, index)
    with record_exit_status(tuning), stop_on_signals() as stop:
        trained = saved.state["progress"]["seconds"] if saved else 0.0
        clock = resume_clock(budget, trained)
        found = run_decision(ready, tuning, listener, stop, saved, clock)
    return build_decision_result(found, folder, material.recipe)


def _check_same_data(folder: RunFolder, before: Run, data: PreparedData) -> None:
    """Answers to different examples cannot be compared. Errors: `RunError`."""
    now = _without_places(build_test_examples(data.test))
    tested = _without_places(folder.read(TestSet).examples) if folder.has(TestSet) else now
    budget = find_budget(folder)
    if budget is not None and (size := budget.find_value(TEST_LIMIT)) is not None:
        # Killed after the smaller test set was stored, before the verdict.
        first = set(data.split.test[: int(size)])
        now, tested = ([one for one in side if one.id in first] for side in (now, tested))
    if before.split != data.split.fingerprint or tested != now:
        raise RunError(
            "other-data",
            "data has changed since the run started",
            where=data.recipe.data.path or "",
            found="a different split or different test examples",
            do="restore the data; or start a new run",
        )


def _without_places(examples: Iterable[TestExample]) -> list[TestExample]:
    """The examples without file and line: a file may have another name seen from another folder,
    and older versions did not record the line.
    """
    return [one.replace(line=0, origin=None) for one in examples]


def _check_same_scorer(folder: RunFolder, before: str | None, now: str | None) -> None:
    """Contenders scored by two scorers cannot be compared, whatever drift is allowed. Errors:
    `RunError`.
    """
    if before != now and folder.list_contenders():
        raise RunError(
            "other-scorer",
            "scorer has changed since the run started",
            where=str(folder.path),
            found=f"{(before or 'none')[:40]} -> {(now or 'none')[:40]}",
            do="restore the scorer; or run tunesmith decide again instead of resume",
        )


def list_identity_changes(before: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    """The differences, for example `torch 2.13.0 then, 2.14.1 now`; hashes are shortened."""

    def shorten(value: str | None) -> str:
        return value[:12] if value else "unknown"

    return tuple(
        f"{name}: {shorten(before.get(name))} -> {shorten(now.get(name))}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    )


def _build_resumed_run(
    before: Run,
    now: Mapping[str, str],
    allow_drift: bool,
    folder: RunFolder,
    listener: ProgressListener,
) -> Run:
    drift = list_identity_changes(before.identity, now)
    if drift and not allow_drift:
        raise RunError(
            "drift",
            "environment differs from that of the original run, so results would not be "
            "reproducible",
            where=str(folder.path),
            found="; ".join(drift),
            do="restore it; or resume anyway with --allow-drift",
        )
    for difference in drift:
        listener.warn(
            "run/drift", f"resuming despite a difference: {difference}", difference=difference
        )
    changes = {
        "identity": dict(now),
        "drift": (*before.drift, *drift),
        "resumed": before.resumed + 1,
    }
    if before.status != "finished":
        # The interrupted result is replaced by that of the whole training.
        changes |= {"status": "running", "result": None}
    return before.replace(**changes)


def _load_latest_checkpoint(
    folder: RunFolder, listener: ProgressListener
) -> "LoadedCheckpoint | None":
    from tunesmith.engine.checkpoint import Checkpoints

    checkpoints = Checkpoints(folder.checkpoints)
    checkpoints.remove_temporaries()
    saved = checkpoints.load_latest()
    # Lines and samples written after the checkpoint would appear twice otherwise.
    folder.rewind(saved.state["journal"] if saved else {})
    for damage in saved.skipped_damaged if saved else ():
        listener.warn("checkpoint/damaged", f"skipping a damaged checkpoint: {damage}")
    listener.note(
        "training/resumed",
        f"resuming after step {saved.step}" if saved else "no checkpoint yet: starting at step 1",
        step=saved.step if saved else 0,
    )
    return saved


def _save_resumed_run(run: Run, recipe: Recipe, folder: RunFolder, index: StoreIndex) -> None:
    if any(difference.startswith("recipe ") for difference in run.drift):
        folder.write_recipe(recipe)  # the changed recipe was allowed and is now the run's own
    folder.write(run)
    index.record_run(folder)
