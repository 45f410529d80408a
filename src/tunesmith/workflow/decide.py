"""The main job: what the test set can show, baselines, tuning, evaluation, verdict, costs, errors,
report.

Each step writes its result to the run's folder before the next one begins, and checks there first:
an interrupted decision continues (`resume.py`) through the same code, and nothing is run, chosen or
tuned twice.
"""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tunesmith.contenders.candidate_selection import CandidateSelector
from tunesmith.contenders.contender_factory import ContenderFactory
from tunesmith.contenders.contender_models import build_base_model, build_tuned_model
from tunesmith.contenders.custom_parts import NO_CUSTOM_PARTS, CustomParts
from tunesmith.contenders.evaluation_runner import EvaluationRunner
from tunesmith.contenders.retrieval.document_loading import write_documents
from tunesmith.costs.budget_replanning import BudgetClock
from tunesmith.evaluation.forgetting.probe import (
    MAX_PROBE_TOKENS,
    compute_probe_fingerprint,
    measure_general_ability,
)
from tunesmith.evaluation.forgetting.probe_comparison import compute_forgetting
from tunesmith.evaluation.task_building import build_test_set
from tunesmith.progress_listener import NULL_LISTENER, ProgressListener
from tunesmith.providers.local_model import LocalModel, ResolvedModel
from tunesmith.records import Decision, Evaluation, Forgetting, GeneralAbility, Recipe, Run, Usage
from tunesmith.runs.contender_files import write_index
from tunesmith.runs.run_folder import REPORT_FILES, RunFolder
from tunesmith.runs.session import RunSession
from tunesmith.runs.store_index import StoreIndex, remove_training_files
from tunesmith.training.training_service import TrainingJob
from tunesmith.workflow.conclusion import DecisionEvidence, DecisionOutput, conclude
from tunesmith.workflow.decision_inputs import DecisionInputs, prepare_decision_inputs
from tunesmith.workflow.decision_pacing import (
    finish_pacing,
    start_pacing,
    with_training_minutes,
)
from tunesmith.workflow.estimate import report_estimate
from tunesmith.workflow.redecide import fail_on_warnings
from tunesmith.workflow.result import Result
from tunesmith.workflow.time_budget import FittedBudget
from tunesmith.workflow.training_job import begin_training_run, run_training

if TYPE_CHECKING:
    from tunesmith.engine.checkpoint import LoadedCheckpoint


def decide(
    recipe: Recipe,
    out: Path = Path("runs"),
    listener: ProgressListener = NULL_LISTENER,
    budget: FittedBudget | None = None,
    custom: CustomParts = NO_CUSTOM_PARTS,
) -> Result:
    """Should I prompt, retrieve or fine-tune? Measures, decides and reports. `budget`: the time
    that the recipe was fitted to; `custom`: what a script adds.

    Errors: `InputError`; `GateFailed` if the data has errors or leaks, and with `strict` if the
    test set is too small or the verdict has a warning; `TrainingError`; `Interrupted` after Ctrl-C,
    with what was saved.
    """
    inputs = prepare_decision_inputs(recipe, listener, custom=custom)
    data = inputs.material
    with StoreIndex.open(listener) as index:  # a model that does not load must leave no run folder
        known = budget.known if budget else None
        estimate = report_estimate(data, index, listener, decides=True, known=known)
        model = data.model.load_for_recipe(recipe)
        with begin_training_run(
            data, out, model, index, estimate, "decide", listener, inputs.input_fingerprints
        ) as job:
            job = replace(job, scorer=custom.scorer)
            if budget is not None:
                job.session.folder.write(budget.plan(data))
            output = run_decision(inputs, job, clock=budget.clock if budget else None)
    return build_decision_result(output, job.session.folder, job.recipe)


def build_decision_result(output: DecisionOutput, folder: RunFolder, recipe: Recipe) -> Result:
    """The result for the user. Errors: `GateFailed` if strict and there is a warning; everything is
    written by then.
    """
    if recipe.fail_on_warning:
        fail_on_warnings(output.decision, str(output.reports[0]))
    return Result(
        recipe,
        output.run,
        folder,
        output.evaluation,
        output.decision,
        output.reports,
        output.document,
    )


def load_decision_result(folder: RunFolder, run: Run) -> Result:
    """The result of a finished decision, from its folder. Errors: `RunError` if part of it is
    damaged.
    """
    folder.check_integrity(*REPORT_FILES)
    reports = tuple(folder.path / name for name in REPORT_FILES)
    document = json.loads(reports[-1].read_text(encoding="utf-8"))
    return Result(
        folder.read_recipe(),
        run,
        folder,
        folder.read(Evaluation),
        folder.read(Decision),
        reports,
        document,
    )


