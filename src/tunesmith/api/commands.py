"""The commands as functions: what a script calls, and what the command line calls too.

Each takes data, a recipe with changes, and callbacks, and returns a `Result`; an error is a
`TunesmithError`, Ctrl-C is its subclass `Interrupted`. Called in another thread than the main one,
no signal is handled.
"""

from collections.abc import Callable, Iterable, Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from tunesmith.api.answerers import (
    Answerers,
    Models,
    ScorerLike,
    build_custom_parts,
    split_models,
)
from tunesmith.api.dataset import Data, locate_data
from tunesmith.events import Callback, Finished, Outcome
from tunesmith.progress_listener import ProgressListener
from tunesmith.recipe.recipe_loader import load_recipe
from tunesmith.records import CheckReport, Estimate, Method, Recipe
from tunesmith.runs.interruption import is_interruption
from tunesmith.workflow.check import check as check_path
from tunesmith.workflow.decide import decide as decide_recipe
from tunesmith.workflow.estimate import estimate as estimate_recipe
from tunesmith.workflow.model_evaluation import evaluate as evaluate_models
from tunesmith.workflow.report import render_report as render_run_report
from tunesmith.workflow.result import Result
from tunesmith.workflow.resume import resume as resume_run
from tunesmith.workflow.time_budget import fit_recipe_to_budget
from tunesmith.workflow.training_job import train as train_recipe

RecipeLike = str | Path | Recipe | Mapping[str, Any] | None
"""A preset's name, a YAML file, a `Recipe`, a mapping of its keys; None: the defaults."""
PathLikeStr = str | PathLike[str]


def check(
    data: Data,
    *,
    test: Data | None = None,
    model: str | None = None,
    columns: Mapping[str, str] | None = None,
    group: str | None = None,
    method: Method | None = None,
    max_tokens: int | None = None,
) -> CheckReport:
    """All problems of a data set, worst first, before anything is spent.

    With `test`, also what both have in common. Lengths are counted in the tokens of `model`, by
    default the recipe's if it is on this machine, and compared with `max_tokens`, by default its
    context; the report's `model` is None if nothing could be counted. Errors: `InputError` if the
    data or the model cannot be read at all.
    """
    return check_path(
        locate_data(data),
        test=None if test is None else locate_data(test),
        model=model,
        columns=columns,
        group=group,
        method=method,
        max_tokens=max_tokens,
    )


def estimate(
    recipe: RecipeLike = None,
    data: Data | None = None,
    *,
    test_data: Data | None = None,
    columns: Mapping[str, str] | None = None,
    measure: bool = False,
    callbacks: Iterable[Callback] = (),
    **changes: Any,
) -> Estimate:
    """Time, memory and money of a run beforehand: low, expected and high.

    `measure` times the model on this machine in place of rates from before. The other arguments
    are those of `decide`. Errors: `InputError`.
    """
    built = build_recipe(recipe, data, test_data, columns, changes)
    return estimate_recipe(built, measure=measure, listener=ProgressListener(callbacks))


def train(
    recipe: RecipeLike = None,
    data: Data | None = None,
    *,
    test_data: Data | None = None,
    columns: Mapping[str, str] | None = None,
    out: PathLikeStr = "runs",
    callbacks: Iterable[Callback] = (),
    **changes: Any,
) -> Result:
    """Tune a model on examples. The result's folder is a model: `load_model(result)`.

    `recipe` is a preset's name, a YAML file, a `Recipe` or a mapping; `changes` are its keys:
    `train("quick", rows, training={"epochs": 2}, seed=1)`. `data` is a file or folder, a `Dataset`,
    or a list of dictionaries; `columns` maps our names to its own. Callbacks receive the events of
    `tunesmith.events`. Ctrl-C ends after the current step, with a checkpoint for `resume`.

    Errors: `InputError`; `GateFailed` if the data has errors; `TrainingError`; `Interrupted`.
    """
    built = build_recipe(recipe, data, test_data, columns, changes)
    return _run("train", callbacks, lambda listener: train_recipe(built, Path(out), listener))


def evaluate(
    models: Models,
    data: Data | None = None,
    *,
    scorer: ScorerLike | str | None = None,
    recipe: RecipeLike = None,
    columns: Mapping[str, str] | None = None,
    out: PathLikeStr | None = None,
    callbacks: Iterable[Callback] = (),
    **changes: Any,
) -> Result:
    """Score models on examples, and compare them pair by pair on the same ones.

    `models` are names, folders of models and runs, functions from a question to its answer, and
    `Completer` objects: one, a list, or a dictionary that names each. `scorer` is a function of
    answer and reference, a `Scorer` object, or a name (None: the one that fits the answers). With
    `out` the answers are kept in a new folder there, from which `resume` continues.

    Errors: `InputError`; `GateFailed` if the data has errors; `ProviderError`; `Interrupted`.
    """
    places, answerers = split_models(models)
    if isinstance(scorer, str):
        changes = {**changes, "evaluation.scorer": scorer}
    built = build_recipe(recipe, data, None, columns, changes)
    custom = build_custom_parts(answerers, None if isinstance(scorer, str) else scorer)
    folder = None if out is None else Path(out)
    return _run(
        "evaluate",
        callbacks,
        lambda listener: evaluate_models(places, built, folder, listener, custom),
    )


