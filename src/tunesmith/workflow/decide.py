"""The main job: what the test set can show, baselines, tuning, evaluation, verdict, costs, errors, report.

Each step leaves its result in the run's folder before the next one begins, and asks there first: so a decision that was
cut short goes on (`resume.py`) by the same lines, with nothing asked, chosen or tuned twice.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.decision.bar import OUTSIDE
from tunesmith.evaluation.forgetting.change import forgetting_of
from tunesmith.evaluation.forgetting.probe import PROBE_TOKENS, measure_general, probe_name
from tunesmith.providers.local_model import LocalModel, NamedModel
from tunesmith.records import Decision, Evaluation, Forgetting, GeneralAbility, Recipe, Run, Usage
from tunesmith.runs.folder import REPORTS, RunFolder
from tunesmith.runs.prompts import write_index
from tunesmith.runs.stop import Stop, stop_on_signals
from tunesmith.workflow.again import refuse_warnings
from tunesmith.workflow.answerers import base_answerer, tuned_answerer
from tunesmith.workflow.choices import Chooser
from tunesmith.workflow.contest import Contest, test_set_of
from tunesmith.workflow.documents import write_documents
from tunesmith.workflow.ending import interrupted
from tunesmith.workflow.estimate import Foresight, foreseen
from tunesmith.workflow.findings import Findings, Found, find
from tunesmith.workflow.index import Index, clear_leftovers
from tunesmith.workflow.lineup import Lineup
from tunesmith.workflow.listener import SILENT, Listener
from tunesmith.workflow.ready import Ready, make_ready
from tunesmith.workflow.tuning import Tuning, open_run, tune

if TYPE_CHECKING:
    from tunesmith.engine.checkpoint import Saved


@dataclass(frozen=True)
class Outcome:
    """What `decide` leaves. `document` is what `report.json` holds; `reports` are the paths of html, md and json."""

    decision: Decision
    evaluation: Evaluation
    run: Run
    folder: RunFolder
    reports: tuple[Path, ...]
    document: dict[str, Any]


def decide(
    recipe: Recipe, out: Path = Path("runs"), listener: Listener = SILENT, known: Foresight | None = None
) -> Outcome:
    """Should I prompt, retrieve or fine-tune? Measures, decides and reports. `known`: the model timed already.

    Errors: `InputError`; `GateFailed` when the data has errors or leaks, and with `strict` when the test set is too
    small or the verdict has a warning; `TrainingError`; `Interrupted` after Ctrl-C, which says what was kept.
    """
    ready = make_ready(recipe, listener)
    material = ready.material
    with Index.open(listener) as index:  # nothing is written before the model is open
        estimate = foreseen(material, index, listener, decides=True, known=known)
        model = material.model.load_for(recipe)
        with (
            open_run(material, out, model, index, estimate, "decide", ready.inputs) as tuning,
            stop_on_signals() as stop,
        ):
            found = measure_and_decide(ready, tuning, listener, stop)
    return outcome_of(found, tuning.folder, recipe)


def outcome_of(found: Found, folder: RunFolder, recipe: Recipe) -> Outcome:
    """What is handed to the user. Errors: `GateFailed` when strict and there is a warning; everything is written."""
    if recipe.strict:
        refuse_warnings(found.decision, str(found.reports[0]))
    return Outcome(found.decision, found.evaluation, found.run, folder, found.reports, found.document)


def stored_outcome(folder: RunFolder, run: Run) -> Outcome:
    """What a finished decision left, read from its folder. Errors: `RunError` when something of it is damaged."""
    folder.refuse_damage(*REPORTS)
    reports = tuple(folder.path / name for name in REPORTS)
    document = json.loads(reports[-1].read_text(encoding="utf-8"))
    return Outcome(folder.read(Decision), folder.read(Evaluation), run, folder, reports, document)


def measure_and_decide(
    ready: Ready, tuning: Tuning, listener: Listener, stop: Stop, saved: "Saved | None" = None
) -> Found:
    """Everything in order, in the folder of a run that may have part of it already; `saved` is its checkpoint."""
    material, judging, model = ready.material, ready.judging, tuning.model
    contest, lineup = _prepare(ready, tuning, listener, stop)
    listener.stage(f"asking the baselines, {len(material.test):,} test examples each")
    contest.take(ready.outsiders)
    contest.ask(lineup.prompted(base_answerer(model, material.recipe, ready.form, listener)), model)
    for remote in ready.remotes:
        contest.ask(lineup.prompted(remote), notes=remote.notes)
        for note in remote.notes:
            listener.note(f"{remote.name}: {note}")
    before = _ability_before(model, tuning, listener, stop)
    run, tuned = _tuned(tuning, listener, stop, saved)
    assert run.result is not None
    listener.stage("asking the tuned model")
    contest.ask(lineup.tuned(tuned_answerer(tuned, material.recipe, ready.form, listener, run.result.seconds)), tuned)
    after = _ability(tuned, tuning, listener, "general ability after", stop)
    forgetting = forgetting_of(before, after) if before and after else None
    for note in judging.notes:
        listener.note(f"{material.recipe.judge.model}: {note}")
    judged = judging.usage(contest.recalled)
    seconds = _seconds_of(contest, lineup.chooser, run, forgetting, judged)
    usd = judging.usd(judged)
    known = Findings(ready.power, judging.qualification, forgetting, usd, usd if judging.price else 0.0, seconds)
    return find(contest, material, run, tuning.index, known, tuned, ready.form)


def _prepare(ready: Ready, tuning: Tuning, listener: Listener, stop: Stop) -> tuple[Contest, Lineup]:
    """The contest with the scorer that decides, and what contenders are made of: choices use the plain scorer."""
    material, folder, judging = ready.material, tuning.folder, ready.judging
    folder.write(test_set_of(ready.task, [example.answer for example in material.train]))
    folder.write(material.leaks)
    folder.write(ready.power)
    if judging.qualification is not None:
        folder.write(judging.qualification)
    chooser = Chooser(material.validation, ready.plain.scorer, material.recipe.seed, listener, stop, folder)
    contest = Contest(
        ready.task, material.split.test, material.validation, folder, tuning.index, listener, stop, judging.judge
    )
    lineup = Lineup(material.recipe, material.train, material.test, ready.form, chooser, ready.documents, ready.prompts)
    with folder.rewriting("index"):
        for name, index in lineup.indexes.items():
            write_index(folder.path / "index", name, index.entries, index.vectors)
        if ready.documents:
            write_documents(folder, ready.documents)
    return contest, lineup


def _tuned(tuning: Tuning, listener: Listener, stop: Stop, saved: "Saved | None") -> tuple[Run, LocalModel]:
    """The finished run and the tuned model. Errors: `Interrupted` when somebody asked to stop."""
    if tuning.run.result is not None:
        listener.note("the model is tuned already")
        clear_leftovers(tuning.folder, tuning.run)
        return tuning.run, tuning.model.tuned_as(NamedModel.open(str(tuning.folder.path)), tuning.recipe)
    with stop.finishing():
        run = tune(tuning, listener, stop, saved)
    if run.status != "finished":
        raise interrupted(tuning.folder, stop.exit_code)
    return run, tuning.model


def _ability_before(model: LocalModel, tuning: Tuning, listener: Listener, stop: Stop) -> GeneralAbility | None:
    """What was measured before the run was cut short, if it was by the same probe; a tuned model is not the one."""
    kept = tuning.folder.read(GeneralAbility) if tuning.folder.has(GeneralAbility) else None
    if kept and kept.probe == probe_name():
        return kept
    if tuning.run.result is not None and tuning.recipe.bar.max_forgetting is not None:
        listener.note("warning: forgetting is left out: this probe was not asked before the model was tuned")
        return None
    found = _ability(model, tuning, listener, "general ability before", stop)
    if found is not None:
        tuning.folder.write(found)
    return found


def _ability(model: LocalModel, tuning: Tuning, listener: Listener, label: str, stop: Stop) -> GeneralAbility | None:
    """The model as it stands now on the general probe; None where the recipe sets no budget for forgetting."""
    if tuning.recipe.bar.max_forgetting is None:
        return None

    def tell(ready: int, wanted: int) -> None:
        listener.progress(label, ready, wanted)
        if stop.asked():
            raise interrupted(tuning.folder, stop.exit_code)

    return measure_general(model.completer(PROBE_TOKENS), model, tell)


def _seconds_of(contest: Contest, chooser: Chooser, run: Run, forgetting: Forgetting | None, judged: Usage) -> float:
    """What choices, asking, tuning, general ability and judging took, added up over all sittings."""
    asking = sum(one.usage.seconds for one in contest.asked if one.usage and one.profile.kind != OUTSIDE)
    tuning = run.result.seconds if run.result else 0.0
    return chooser.seconds + asking + tuning + (forgetting.seconds if forgetting else 0.0) + judged.seconds
