"""The main job: what the test set can show, baselines, tuning, evaluation, verdict, costs, errors, report."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from tunesmith.baselines.dspy import installed_dspy
from tunesmith.baselines.form import form_of
from tunesmith.baselines.rag.documents import Passage, read_passages
from tunesmith.errors import GateFailed
from tunesmith.evaluation.evaluate import Task, check_task
from tunesmith.evaluation.forgetting.change import forgetting_of
from tunesmith.evaluation.forgetting.probe import PROBE_TOKENS, measure_general
from tunesmith.evaluation.scorers.choose import choose_scorer
from tunesmith.providers.embedder import LocalEmbedder
from tunesmith.providers.local_model import LocalModel
from tunesmith.records import AnswerForm, Decision, Evaluation, GeneralAbility, PowerStatement, Progress, Recipe, Run
from tunesmith.runs.folder import RunFolder
from tunesmith.runs.stop import Stop, stop_on_signals
from tunesmith.store.store import Store
from tunesmith.workflow.again import refuse_warnings
from tunesmith.workflow.answerers import base_answerer, remote_answerers, tuned_answerer
from tunesmith.workflow.choices import Chooser
from tunesmith.workflow.contest import Contest, check_own_scorer, test_set_of
from tunesmith.workflow.estimate import foreseen
from tunesmith.workflow.findings import Findings, find
from tunesmith.workflow.judging import Judging, open_judging
from tunesmith.workflow.lineup import Lineup
from tunesmith.workflow.listener import SILENT, Listener
from tunesmith.workflow.material import Material, gather
from tunesmith.workflow.outsiders import names_in_decide, read_outsiders
from tunesmith.workflow.showing import planned
from tunesmith.workflow.tuning import interrupted, open_run, tune


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

    Errors: `InputError`; `GateFailed` when the data has errors or leaks, and with `strict` when the test set is too
    small or the verdict has a warning; `TrainingError`; `Interrupted` after Ctrl-C, which says what was kept.
    """
    passages = _passages(recipe)  # quick to fail, so before all that is slow
    if recipe.evaluation.optimiser == "dspy":
        installed_dspy()
    material = gather(recipe, listener)
    task = task_of(material)
    power = say_power(material, listener)
    judging = open_judging(task.scorer, material.recipe, listener)
    outsiders = read_outsiders(material.recipe, judging.task(task), names_in_decide(material.recipe))
    form, why = form_of([example.answer for example in material.train])
    listener.note(why)
    remotes = remote_answerers(material, form, listener)
    with Store.open() as store:  # nothing is written before the store and the model are open
        estimate = foreseen(material, store, listener)
        model = material.model.load_for(recipe)
        with open_run(material, out, model, store, estimate) as tuning, stop_on_signals() as stop:
            contest, lineup = _prepare(material, task, judging, passages, form, tuning.folder, store, listener, stop)
            tuning.folder.write(power)
            began = perf_counter()
            listener.stage(f"asking the baselines, {len(material.test):,} test examples each")
            contest.take(outsiders)
            contest.ask(lineup.prompted(base_answerer(model, material.recipe, form, listener)), model)
            for remote in remotes:
                contest.ask(lineup.prompted(remote), notes=remote.notes)
            before = _ability(model, material.recipe, listener, "general ability before", stop, tuning.folder)
            run = tune(tuning, listener, stop)
            if run.result is None or run.status != "finished":
                raise interrupted(tuning.folder, stop)
            listener.stage("asking the tuned model")
            contest.ask(lineup.tuned(tuned_answerer(model, material.recipe, form, listener, run.result.seconds)), model)
            after = _ability(model, material.recipe, listener, "general ability after", stop, tuning.folder)
            forgetting = forgetting_of(before, after) if before and after else None
            elapsed = perf_counter() - began
            known = Findings(
                power, judging.qualification, forgetting, judging.usd, judging.usd if judging.price else 0.0, elapsed
            )
            found = find(contest, material, run, store, known, model, form)
    outcome = Outcome(found.decision, found.evaluation, found.run, contest.folder, found.reports, found.document)
    if recipe.strict:
        refuse_warnings(found.decision, str(found.reports[0]))
    return outcome


def task_of(material: Material) -> Task:
    """The test examples and the scorer that the train answers call for. Errors: `DataError`, `RecipeError`."""
    recipe = material.recipe
    answers = [example.answer for example in material.train]
    scorer, reason = choose_scorer(answers, recipe.evaluation.scorer, LocalEmbedder)
    name, leaked = material.check.dataset.name, frozenset(material.leaks.leaked)
    task = Task(name, material.test, scorer, reason, recipe.machine_usd_per_hour, recipe.seed, leaked)
    check_task(task)
    check_own_scorer(task)
    return task


def say_power(material: Material, listener: Listener) -> PowerStatement:
    """What this test set can show, said before anything is spent. Errors: `GateFailed` when strict and too few."""
    recipe, n = material.recipe, len(material.test)
    power = planned(material)
    listener.note(power.sentence)
    if power.is_enough:
        return power
    for option in power.options:
        listener.note(f"- {option}")
    if recipe.strict:
        raise GateFailed(
            "too-few-tests", power.sentence, where="test examples", found=f"{n:,} of {power.needed:,}",
            do=" ".join(power.options) or "give more test examples",
        )  # fmt: skip
    return power


def _passages(recipe: Recipe) -> list[Passage]:
    retrieval = recipe.retrieval
    if retrieval.documents is None:
        return []
    return read_passages(Path(retrieval.documents), retrieval.words, retrieval.overlap)


def _prepare(
    material: Material,
    task: Task,
    judging: Judging,
    passages: Sequence[Passage],
    form: AnswerForm | None,
    folder: RunFolder,
    store: Store,
    listener: Listener,
    stop: Stop,
) -> tuple[Contest, Lineup]:
    """The contest with the scorer that decides, and what contenders are made of: choices use the plain scorer."""
    recipe = material.recipe
    chooser = Chooser(material.validation, task.scorer, recipe.seed, listener, stop, folder)
    judged = judging.task(task)
    folder.write(test_set_of(judged, [example.answer for example in material.train]))
    folder.write(material.leaks)
    contest = Contest(judged, material.split.test, material.validation, folder, store, listener, stop)
    return contest, Lineup(recipe, material.train, material.test, form, chooser, passages)


def _ability(
    model: LocalModel, recipe: Recipe, listener: Listener, label: str, stop: Stop, folder: RunFolder
) -> GeneralAbility | None:
    """The model as it stands now on the general probe; None where the recipe sets no budget for forgetting."""
    if recipe.bar.max_forgetting is None:
        return None

    def tell(ready: int, wanted: int) -> None:
        listener.progress(label, ready, wanted)
        if stop.asked():
            raise interrupted(folder, stop)

    report: Progress = tell
    return measure_general(model.completer(PROBE_TOKENS), model, report)
