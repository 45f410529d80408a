"""A run that was cut short -> the run, finished as if nothing had happened.

It goes on in its own folder with its own recipe and the data that lie there; the data file may have moved. On a CPU and
with epochs the weights and the losses are those of the run left alone, bit by bit. So what would change them is
compared first: versions, threads, model, tokenizer, recipe, data.

A decision goes on to its verdict: whoever answered is not asked again, and what was chosen is not chosen again. It
needs the data where they were, because it needs the test examples.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from tunesmith.errors import RunError, command_line
from tunesmith.providers.local_model import LocalModel, NamedModel
from tunesmith.records import Decision, Qualification, Recipe, Run, TestExample, TestSet
from tunesmith.runs.folder import RunFolder
from tunesmith.runs.lesson import read_lesson
from tunesmith.runs.stop import stop_on_signals
from tunesmith.workflow.contest import tested_examples
from tunesmith.workflow.decide import Outcome, measure_and_decide, outcome_of, stored_outcome
from tunesmith.workflow.ending import interrupted, telling_what_is_kept
from tunesmith.workflow.index import Index, clear_leftovers
from tunesmith.workflow.inventory import folder_of
from tunesmith.workflow.listener import SILENT, Listener
from tunesmith.workflow.material import Material
from tunesmith.workflow.ready import make_ready
from tunesmith.workflow.tuning import Tuning, identity_of, telling_how_it_ends, tune

if TYPE_CHECKING:
    from tunesmith.engine.checkpoint import Saved


def resume(name: str, *, allow_drift: bool = False, listener: Listener = SILENT) -> tuple[Run, RunFolder] | Outcome:
    """Go on with a run (its folder, its id, or the beginning of its id) from its newest good checkpoint, to the end of
    the command that began it: a trained model, or a verdict. Of a finished run what was left undone is done: the store
    is brought up to date, and what only tuning needed goes away.

    Errors: `RunError` when there is nothing to do, in use, damaged, or something differs that must not; `ModelError`;
    `TrainingError`; `Interrupted` as `train` and `decide`.
    """
    folder = RunFolder.open(folder_of(name))
    run = folder.read(Run)
    is_decision = run.command == "decide" or folder.has(TestSet)  # older versions did not say which
    with folder.lock(), telling_what_is_kept(folder, is_decision=is_decision), Index.open(listener) as index:
        before = folder.read(Run)
        folder.sweep()
        if folder.has(Decision) or (before.status == "finished" and not is_decision):
            return _tidy(folder, before, index, listener)
        if is_decision:
            return _go_on_deciding(folder, before, index, allow_drift, listener)
        return _go_on_training(folder, before, index, allow_drift, listener), folder


def _tidy(folder: RunFolder, run: Run, index: Index, listener: Listener) -> tuple[Run, RunFolder] | Outcome:
    """Errors: `RunError` when there is nothing to do."""
    undone = [
        *(["what only tuning needed was there"] if clear_leftovers(folder, run) else []),
        *(["the store was behind"] if index.record(folder) else []),
    ]
    if undone:
        listener.note(f"the run is finished; put right: {', '.join(undone)}")
        return stored_outcome(folder, run) if folder.has(Decision) else (run, folder)
    what, then = (
        ("This run has its verdict; there is nothing to go on with.", "show")
        if folder.has(Decision)
        else ("The tuning of this run is finished; there is nothing to go on with.", "chat")
    )
    raise RunError("finished", what, where=str(folder.path), do=command_line(then, folder.path))


def _go_on_training(folder: RunFolder, before: Run, index: Index, allow_drift: bool, listener: Listener) -> Run:
    recipe, prepared = folder.read_recipe(), folder.read_prepared()
    lesson = read_lesson(folder, prepared)
    named = NamedModel.open(recipe.model, recipe.revision)
    model = named.load_for(recipe)
    run = _going_on(before, identity_of(recipe, model, prepared), allow_drift, folder, listener)
    saved = _newest(folder, listener)
    _remember(run, recipe, folder, index)
    tuning = Tuning(run, folder, recipe, lesson, model, index)
    with telling_how_it_ends(tuning), stop_on_signals() as stop, stop.finishing():
        run = tune(tuning, listener, stop, saved)
    if run.status == "interrupted":
        raise interrupted(folder, stop.exit_code)
    return run


def _go_on_deciding(folder: RunFolder, before: Run, index: Index, allow_drift: bool, listener: Listener) -> Outcome:
    compared: list[tuple[Run, LocalModel]] = []

    def compare(material: Material, inputs: Mapping[str, str]) -> None:
        """Before a scorer of the user's own runs: this folder may come from elsewhere."""
        _refuse_other_data(folder, before, material)
        model = material.model.load_for(material.recipe)
        now = {**identity_of(material.recipe, model, material.prepared), **inputs}
        _refuse_another_scorer(folder, before.identity.get("scorer"), now.get("scorer"))
        compared.append((_going_on(before, now, allow_drift, folder, listener), model))

    examined = folder.read(Qualification) if folder.has(Qualification) else None
    scored_by = folder.read(TestSet).scorer if folder.has(TestSet) else None
    ready = make_ready(folder.read_recipe(), listener, examined, compare)
    _refuse_another_scorer(folder, scored_by or ready.task.scorer.name, ready.task.scorer.name)
    ((run, model),) = compared
    material = ready.material
    saved = None if run.result else _newest(folder, listener)
    _remember(run, material.recipe, folder, index)
    tuning = Tuning(run, folder, material.recipe, material.lesson, model, index)
    with telling_how_it_ends(tuning), stop_on_signals() as stop:
        found = measure_and_decide(ready, tuning, listener, stop, saved)
    return outcome_of(found, folder, material.recipe)


