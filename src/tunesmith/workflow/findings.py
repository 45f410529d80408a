"""After all were asked: evaluation, verdict, costs, errors, report. All from records; only beliefs need a model.

What is written can be made again from what is stored (`again.py`), so a report is never the only place of a number.
"""

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.analysis.analyse import analyse
from tunesmith.analysis.to_label import write_to_label
from tunesmith.decision import decide as decide_by_rules
from tunesmith.decision.bar import OUTSIDE
from tunesmith.decision.cost import cost_report
from tunesmith.evaluation.evaluate import Asked, evaluate_answers
from tunesmith.evaluation.judge.scorer import JudgedScorer
from tunesmith.evaluation.scorers.scorer import Scorer
from tunesmith.models.embedded import has_embedding
from tunesmith.providers.embedder import USUAL, LocalEmbedder
from tunesmith.providers.local_model import LocalModel
from tunesmith.records import (
    Analysis,
    AnswerForm,
    CostReport,
    Decision,
    Evaluation,
    Example,
    Forgetting,
    PowerStatement,
    Qualification,
    Run,
    TuningSpent,
)
from tunesmith.records.look import looks_told, name_of_test_set
from tunesmith.report.content import ReportInput
from tunesmith.report.data import focus_of, report_json
from tunesmith.report.write import write_report
from tunesmith.runs.folder import REPORTS, TO_LABEL
from tunesmith.workflow.contest import Contest
from tunesmith.workflow.forecast_asking import BELIEFS
from tunesmith.workflow.index import Index
from tunesmith.workflow.material import Material
from tunesmith.workflow.showing import as_measured


@dataclass(frozen=True)
class Findings:
    """What was found on the way, before the verdict.

    `judge_usd` is what judging cost, of which a provider charged `judge_usd_charged`; `seconds` are those of choices,
    asking, tuning, general ability and judging together.
    """

    power: PowerStatement
    qualification: Qualification | None
    forgetting: Forgetting | None
    judge_usd: float
    judge_usd_charged: float
    seconds: float


@dataclass(frozen=True)
class Found:
    """What all of it comes to; `document` is what `report.json` holds."""

    run: Run
    evaluation: Evaluation
    decision: Decision
    reports: tuple[Path, ...]
    document: dict[str, Any]


def find(
    contest: Contest,
    material: Material,
    run: Run,
    index: Index,
    known: Findings,
    model: LocalModel,
    form: AnswerForm | None,
) -> Found:
    """Judge, decide, reckon, explain, report; everything is kept in the run's folder and the store, the decision last:
    a run that has one is finished."""
    recipe, folder, asked = material.recipe, contest.folder, contest.asked
    evaluation = evaluate_answers(asked, contest.task)
    drop = known.forgetting.drop if known.forgetting else None
    decision = decide_by_rules(
        evaluation, recipe.bar, recipe.circumstances, drop, run.result.extent if run.result else None
    )
    cost = _cost(evaluation, asked, material, run, known, decision.winner)
    run = run.model_copy(update={"estimate_error": {**run.estimate_error, **cost.prediction_errors}})
    answers = {one.name: one.answers for one in asked}
    for record in (known.forgetting, evaluation, cost, run):
        if record is not None:
            folder.write(record)
    content = ReportInput(
        run=run,
        recipe=recipe,
        check=material.check,
        split=material.split,
        mask=material.proof,
        metrics=folder.metrics().records,
        evaluation=evaluation,
        answers=answers,
        examples={example.id: example for example in material.test},
        decision=decision,
        command=shlex.join(
            ["tunesmith", "decide", str(recipe.data.path), "--recipe", str(folder.path / "recipe.yaml")]
        ),
        defaults=[(default.key, f"{default.value:g}", default.source) for default in run.defaults],
        power=as_measured(known.power, material, evaluation, answers),
        leaks=material.leaks,
        looks=looks_told(index.looks(name_of_test_set(contest.test_ids))),
        qualification=known.qualification,
        judge_told=told_by(contest.task.scorer, sum(one.judging is not None for one in contest.recalled)),
        forgetting=known.forgetting,
        cost=cost,
    )
    with folder.rewriting(*REPORTS, TO_LABEL):
        content = content.with_analysis(_analysis(content, contest, material, model, form))
        reports = write_report(folder.path, content)
    folder.write(decision)
    folder.settle()
    index.record(folder)
    return Found(run, evaluation, decision, reports, report_json(content, reports[0]))


def told_by(scorer: Scorer, earlier: int = 0) -> tuple[str, ...]:
    """What a judge has to say for itself; of `earlier` contenders it has forgotten it, as the run was cut short."""
    if not isinstance(scorer, JudgedScorer):
        return ()
    forgotten = f"What is counted here leaves out {earlier:,} contenders that were judged before the run went on."
    return (*scorer.told(), *([forgotten] if earlier else []))


def _cost(
    evaluation: Evaluation, asked: Sequence[Asked], material: Material, run: Run, known: Findings, winner: str | None
) -> CostReport:
    """Answers from outside took nothing of this machine."""
    split, result = material.split, run.result
    return cost_report(
        evaluation,
        material.recipe,
        data_examples=len(split.train) + len(split.validation) + len(split.test),
        tuning=TuningSpent(seconds=result.seconds) if result else None,
        evaluation_seconds=sum(one.usage.seconds for one in asked if one.usage and one.profile.kind != OUTSIDE),
        decision_seconds=known.seconds,
        judge_usd=known.judge_usd,
        judge_usd_charged=known.judge_usd_charged,
        foreseen=run.estimate,
        answers={one.name: one.answers for one in asked},
        winner=winner,
    )


def _analysis(
    content: ReportInput, contest: Contest, material: Material, model: LocalModel, form: AnswerForm | None
) -> Analysis | None:
    """What the winner (or else the best tuned one) gets wrong, and what to add; None where nobody answered."""
    focus = focus_of(content)
    if focus is None:
        return None
    beliefs = beliefs_of(material.train, model, form) if focus.startswith("tuned") else None
    analysis = analyse(
        content.evaluation,
        content.answers[focus],
        material.test,
        material.train,
        focus,
        beliefs or None,
        LocalEmbedder() if form is not None and form.labels and has_embedding(USUAL) else None,
    )
    contest.folder.write(analysis)
    write_to_label(analysis, contest.folder.path / TO_LABEL)
    return analysis


def beliefs_of(train: Sequence[Example], model: LocalModel, form: AnswerForm | None) -> Mapping[str, tuple[str, float]]:
    """What the model as it stands says to train examples and how probable it finds that; only for labels.

    Their ids are hashes, so the first ones are a fair sample.
    """
    if form is None or not form.labels:
        return {}
    some = sorted(train, key=lambda example: example.id)[:BELIEFS]
    prompts = [example.prompt for example in some]
    said = model.completer(1, form).complete(prompts)
    sure = model.likelihoods(prompts, [one.text for one in said])
    return {
        example.id: (one.text, math.exp(min(0.0, likely.log_probability)))
        for example, one, likely in zip(some, said, sure, strict=True)
        if one.error is None and likely.tokens
    }