def run_decision(
    inputs: DecisionInputs,
    job: TrainingJob,
    saved: "LoadedCheckpoint | None" = None,
    clock: BudgetClock | None = None,
) -> DecisionOutput:
    """All steps in order, in the folder of a run that may hold some of them already; `saved` is its
    checkpoint. With a `clock` the rest is planned again on the way, as the folder's budget says.
    """
    data, judging, session = inputs.material, inputs.judge_setup, job.session
    listener, form = session.listener, inputs.output_constraint
    runner = _build_runner(inputs, session)
    factory = _build_factory(inputs, session)
    pacer = start_pacing(clock, runner, factory, data)
    factory.selector.pacer = pacer
    listener.start_stage(f"evaluating the baselines on {len(data.test):,} test examples each")
    runner.score_external(inputs.external_contenders)
    runner.run_contenders(inputs.custom_contenders)
    base = build_base_model(job.model, data.recipe, form, listener)
    runner.run_contenders(pacer.pace(factory.build_untuned_contenders(base)))
    for remote in inputs.remote_models:
        runner.run_contenders(factory.build_untuned_contenders(remote))
        for note in remote.notes:
            listener.note("service/limitation", f"{remote.name}: {note}", model=remote.name)
    # Must come before tuning: it changes the model in place.
    before = _measure_ability_before(job)
    pacer.record_probe()
    job = with_training_minutes(job, pacer.choose_training_minutes())
    run, model = _train_or_load(job, saved)
    assert run.result is not None
    pacer.finish_training()
    listener.start_stage("evaluating the tuned model")
    tuned = build_tuned_model(model, data.recipe, form, listener, run.result.seconds)
    runner.run_contenders(pacer.pace(factory.build_tuned_contenders(tuned)))
    after = _measure_ability(model, job, "general ability after tuning")
    forgetting = compute_forgetting(before, after) if before and after else None
    for note in judging.notes:
        judge = data.recipe.judge.model
        listener.note("judge/limitation", f"{judge}: {note}", model=judge)
    judged = judging.sum_usage(runner.restored_answer_sets)
    seconds = _sum_seconds(runner, factory.selector, run, forgetting, judged)
    usd = judging.compute_usd(judged)
    evidence = DecisionEvidence(
        inputs.power, judging.qualification, forgetting, usd, usd if judging.price else 0.0, seconds
    )
    return conclude(runner, finish_pacing(runner, data), evidence, model, form)


def _build_runner(inputs: DecisionInputs, session: RunSession) -> EvaluationRunner:
    """The runner, with the scorer that decides; what is known of the test set is stored."""
    data, folder, judging = inputs.material, session.folder, inputs.judge_setup
    folder.write(build_test_set(inputs.task, [example.answer for example in data.train]))
    folder.write(data.contamination)
    folder.write(inputs.power)
    if judging.qualification is not None:
        folder.write(judging.qualification)
    return EvaluationRunner(session, inputs.task, data.split.test, data.validation, judging.judge)


def _build_factory(inputs: DecisionInputs, session: RunSession) -> ContenderFactory:
    """The contender factory, whose choices use the plain scorer; its search indexes are stored."""
    data, folder = inputs.material, session.folder
    selector = CandidateSelector(
        # Choices score hundreds of candidate answers; a judge would be too slow and costly for
        # them.
        data.validation,
        inputs.plain_task.scorer,
        data.recipe.seed,
        session.listener,
        session.stop,
        folder,
    )
    factory = ContenderFactory(
        data.recipe,
        data.train,
        data.test,
        inputs.output_constraint,
        selector,
        inputs.documents,
        inputs.prompts,
    )
    # A resumed run has the index already; it is rebuilt from the same data.
    with folder.allow_rewriting("index"):
        for name, index in factory.indexes.items():
            write_index(folder.path / "index", name, index.entries, index.vectors)
        if inputs.documents:
            write_documents(folder, inputs.documents)
    return factory


def _train_or_load(job: TrainingJob, saved: "LoadedCheckpoint | None") -> tuple[Run, LocalModel]:
    """The finished run and the tuned model. Errors: as `run_training`."""
    session = job.session
    if session.run.result is None:
        return run_training(replace(job, checkpoint=saved))
    session.listener.note("training/finished-before", "using the already trained model")
    remove_training_files(session.folder, session.run)
    tuned = ResolvedModel.open(str(session.folder.path))
    return session.run, job.model.with_adapter(tuned, job.recipe)


def _measure_ability_before(job: TrainingJob) -> GeneralAbility | None:
    """General ability before tuning: as stored by an interrupted run, if by the same probe; it
    cannot be measured once the model is tuned.
    """
    folder, run = job.session.folder, job.session.run
    stored = folder.read(GeneralAbility) if folder.has(GeneralAbility) else None
    if stored and stored.probe == compute_probe_fingerprint():
        return stored
    if run.result is not None and job.recipe.requirements.max_forgetting is not None:
        job.session.listener.warn(
            "forgetting/not-measured",
            "skipping the forgetting test: general ability was not measured before training",
        )
        return None
    measured = _measure_ability(job.model, job, "general ability before tuning")
    if measured is not None:
        folder.write(measured)
    return measured


def _measure_ability(model: LocalModel, job: TrainingJob, label: str) -> GeneralAbility | None:
    """General ability of the model in memory; None if the recipe sets no
    `requirements.max_forgetting`.
    """
    if job.recipe.requirements.max_forgetting is None:
        return None
    completer = model.create_completer(MAX_PROBE_TOKENS)
    return measure_general_ability(completer, model, partial(job.session.report_progress, label))


def _sum_seconds(
    runner: EvaluationRunner,
    chooser: CandidateSelector,
    run: Run,
    forgetting: Forgetting | None,
    judged: Usage,
) -> float:
    """Seconds of choices, evaluation, tuning, general ability and judging, over all sessions of the
    run.
    """
    asking = sum(
        one.usage.seconds
        for one in runner.answer_sets
        if one.usage and not one.spec.traits.is_external
    )
    tuning = run.result.seconds if run.result else 0.0
    return (
        chooser.seconds
        + asking
        + tuning
        + (forgetting.seconds if forgetting else 0.0)
        + judged.seconds
    )
