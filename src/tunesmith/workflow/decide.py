"""The main job: what the test set can show, baselines, tuning, evaluation, verdict, costs, errors,
report.

Each step writes its result to the run's folder before the next one begins, and checks there first:
an interrupted decision continues (`resume.py`) through the same code, and nothing is run, chosen or
tuned twice.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.contenders.candidate_selection import CandidateSelector
from tunesmith.contenders.contender_factory import ContenderFactory
from tunesmith.contenders.contender_models import build_base_model, build_tuned_model
from tunesmith.contenders.retrieval.document_loading import write_documents
from tunesmith.costs.budget_replanning import BudgetClock
from tunesmith.evaluation.forgetting.probe import (
    MAX_PROBE_TOKENS,
    compute_probe_fingerprint,
    measure_general_ability,
)
from tunesmith.evaluation.forgetting.probe_comparison import compute_forgetting
from tunesmith.progress_listener import NULL_LISTENER, ProgressListener
from tunesmith.providers.local_model import LocalModel, ResolvedModel
from tunesmith.records import Decision, Evaluation, Forgetting, GeneralAbility, Recipe, Run, Usage
from tunesmith.runs.contender_files import write_index
from tunesmith.runs.interruption import build_interruption
from tunesmith.runs.run_folder import REPORT_FILES, RunFolder
from tunesmith.runs.signals import StopSignal, stop_on_signals
from tunesmith.runs.store_index import StoreIndex, remove_training_files
from tunesmith.workflow.conclusion import DecisionEvidence, DecisionOutput, conclude
from tunesmith.workflow.decision_inputs import DecisionInputs, prepare_decision_inputs
from tunesmith.workflow.decision_pacing import (
    finish_pacing,
    start_pacing,
    with_training_minutes,
)
from tunesmith.workflow.estimate import report_estimate
from tunesmith.workflow.evaluation_runner import EvaluationRunner, build_test_set
from tunesmith.workflow.redecide import fail_on_warnings
from tunesmith.workflow.time_budget import FittedBudget
from tunesmith.workflow.training_session import TrainingSession, run_training, start_run

if TYPE_CHECKING:
    from tunesmith.engine.checkpoint import LoadedCheckpoint


@dataclass(frozen=True)
class DecisionResult:
    """The result of `decide`. `document` is the content of `report.json`; `reports` are the paths
    of html, md and json.
    """

    decision: Decision
    evaluation: Evaluation
    run: Run
    folder: RunFolder
    reports: tuple[Path, ...]
    document: dict[str, Any]


def decide(
    recipe: Recipe,
    out: Path = Path("runs"),
    listener: ProgressListener = NULL_LISTENER,
    budget: FittedBudget | None = None,
) -> DecisionResult:
    """Should I prompt, retrieve or fine-tune? Measures, decides and reports. `budget`: the time
    that the recipe was fitted to.

    Errors: `InputError`; `GateFailed` if the data has errors or leaks, and with `strict` if the
    test set is too small or the verdict has a warning; `TrainingError`; `Interrupted` after Ctrl-C,
    with what was saved.
    """
    ready = prepare_decision_inputs(recipe, listener)
    material = ready.material
    with StoreIndex.open(listener) as index:  # a model that does not load must leave no run folder
        known = budget.known if budget else None
        estimate = report_estimate(material, index, listener, decides=True, known=known)
        model = material.model.load_for_recipe(recipe)
        with (
            start_run(
                material, out, model, index, estimate, "decide", ready.input_fingerprints
            ) as tuning,
            stop_on_signals() as stop,
        ):
            clock = None
            if budget is not None:
                clock = budget.clock
                tuning.folder.write(budget.plan(material))
            found = run_decision(ready, tuning, listener, stop, clock=clock)
    return build_decision_result(found, tuning.folder, recipe)


def build_decision_result(
    output: DecisionOutput, folder: RunFolder, recipe: Recipe
) -> DecisionResult:
    """The result for the user. Errors: `GateFailed` if strict and there is a warning; everything is
    written by then.
    """
    if recipe.strict:
        fail_on_warnings(output.decision, str(output.reports[0]))
    return DecisionResult(
        output.decision, output.evaluation, output.run, folder, output.reports, output.document
    )


def load_decision_result(folder: RunFolder, run: Run) -> DecisionResult:
    """The result of a finished decision, from its folder. Errors: `RunError` if part of it is
    damaged.
    """
    folder.check_integrity(*REPORT_FILES)
    reports = tuple(folder.path / name for name in REPORT_FILES)
    document = json.loads(reports[-1].read_text(encoding="utf-8"))
    return DecisionResult(
        folder.read(Decision), folder.read(Evaluation), run, folder, reports, document
    )


def run_decision(
    inputs: DecisionInputs,
    session: TrainingSession,
    listener: ProgressListener,
    stop: StopSignal,
    saved: "LoadedCheckpoint | None" = None,
    clock: BudgetClock | None = None,
) -> DecisionOutput:
    """All steps in order, in the folder of a run that may hold some of them already; `saved` is its
    checkpoint. With a `clock` the rest is planned again on the way, as the folder's budget says.
    """
    material, judging, model = inputs.material, inputs.judge_setup, session.model
    contest, lineup = _prepare_evaluation(inputs, session, listener, stop)
    is_tuned = session.run.result is not None
    pacer = start_pacing(clock, contest, lineup, material, listener, is_tuned=is_tuned)
    lineup.selector.pacer = pacer
    listener.start_stage(f"evaluating the baselines on {len(material.test):,} test examples each")
    contest.add_external(inputs.external_contenders)
    base = build_base_model(model, material.recipe, inputs.output_constraint, listener)
    contest.run_contenders(pacer.pace(lineup.build_untuned_contenders(base)), model)
    for remote in inputs.remote_models:
        contest.run_contenders(lineup.build_untuned_contenders(remote), notes=remote.notes)
        for note in remote.notes:
            listener.note("service/limitation", f"{remote.name}: {note}", model=remote.name)
    # Must come before tuning: it changes the model in place.
    before = _measure_ability_before(model, session, listener, stop)
    pacer.record_probe()
    session = with_training_minutes(session, pacer.choose_training_minutes())
    run, tuned = _train_or_load(session, listener, stop, saved)
    assert run.result is not None
    pacer.finish_training()
    listener.start_stage("evaluating the tuned model")
    answerer = build_tuned_model(
        tuned, material.recipe, inputs.output_constraint, listener, run.result.seconds
    )
    contest.run_contenders(pacer.pace(lineup.build_tuned_contenders(answerer)), tuned)
    after = _measure_ability(tuned, session, listener, "general ability after tuning", stop)
    forgetting = compute_forgetting(before, after) if before and after else None
    for note in judging.notes:
        listener.note(
            "judge/limitation",
            f"{material.recipe.judge.model}: {note}",
            model=material.recipe.judge.model,
        )
    judged = judging.sum_usage(contest.restored_answer_sets)
    seconds = _sum_seconds(contest, lineup.selector, run, forgetting, judged)
    usd = judging.compute_usd(judged)
    known = DecisionEvidence(
        inputs.power, judging.qualification, forgetting, usd, usd if judging.price else 0.0, seconds
    )
    material, run = finish_pacing(contest, material, run)
    return conclude(contest, material, run, session.index, known, tuned, inputs.output_constraint)


def _prepare_evaluation(
    inputs: DecisionInputs, session: TrainingSession, listener: ProgressListener, stop: StopSignal
) -> tuple[EvaluationRunner, ContenderFactory]:
    """The runner with the deciding scorer, and the contender factory, whose choices use the plain
    scorer.
    """
    material, folder, judging = inputs.material, session.folder, inputs.judge_setup
    folder.write(build_test_set(inputs.task, [example.answer for example in material.train]))
    folder.write(material.contamination)
    folder.write(inputs.power)
    if judging.qualification is not None:
        folder.write(judging.qualification)
    chooser = CandidateSelector(
        # Choices score hundreds of candidate answers; a judge would be too slow and costly for
        # them.
        material.validation,
        inputs.plain_task.scorer,
        material.recipe.seed,
        listener,
        stop,
        folder,
    )
    contest = EvaluationRunner(
        inputs.task,
        material.split.test,
        material.validation,
        folder,
        session.index,
        listener,
        stop,
        judging.judge,
    )
    lineup = ContenderFactory(
        material.recipe,
        material.train,
        material.test,
        inputs.output_constraint,
        chooser,
        inputs.documents,
        inputs.prompts,
    )
    # A resumed run has the index already; it is rebuilt from the same data.
    with folder.allow_rewriting("index"):
        for name, index in lineup.indexes.items():
            write_index(folder.path / "index", name, index.entries, index.vectors)
        if inputs.documents:
            write_documents(folder, inputs.documents)
    return contest, lineup


def _train_or_load(
    session: TrainingSession,
    listener: ProgressListener,
    stop: StopSignal,
    saved: "LoadedCheckpoint | None",
) -> tuple[Run, LocalModel]:
    """The finished run and the tuned model. Errors: `Interrupted` if a stop was requested."""
    if session.run.result is not None:
        listener.note("training/finished-before", "using the already trained model")
        remove_training_files(session.folder, session.run)
        return session.run, session.model.with_adapter(
            ResolvedModel.open(str(session.folder.path)), session.recipe
        )
    with stop.finishing():
        run = run_training(session, listener, stop, saved)
    if run.status != "finished":
        raise build_interruption(session.folder, stop.exit_code)
    return run, session.model


def _measure_ability_before(
    model: LocalModel, session: TrainingSession, listener: ProgressListener, stop: StopSignal
) -> GeneralAbility | None:
    """General ability before tuning: as stored by an interrupted run, if by the same probe; it
    cannot be measured once the model is tuned.
    """
    kept = session.folder.read(GeneralAbility) if session.folder.has(GeneralAbility) else None
    if kept and kept.probe == compute_probe_fingerprint():
        return kept
    if session.run.result is not None and session.recipe.bar.max_forgetting is not None:
        listener.warn(
            "forgetting/not-measured",
            "skipping the forgetting test: general ability was not measured before training",
        )
        return None
    found = _measure_ability(model, session, listener, "general ability before tuning", stop)
    if found is not None:
        session.folder.write(found)
    return found


def _measure_ability(
    model: LocalModel,
    session: TrainingSession,
    listener: ProgressListener,
    label: str,
    stop: StopSignal,
) -> GeneralAbility | None:
    """General ability of the model in memory; None if the recipe sets no `bar.max_forgetting`."""
    if session.recipe.bar.max_forgetting is None:
        return None

    def report_progress(ready: int, wanted: int) -> None:
        listener.update_progress(label, ready, wanted)
        if stop.is_requested():
            raise build_interruption(session.folder, stop.exit_code)

    return measure_general_ability(model.create_completer(MAX_PROBE_TOKENS), model, report_progress)


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