def decide(
    recipe: RecipeLike = None,
    data: Data | None = None,
    *,
    test_data: Data | None = None,
    columns: Mapping[str, str] | None = None,
    extra_contenders: Answerers = (),
    scorer: ScorerLike | str | None = None,
    budget_minutes: float | None = None,
    out: PathLikeStr = "runs",
    callbacks: Iterable[Callback] = (),
    **changes: Any,
) -> Result:
    """Should I prompt, retrieve or fine-tune? Measures all of them on the same held-out examples.

    `extra_contenders` are functions from a question to its answer and `Completer` objects of your
    own, compared pair by pair like every other; they count as what you have now. `scorer` as in
    `evaluate`. `budget_minutes`: what the recipe leaves open is chosen so that all of it fits. The
    other arguments are those of `train`.

    Errors: `InputError`; `GateFailed` if the data has errors or leaks, and with `fail_on_warning`
    if the test set is too small or the verdict has a warning; `TrainingError`; `Interrupted`.
    """
    _, answerers = split_models(extra_contenders)
    if isinstance(scorer, str):
        changes = {**changes, "evaluation.scorer": scorer}
    built = build_recipe(recipe, data, test_data, columns, changes)
    custom = build_custom_parts(answerers, None if isinstance(scorer, str) else scorer)

    def work(listener: ProgressListener) -> Result:
        if budget_minutes is None:
            return decide_recipe(built, Path(out), listener, custom=custom)
        budget = fit_recipe_to_budget(built, 60 * budget_minutes, listener)
        return decide_recipe(budget.recipe, Path(out), listener, budget, custom)

    return _run("decide", callbacks, work)


def resume(
    run: PathLikeStr,
    *,
    allow_drift: bool = False,
    extra_contenders: Answerers = (),
    scorer: ScorerLike | None = None,
    callbacks: Iterable[Callback] = (),
) -> Result:
    """Continue a run that was interrupted, killed, or failed, to the end of the command that began
    it. `run` is its folder, its id or the beginning of it, or a `Result`.

    A run with contenders or a scorer of a script needs them again: `extra_contenders` (those of
    `evaluate` too) and `scorer`. `allow_drift` accepts other versions, threads, model or recipe.

    Errors: `RunError` if there is nothing to do, the run is in use or damaged, or something differs
    that must not; those of the command that began it.
    """
    _, answerers = split_models(extra_contenders)
    custom = build_custom_parts(answerers, scorer)
    return _run(
        "resume",
        callbacks,
        lambda listener: resume_run(
            fspath(run), allow_drift=allow_drift, listener=listener, custom=custom
        ),
    )


def render_report(run: PathLikeStr, to: PathLikeStr | None = None) -> tuple[Path, Path, Path]:
    """Write the report of a run with a verdict again, from its stored records and in the form of
    this version: into its folder, or into the folder `to`. `run` is its folder, its id or the
    beginning of it, or a `Result`. Returns the paths of report.html, report.md and report.json.

    Errors: `RunError` if the run has no verdict, or a file is missing or damaged.
    """
    return render_run_report(fspath(run), None if to is None else Path(to))


def build_recipe(
    recipe: RecipeLike,
    data: Data | None,
    test_data: Data | None,
    columns: Mapping[str, str] | None,
    changes: Mapping[str, Any],
) -> Recipe:
    """The recipe with everything that a call changes in it; data in memory are saved.

    Errors: `RecipeError`, `DataError`, `UsageError`.
    """
    given: dict[str, Any] = {
        "data.path": None if data is None else locate_data(data),
        "data.test_path": None if test_data is None else locate_data(test_data),
        "data.columns": columns,
    }
    return load_recipe(
        recipe, {**{key: one for key, one in given.items() if one is not None}, **changes}
    )


def _run(
    command: str, callbacks: Iterable[Callback], work: Callable[[ProgressListener], Result]
) -> Result:
    """Do the work of a command; however it ends, the last event says so."""
    listener = ProgressListener(callbacks)
    try:
        result = work(listener)
    # Also for Ctrl-C and SystemExit: a tracker must close its run, whatever ended it.
    except BaseException as error:
        outcome: Outcome = "interrupted" if is_interruption(error) else "failed"
        listener.send(Finished(command, outcome, error=error))
        raise
    folder = result.folder.path if result.folder else None
    listener.send(
        Finished(command, "finished", folder, result.run, result.evaluation, result.decision)
    )
    return result
