"""Models + examples -> evaluation: any models on the same examples, one after the other, compared pair by pair."""

from collections.abc import Sequence
from pathlib import Path

from tunesmith.baselines.prompt import Instructed
from tunesmith.data.check import check_examples
from tunesmith.errors import UsageError
from tunesmith.evaluation.evaluate import Asked, Entrant, Task, check_task, evaluate_answers
from tunesmith.evaluation.scorers.choose import choose_scorer
from tunesmith.providers.embedder import LocalEmbedder
from tunesmith.providers.local_model import NamedModel
from tunesmith.records import Asking, Completer, Evaluation, Example, Profile, Recipe, Split
from tunesmith.runs.folder import RunFolder
from tunesmith.runs.stop import stop_on_signals
from tunesmith.store.store import Store
from tunesmith.workflow.answerers import open_remote, price_of_remote
from tunesmith.workflow.check import tell_or_refuse
from tunesmith.workflow.contest import ask_one, check_own_scorer, look_of
from tunesmith.workflow.inventory import folder_if_run, recipe_of
from tunesmith.workflow.judging import open_judging
from tunesmith.workflow.listener import SILENT, Listener
from tunesmith.workflow.material import read_examples, wanted_of, with_scorer
from tunesmith.workflow.outsiders import contender_name, read_outsiders


def evaluate(
    models: Sequence[str], recipe: Recipe, out: Path | None = None, listener: Listener = SILENT
) -> tuple[Evaluation, Path | None]:
    """Score models on all examples of the recipe's data, with its judge. With `out`, a folder in there keeps
    evaluation and answers.

    A run is asked with the instruction it was trained with, every other model with the recipe's.
    Errors: `InputError`, `GateFailed` when the data has errors, `ProviderError` of a judge, `Interrupted`.
    """
    recipe = with_scorer(recipe)
    plain, wanted = _task(recipe, listener)
    places, named = _named(models, recipe)
    judging = open_judging(plain.scorer, recipe, listener)
    task = judging.task(plain)
    outsiders = read_outsiders(recipe, task.examples, named)
    remotes = _remotes(recipe, listener)
    folder = RunFolder.create(out, "evaluation") if out else None
    asked: list[Asked] = []
    with Store.open() as store, stop_on_signals() as stop:
        for name, model in named.items():
            listener.stage(f"asking {name}")
            if known := trained_on(places[name], task.examples):
                listener.note(f"warning: {name} was trained on {known:,} of these {len(task.examples):,} examples")
            own = recipe_of(places[name])
            instruction = (own and own.data.instruction) or recipe.data.instruction
            entrant = _entrant(name, model, instruction, task.examples, recipe)
            asked.append(ask_one(entrant, task, listener, stop, folder))
            _keep(asked[-1], wanted, store, folder)
        for entrant in remotes:
            listener.stage(f"asking {entrant.profile.name}")
            asked.append(ask_one(entrant, task, listener, stop, folder))
            _keep(asked[-1], wanted, store, folder)
        for outsider in outsiders:
            asked.append(outsider.scored(task))
            _keep(asked[-1], wanted, store, folder)
    evaluation = evaluate_answers(asked, task)
    if folder is not None:
        folder.write(evaluation)
        if judging.qualification is not None:
            folder.write(judging.qualification)
    return evaluation, folder.path if folder else None


def _task(recipe: Recipe, listener: Listener) -> tuple[Task, list[Example]]:
    """What is asked, with the scorer that needs no judge, and all examples of which that is a part."""
    loaded = read_examples(recipe)
    tell_or_refuse(check_examples(loaded), listener)
    wanted = wanted_of("given", loaded.examples)
    once = sorted({example.id: example for example in wanted}.values(), key=lambda example: example.id)
    examples = once[: recipe.evaluation.test_limit]  # ids are hashes, so the first of them are a fair sample
    left_out = ", those rated as unwanted left out" if len(wanted) < len(loaded.examples) else ""
    listener.note(f"{len(examples):,} of {len(loaded.examples):,} examples are asked, exact duplicates once{left_out}")
    scorer, reason = choose_scorer([example.answer for example in examples], recipe.evaluation.scorer, LocalEmbedder)
    task = Task(loaded.dataset.name, examples, scorer, reason, recipe.machine_usd_per_hour, recipe.seed)
    check_task(task)
    check_own_scorer(task)
    return task, wanted


def _named(models: Sequence[str], recipe: Recipe) -> tuple[dict[str, str], dict[str, NamedModel]]:
    """Each model's place and the model, by its name as a contender."""
    places = {contender_name(name): folder_if_run(name) for name in models}
    named = {name: NamedModel.open(place, recipe.revision) for name, place in places.items()}
    if len(named) < len(models):
        raise UsageError(
            "same-name", "Two of the models have the same name.", found=", ".join(models), do="give each once"
        )
    return places, named


def _remotes(recipe: Recipe, listener: Listener) -> list[Entrant]:
    """The recipe's remote models but the judge, with the bare question. Errors: `RecipeError` without a price."""
    return [
        _instructed(
            Profile(name=one.name, kind="zero-shot", given=f"{one.model} at {one.url}", token_price=price),
            open_remote(one, listener),
            recipe.data.instruction,
        )
        for one in recipe.evaluation.remote
        if one.name != recipe.judge.model
        for price in [price_of_remote(one, recipe)]
    ]


def _instructed(profile: Profile, completer: Completer, instruction: str | None) -> Entrant:
    """The contender with an instruction in front of every question that has none; it says so."""
    if instruction is None:
        given = f"{profile.given}, the question as it stands in the data".removeprefix(", ")
        return Entrant(profile.model_copy(update={"given": given}), completer)
    given = f'{profile.given}, the instruction "{instruction}" and the question'.removeprefix(", ")
    return Entrant(profile.model_copy(update={"given": given}), Instructed(completer, instruction))


def _keep(one: Asked, wanted: Sequence[Example], store: Store, folder: RunFolder | None) -> None:
    if folder is not None:
        folder.write_answers(Asking(profile=one.profile, usage=one.usage), one.answers)
    store.add_looks([look_of([example.id for example in wanted], one, None, "evaluate")])


def trained_on(place: str, examples: Sequence[Example]) -> int:
    """How many of the examples the run in this folder was trained on; 0 where it is no run."""
    if not (Path(place) / "split.json").is_file():
        return 0
    split = RunFolder.open(place).read(Split)
    return len({example.id for example in examples} & {*split.train, *split.validation})


def _entrant(
    name: str, model: NamedModel, instruction: str | None, examples: Sequence[Example], recipe: Recipe
) -> Entrant:
    """The model as a contender; answers may be a quarter longer than the longest reference, plus 8 tokens."""
    longest = max(len(encoded.ids) for encoded in model.tokenizer.encode([example.answer for example in examples]))
    limit = recipe.evaluation.max_new_tokens or longest + longest // 4 + 8
    completer: Completer = model.load(recipe.training.precision, recipe.evaluation.batch_size).completer(limit)
    is_tuned = model.identity.adapter or (Path(model.identity.name) / "run.json").is_file()
    kind = "tuned" if is_tuned else "zero-shot"
    return _instructed(Profile(name=name, kind=kind, given=""), completer, instruction)
