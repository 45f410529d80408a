"""An interrupted run -> the run, finished as if nothing had happened.

It continues in its own folder with its own recipe and the data stored there; the data file may have
moved. On a CPU and with epochs, weights and losses equal those of an uninterrupted run bit by bit.
So everything that would change them is compared first: versions, threads, model, tokenizer, recipe,
data.

A decision continues to its verdict, an evaluation to its comparison: no contender is run twice and
no choice is made twice. Both need the original data file, because they need the test examples.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tunesmith.contenders.custom_parts import (
    NO_CUSTOM_PARTS,
    CustomParts,
    check_custom_contenders,
)
from tunesmith.costs.budget_replanning import TEST_LIMIT
from tunesmith.errors import RunError, format_command_line
from tunesmith.evaluation.task_building import build_test_examples
from tunesmith.progress_listener import NULL_LISTENER, ProgressListener
from tunesmith.providers.local_model import LocalModel, ResolvedModel
from tunesmith.records import (
    Decision,
    Evaluation,
    Example,
    JudgeQualification,
    Recipe,
    Run,
    Split,
    TestSet,
)
from tunesmith.runs.local_inventory import find_run_folder
from tunesmith.runs.resume_checks import (
    build_resumed_run,
    check_same_data,
    check_same_scorer,
    fingerprint_recipe,
)
from tunesmith.runs.run_folder import RunFolder
from tunesmith.runs.session import open_run, work_on_run
from tunesmith.runs.store_index import StoreIndex, remove_training_files
from tunesmith.runs.training_data import read_training_data
from tunesmith.training.training_service import TrainingJob
from tunesmith.workflow.data_preparation import PreparedData
from tunesmith.workflow.decide import (
    build_decision_result,
    load_decision_result,
    run_decision,
)
from tunesmith.workflow.decision_inputs import prepare_decision_inputs
from tunesmith.workflow.decision_pacing import find_budget, resume_clock
from tunesmith.workflow.evaluation_inputs import prepare_evaluation_inputs
from tunesmith.workflow.model_evaluation import run_evaluation
from tunesmith.workflow.result import Result
from tunesmith.workflow.training_job import build_reproducibility_key, run_training

if TYPE_CHECKING:
    from tunesmith.engine.checkpoint import LoadedCheckpoint


def resume(
    name: str,
    *,
    allow_drift: bool = False,
    listener: ProgressListener = NULL_LISTENER,
    custom: CustomParts = NO_CUSTOM_PARTS,
) -> Result:
    """Continue a run (given by folder, id, or unique prefix of an id) from its newest valid
    checkpoint to the end of the command that began it: a trained model, a verdict, or an
    evaluation. For a finished run, pending cleanup is done: the store is updated, and files that
    only training needed are removed. `custom`: what the script gave when it began the run.

    Errors: `RunError` if there is nothing to do, the run is in use or damaged, or something differs
    that must not; `ModelError`; `TrainingError`; `Interrupted` as the command that began it.
    """
    folder = RunFolder.open(find_run_folder(name))
    with open_run(folder, listener) as (run, index):
        is_finished = run.status == "finished" and run.command != "decide"
        if is_finished or folder.has(Decision):
            return _complete_finished_run(folder, run, index, listener)
        match run.command:
            case "train":
                return _resume_training(folder, run, index, allow_drift, listener)
            case "decide":
                return _resume_decision(folder, run, index, allow_drift, listener, custom)
            case "evaluate":
                return _resume_evaluation(folder, run, index, allow_drift, listener, custom)


def _complete_finished_run(
    folder: RunFolder, run: Run, index: StoreIndex, listener: ProgressListener
) -> Result:
    """Do pending cleanup. Errors: `RunError` if there is nothing to do."""
    undone = [
        *(["leftover training files removed"] if remove_training_files(folder, run) else []),
        *(["store updated"] if index.record_run(folder) else []),
    ]
    if undone:
        listener.note("run/cleaned-up", f"run is finished; repaired: {', '.join(undone)}")
        if folder.has(Decision):
            return load_decision_result(folder, run)
        evaluation = folder.read(Evaluation) if run.command == "evaluate" else None
        return Result(folder.read_recipe(), run, folder, evaluation)
    what, then = {
        "train": ("training of this run is finished; nothing to resume", "chat"),
        "decide": ("run already has its verdict; nothing to resume", "show"),
        "evaluate": ("evaluation is finished; nothing to resume", "show"),
    }[run.command]
    raise RunError(
        "finished", what, at=str(folder.path), hint=format_command_line(then, folder.path)
    )


def _resume_training(
    folder: RunFolder, before: Run, index: StoreIndex, allow_drift: bool, listener: ProgressListener
) -> Result:
    recipe, prepared = folder.read_resolved_recipe(), folder.read_prepared()
    data = read_training_data(folder, prepared)
    model = ResolvedModel.open(recipe.model, recipe.revision).load_for_recipe(recipe)
    identity = {
        **build_reproducibility_key(recipe, model, prepared),
        "recipe": fingerprint_recipe(folder, before, recipe),
    }
    run = build_resumed_run(before, identity, allow_drift, folder, listener)
    saved = _load_latest_checkpoint(folder, listener)
    _save_resumed_run(run, recipe, folder)
    with work_on_run(run, folder, index, listener) as session:
        job = TrainingJob(session, recipe, data, model, checkpoint=saved)
        run, _ = run_training(job)
    return Result(recipe, run, folder)


def _resume_decision(
    folder: RunFolder,
    before: Run,
    index: StoreIndex,
    allow_drift: bool,
    listener: ProgressListener,
    custom: CustomParts,
) -> Result:
    compared: list[tuple[Run, LocalModel]] = []
    budget, recipe = find_budget(folder), folder.read_recipe()
    # Killed after the smaller test set was stored, before the verdict.
    limit = budget.find_value(TEST_LIMIT) if budget else None

    def check_inputs(data: PreparedData, inputs: Mapping[str, str]) -> None:
        """Runs before any custom scorer is imported: this folder may come from someone else."""
        examples, path = build_test_examples(data.test), data.recipe.data.path
        check_same_data(
            folder, before, data.split, examples, path, None if limit is None else int(limit)
        )
        model = data.model.load_for_recipe(data.recipe)
        now = {
            **build_reproducibility_key(data.recipe, model, data.prepared),
            "recipe": fingerprint_recipe(folder, before, data.recipe),
            **inputs,
        }
        check_same_scorer(folder, before.reproducibility_key.get("scorer"), now.get("scorer"))
        check_custom_contenders(before.reproducibility_key, now, str(folder.path))
        compared.append((build_resumed_run(before, now, allow_drift, folder, listener), model))

    if budget is not None:  # it is recognized by the recipe that it began with
        recipe = budget.undo_changes(recipe)
    qualification, scorer = _read_judge_and_scorer(folder)
    inputs = prepare_decision_inputs(recipe, listener, qualification, check_inputs, custom)
    check_same_scorer(folder, scorer or inputs.task.scorer.name, inputs.task.scorer.name)
    ((run, model),) = compared
    data = inputs.material
    saved = None if run.result else _load_latest_checkpoint(folder, listener)
    _save_resumed_run(run, data.recipe, folder)
    with work_on_run(run, folder, index, listener) as session:
        job = TrainingJob(
            session, data.recipe, data.training_data, model, data.train, scorer=custom.scorer
        )
        trained_seconds = saved.state["progress"]["seconds"] if saved else 0.0
        output = run_decision(inputs, job, saved, resume_clock(budget, trained_seconds))
    return build_decision_result(output, folder, data.recipe)


def _resume_evaluation(
    folder: RunFolder,
    before: Run,
    index: StoreIndex,
    allow_drift: bool,
    listener: ProgressListener,
    custom: CustomParts,
) -> Result:
    compared: list[Run] = []

    def check_inputs(
        recipe: Recipe, split: Split, examples: Sequence[Example], now: Mapping[str, str]
    ) -> None:
        """As in `_resume_decision`."""
        check_same_data(folder, before, split, build_test_examples(examples), recipe.data.path)
        check_same_scorer(folder, before.reproducibility_key.get("scorer"), now.get("scorer"))
        check_custom_contenders(before.reproducibility_key, now, str(folder.path))
        compared.append(build_resumed_run(before, now, allow_drift, folder, listener))

    qualification, scorer = _read_judge_and_scorer(folder)
    inputs = prepare_evaluation_inputs(
        before.evaluated_models,
        folder.read_recipe(),
        listener,
        qualification,
        check_inputs,
        custom,
    )
    check_same_scorer(folder, scorer or inputs.task.scorer.name, inputs.task.scorer.name)
    (run,) = compared
    _save_resumed_run(run, inputs.recipe, folder)
    with work_on_run(run, folder, index, listener) as session:
        evaluation = run_evaluation(inputs, session)
        return Result(inputs.recipe, session.run, folder, evaluation)


def _read_judge_and_scorer(folder: RunFolder) -> tuple[JudgeQualification | None, str | None]:
    """The stored qualification of the judge and the name of the scorer, as far as there are any."""
    qualification = folder.read(JudgeQualification) if folder.has(JudgeQualification) else None
    return qualification, folder.read(TestSet).scorer if folder.has(TestSet) else None


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


def _save_resumed_run(run: Run, recipe: Recipe, folder: RunFolder) -> None:
    """Store the run's record; a changed recipe that was allowed is now the run's own."""
    # Earlier versions wrote no colon.
    if any(one.startswith(("recipe:", "recipe ")) for one in run.environment_changes):
        folder.write_recipe(recipe)
    folder.write(run)