def _refuse_other_data(folder: RunFolder, before: Run, material: Material) -> None:
    """Answers to other examples could not be compared. Errors: `RunError`."""
    now = _without_places(tested_examples(material.test))
    tested = _without_places(folder.read(TestSet).examples) if folder.has(TestSet) else now
    if before.split != material.split.fingerprint or tested != now:
        raise RunError(
            "other-data", "The data are not those that this run began with.", where=material.recipe.data.path or "",
            found="another split, or other test examples", do="put them back, or decide on them anew",
        )  # fmt: skip


def _without_places(examples: Iterable[TestExample]) -> list[TestExample]:
    """A file may be named otherwise from another folder, and older versions did not say where an example stands."""
    return [one.model_copy(update={"line": 0, "origin": None}) for one in examples]


def _refuse_another_scorer(folder: RunFolder, before: str | None, now: str | None) -> None:
    """Contenders scored by two scorers cannot be compared, whatever drift is allowed. Errors: `RunError`."""
    if before != now and folder.contenders():
        raise RunError(
            "other-scorer", "The answers that this run has were scored by another scorer.", where=str(folder.path),
            found=f"{(before or 'none')[:40]} then, {(now or 'none')[:40]} now",
            do="put the scorer back, or make the decision again without resume",
        )  # fmt: skip


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
    changes = {"identity": dict(now), "drift": (*before.drift, *drift), "resumed": before.resumed + 1}
    if before.status != "finished":
        changes |= {"status": "running", "result": None}
    return before.model_copy(update=changes)


def _newest(folder: RunFolder, listener: Listener) -> "Saved | None":
    from tunesmith.engine.checkpoint import Checkpoints

    checkpoints = Checkpoints(folder.checkpoints)
    checkpoints.sweep()
    saved = checkpoints.newest()
    folder.rewind(saved.state["journal"] if saved else {})
    for damage in saved.passed_over if saved else ():
        listener.note(f"warning: a damaged checkpoint is passed over: {damage}")
    listener.note(f"goes on after step {saved.step}" if saved else "no checkpoint was written yet: begins at step 1")
    return saved


def _remember(run: Run, recipe: Recipe, folder: RunFolder, index: Index) -> None:
    if any(difference.startswith("recipe ") for difference in run.drift):
        folder.write_recipe(recipe)  # the one that was allowed is now the run's own
    folder.write(run)
    index.record(folder)
