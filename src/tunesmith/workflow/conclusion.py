"""After all contenders were run: evaluation, verdict, costs, error analysis, report. Everything
follows from records; only the predictions on training labels need a model.

All files can be recomputed from what is stored (`redecide.py`), so a report is never the only place
of a number.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.analysis.error_analysis import analyze_errors
from tunesmith.analysis.labeling_sheet import write_labeling_sheet
from tunesmith.contenders.evaluation_runner import EvaluationRunner
from tunesmith.costs.contender_forecast import MAX_TRAIN_PREDICTIONS
from tunesmith.costs.cost_calculation import build_cost_report
from tunesmith.decision import decide as decide_by_rules
from tunesmith.decision.power_statement import measure_disagreement
from tunesmith.evaluation.contender_answers import ContenderAnswers
from tunesmith.evaluation.harness import evaluate_answers
from tunesmith.evaluation.judge.judge_scorers import ScorerWithJudge
from tunesmith.evaluation.scorers.scorer_protocol import Scorer
from tunesmith.models.embedded import is_embedding_fetched
from tunesmith.providers.embedder import DEFAULT_MODEL, LocalEmbedder
from tunesmith.providers.local_model import LocalModel
from tunesmith.records import (
    Analysis,
    CostReport,
    Decision,
    Evaluation,
    Example,
    Forgetting,
    JudgeQualification,
    OutputConstraint,
    PowerStatement,
    Run,
    TrainingCost,
)
from tunesmith.records.test_set_access import fingerprint_test_set, format_access_log
from tunesmith.report.report_data import build_report_json, choose_focus
from tunesmith.report.report_input import ReportInput
from tunesmith.report.report_writer import write_report
from tunesmith.runs.run_folder import LABELING_FILE, REPORT_FILES
from tunesmith.workflow.data_preparation import PreparedData
from tunesmith.workflow.decision_inputs import compute_power
from tunesmith.workflow.report import format_repeat_command, list_defaults


@dataclass(frozen=True)
class DecisionEvidence:
    """What was measured before the verdict.

    `judge_usd` is the cost of judging, `judge_usd_charged` the part that a provider charged;
    `seconds` is the total of choices, evaluation, tuning, general ability and judging.
    """

    power: PowerStatement
    qualification: JudgeQualification | None
    forgetting: Forgetting | None
    judge_usd: float
    judge_usd_charged: float
    seconds: float


@dataclass(frozen=True)
class DecisionOutput:
    """The final result; `document` is the content of `report.json`."""

    run: Run
    evaluation: Evaluation
    decision: Decision
    reports: tuple[Path, ...]
    document: dict[str, Any]


def conclude(
    runner: EvaluationRunner,
    data: PreparedData,
    evidence: DecisionEvidence,
    model: LocalModel,
    form: OutputConstraint | None,
) -> DecisionOutput:
    """Evaluate, decide, compute costs, analyze errors, report.

    Everything is written to the run's folder and the store, the decision last: a run that has one
    is finished.
    """
    session, recipe, asked = runner.session, data.recipe, runner.answer_sets
    run, folder = session.run, session.folder
    evaluation = evaluate_answers(asked, runner.task)
    drop = evidence.forgetting.drop if evidence.forgetting else None
    decision = decide_by_rules(
        evaluation,
        recipe.requirements,
        recipe.usage,
        drop,
        run.result.training_length if run.result else None,
    )
    cost = _compute_cost(evaluation, asked, data, run, evidence, decision.winner)
    answers = {one.name: one.answers for one in asked}
    for record in (evidence.forgetting, evaluation, cost):
        if record is not None:
            folder.write(record)
    errors = {**run.estimate_error, **cost.prediction_errors}
    run = session.save(run.replace(estimate_error=errors))
    measured = measure_disagreement(evaluation, answers)
    content = ReportInput(
        run=run,
        recipe=recipe,
        check=data.check,
        split=data.split,
        mask=data.mask_proof,
        metrics=folder.read_metrics().records,
        evaluation=evaluation,
        answers=answers,
        examples={example.id: example for example in data.test},
        decision=decision,
        command=format_repeat_command(recipe, folder),
        defaults=list_defaults(run, folder),
        power=compute_power(data, measured) if measured else evidence.power,
        contamination=data.contamination,
        test_set_access=format_access_log(
            session.index.list_test_set_accesses(fingerprint_test_set(runner.test_ids))
        ),
        qualification=evidence.qualification,
        judge_notes=list_judge_notes(
            runner.task.scorer,
            sum(one.judge_usage is not None for one in runner.restored_answer_sets),
        ),
        forgetting=evidence.forgetting,
        cost=cost,
    )
    # A resumed run may have been interrupted between the report and the decision.
    with folder.allow_rewriting(*REPORT_FILES, LABELING_FILE):
        content = content.with_analysis(_analyze_errors(content, runner, data, model, form))
        reports = write_report(folder.path, content)
    # Last: `resume` takes a decision record as the sign that everything else is on disk.
    folder.write(decision)
    folder.finalize_checksums()
    session.record()
    return DecisionOutput(
        run, evaluation, decision, reports, build_report_json(content, reports[0])
    )


def list_judge_notes(scorer: Scorer, earlier: int = 0) -> tuple[str, ...]:
    """Notes of the judge; for `earlier` contenders, judged before the run was interrupted, they are
    lost.
    """
    if not isinstance(scorer, ScorerWithJudge):
        return ()
    forgotten = (
        f"These counts exclude {earlier:,} contenders that were judged before the run was resumed."
    )
    return (*scorer.list_notes(), *([forgotten] if earlier else []))


def _compute_cost(
    evaluation: Evaluation,
    asked: Sequence[ContenderAnswers],
    data: PreparedData,
    run: Run,
    evidence: DecisionEvidence,
    winner: str | None,
) -> CostReport:
    """The cost report; answers of external systems took no time on this machine."""
    split, result = data.split, run.result
    return build_cost_report(
        evaluation,
        data.recipe,
        data_examples=len(split.train) + len(split.validation) + len(split.test),
        tuning=TrainingCost(seconds=result.seconds) if result else None,
        evaluation_seconds=sum(
            one.usage.seconds for one in asked if one.usage and not one.spec.traits.is_external
        ),
        decision_seconds=evidence.seconds,
        judge_usd=evidence.judge_usd,
        judge_usd_charged=evidence.judge_usd_charged,
        estimate=run.estimate,
        answers={one.name: one.answers for one in asked},
        winner=winner,
    )


def _analyze_errors(
    content: ReportInput,
    runner: EvaluationRunner,
    data: PreparedData,
    model: LocalModel,
    form: OutputConstraint | None,
) -> Analysis | None:
    """Analyze the errors of the winner (or else of the best tuned contender) and suggest new
    examples; None if no contender answered.
    """
    focus = choose_focus(content)
    if focus is None:
        return None
    beliefs = (
        predict_train_labels(data.train, model, form)
        if content.evaluation.get_contender(focus).traits.is_trained
        else None
    )
    analysis = analyze_errors(
        content.evaluation,
        content.answers[focus],
        data.test,
        data.train,
        focus,
        beliefs or None,
        # Never downloads a model here: the embedder is used only if it is on this machine.
        (
            LocalEmbedder()
            if form is not None and form.labels and is_embedding_fetched(DEFAULT_MODEL)
            else None
        ),
    )
    folder = runner.session.folder
    folder.write(analysis)
    write_labeling_sheet(analysis, folder.path / LABELING_FILE)
    return analysis


def predict_train_labels(
    train: Sequence[Example], model: LocalModel, form: OutputConstraint | None
) -> Mapping[str, tuple[str, float]]:
    """example id -> (label, probability) by the model in memory; empty unless answers are labels.

    Ids are hashes, so the first ones in order are a fair sample.
    """
    if form is None or not form.labels:
        return {}
    some = sorted(train, key=lambda example: example.id)[:MAX_TRAIN_PREDICTIONS]
    prompts = [example.prompt for example in some]
    # One new token is enough: labels are scored as a whole, not generated.
    completions = model.create_completer(1, form).complete(prompts)
    sure = model.compute_logprobs(prompts, [one.text for one in completions])
    return {
        # Rounding can push a sum of log-probabilities slightly above 0.
        example.id: (one.text, math.exp(min(0.0, likely.logprob)))
        for example, one, likely in zip(some, completions, sure, strict=True)
        if one.error is None and likely.tokens
    }
