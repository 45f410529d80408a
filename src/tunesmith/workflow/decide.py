"""The main job: baselines, tuning, evaluation, verdict, report."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.baselines.rag.documents import read_passages
from tunesmith.decision.verdict import decide as decide_by_rules
from tunesmith.evaluation.evaluate import Asked, Entrant, Task, ask, check_task, evaluate_answers
from tunesmith.evaluation.scorers.choose import choose_scorer
from tunesmith.records import Asking, Decision, Evaluation, Recipe, Run, TestExample, TestSet
from tunesmith.report.content import ReportInput
from tunesmith.report.data import report_json
from tunesmith.report.write import write_report
from tunesmith.runs.folder import RunFolder
from tunesmith.runs.stop import Stop, stop_on_signals
from tunesmith.store.store import Store
from tunesmith.workflow.estimate import foreseen
from tunesmith.workflow.lineup import Retrieval, baseline_entrants, tuned_entrants
from tunesmith.workflow.listener import SILENT, Listener
from tunesmith.workflow.material import Material, gather
from tunesmith.workflow.tuning import artifact_of, interrupted, open_run, tune


@dataclass(frozen=True)
class Outcome:
    """What `decide` leaves. `document` is what `report.json` holds; `reports` are the paths of html, md and json."""

    decision: Decision
    evaluation: Evaluation
    run: Run
    folder: RunFolder
    reports: tuple[Path, ...]
    document: dict[str, Any]


def decide(recipe: Recipe, out: Path = Path("runs"), listener: Listener = SILENT) -> Outcome:
    """Should I prompt, retrieve or fine-tune? Measures, decides and reports.

    Errors: `InputError`, `GateFailed` when the data has errors, `TrainingError`; `Interrupted` after Ctrl-C, which says
    what was kept.
    """
    documents = recipe.retrieval.documents
    passages = read_passages(Path(documents)) if documents else None  # quick to fail, so before all that is slow
    material = gather(recipe, listener)
    task = task_of(material)
    retrieval = Retrieval(material.recipe, material.train, passages)
    with Store.open() as store:  # nothing is written before the store and the model are open
        estimate = foreseen(material, store, listener)
        model = material.model.load_for(recipe)
        with open_run(material, out, model, store, estimate) as tuning, stop_on_signals() as stop:
            folder = tuning.folder
            completer = model.completer(material.recipe.evaluation.max_new_tokens or 1)
            listener.stage(f"asking the baselines, {len(material.test):,} test examples each")
            folder.write(test_set_of(task, material))
            entrants = baseline_entrants(completer, material.recipe, material.train, retrieval)
            asked = [ask_one(entrant, task, folder, listener, stop) for entrant in entrants]
            run = tune(tuning, listener, stop)
            if run.result is None or run.status != "finished":
                raise interrupted(folder, stop)
            listener.stage("asking the tuned model")
            entrants = tuned_entrants(completer, material.recipe, retrieval, run.result.seconds)
            asked += [ask_one(entrant, task, folder, listener, stop) for entrant in entrants]
            evaluation = evaluate_answers(asked, task)
            decision = decide_by_rules(evaluation, material.recipe.bar)
            folder.write(evaluation)
            folder.write(decision)
            store.add_evaluation(evaluation, run.id)
            content = _content(material, asked, evaluation, decision, run, folder)
            reports = write_report(folder.path, content)
            for path in reports:
                store.add_artifact(artifact_of("report", path, run.id))
    return Outcome(decision, evaluation, run, folder, reports, report_json(content, reports[0]))


def task_of(material: Material) -> Task:
    """The test examples and the scorer that the train answers call for. Errors: `DataError`, `RecipeError`."""
    recipe = material.recipe
    scorer, reason = choose_scorer([example.answer for example in material.train], recipe.evaluation.scorer)
    name = material.check.dataset.name
    task = Task(name, material.test, scorer, reason, recipe.machine_usd_per_hour, recipe.seed)
    check_task(task)
    return task


def test_set_of(task: Task, material: Material) -> TestSet:
    """What is kept of the task, so that the verdict can be made again from the answers."""
    labels = sorted({example.answer for example in material.train}) if task.scorer.name == "label" else ()
    return TestSet(
        task=task.name,
        scorer=task.scorer.name,
        scorer_reason=task.scorer_reason,
        metric=task.scorer.metric,
        examples=tuple(
            TestExample(id=one.id, question=one.question, answer=one.answer, group=one.group) for one in task.examples
        ),
        labels=tuple(labels),
        leaked=tuple(sorted(task.leaked)),
        machine_usd_per_hour=task.machine_usd_per_hour,
        seed=task.seed,
    )


def ask_one(entrant: Entrant, task: Task, folder: RunFolder | None, listener: Listener, stop: Stop) -> Asked:
    """Ask one contender and keep its answers in the folder. Errors: `Interrupted` when somebody asks to stop."""

    def tell(label: str, ready: int, wanted: int) -> None:
        listener.progress(label, ready, wanted)
        if stop.asked():
            raise interrupted(folder, stop)

    asked = ask(entrant, task, tell)
    if folder is not None:
        folder.write_answers(Asking(profile=asked.profile, usage=asked.usage), asked.answers)
    return asked


def _content(
    material: Material, asked: Sequence[Asked], evaluation: Evaluation, decision: Decision, run: Run,
    folder: RunFolder,
) -> ReportInput:  # fmt: skip
    recipe = folder.path / "recipe.yaml"
    return ReportInput(
        run=run,
        recipe=material.recipe,
        check=material.check,
        split=material.split,
        mask=material.proof,
        metrics=folder.metrics().records,
        evaluation=evaluation,
        answers={contender.name: contender.answers for contender in asked},
        examples={example.id: example for example in material.test},
        decision=decision,
        command=shlex.join(["tunesmith", "decide", str(material.recipe.data.path), "--recipe", str(recipe)]),
        defaults=[(default.key, f"{default.value:g}", default.source) for default in material.defaults],
    )
