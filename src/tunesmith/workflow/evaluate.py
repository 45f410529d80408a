"""Models + examples -> evaluation: any models on the same examples, one after the other, compared pair by pair."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tunesmith.baselines.prompt import Instructed
from tunesmith.data.check import check_examples
from tunesmith.data.split import examples_on
from tunesmith.errors import InputError, Interrupted, UsageError
from tunesmith.evaluation.evaluate import Asked, Entrant, Task, check_task, evaluate_answers
from tunesmith.evaluation.scorers.choose import SCORERS, choose_scorer
from tunesmith.evaluation.scorers.scorer import Scorer
from tunesmith.providers.embedder import LocalEmbedder
from tunesmith.providers.local_model import NamedModel
from tunesmith.records import Asking, Completer, Evaluation, Example, Profile, Recipe, Split, TestSet
from tunesmith.records.evaluation import parts_of
from tunesmith.records.quantity import usd
from tunesmith.runs.folder import RunFolder
from tunesmith.runs.stop import NOTHING_KEPT, Stop, say_at_the_end, stop_on_signals
from tunesmith.workflow.answerers import open_remote, price_of_remote
from tunesmith.workflow.check import tell_or_refuse
from tunesmith.workflow.contest import ask_one, check_own_scorer, judged, look_of, note_answers, test_set_of, with_notes
from tunesmith.workflow.ending import interrupted
from tunesmith.workflow.index import Index
from tunesmith.workflow.inventory import folder_if_run, recipe_of
from tunesmith.workflow.judging import Judging, open_judging
from tunesmith.workflow.lineage import examples_seen
from tunesmith.workflow.listener import SILENT, Listener
from tunesmith.workflow.material import read_examples, wanted_of, with_scorer
from tunesmith.workflow.outsiders import contender_name, read_outsiders


def evaluate(
    models: Sequence[str], recipe: Recipe, out: Path | None = None, listener: Listener = SILENT
) -> tuple[Evaluation, Path | None]:
    """Score models on all examples of the recipe's data, with its judge. With `out`, a folder in there keeps
    evaluation and answers.

    A run is asked with the instruction it was trained with, every other model with the recipe's; where the recipe
    names no scorer, the scorer and the labels of the first run are taken.
    Errors: `InputError`, `GateFailed` when the data has errors, `ProviderError` of a judge, `Interrupted`.
    """
    if not models and not recipe.evaluation.answers and not recipe.evaluation.remote:
        raise UsageError(
            "no-contender", "There is nothing to evaluate.",
            do="name a model, a run, a file of answers (--answers FILE) or a model behind a URL (evaluation.remote)",
        )  # fmt: skip
    recipe = with_scorer(recipe)
    places = {contender_name(name): folder_if_run(name) for name in models}
    plain, wanted = _task(recipe, places, listener)
    named = _named(models, places, recipe)
    judging = open_judging(plain.scorer, recipe, listener)
    task = judging.task(plain)
    outsiders = read_outsiders(recipe, task.examples, named)
    remotes = _remotes(recipe, listener)
    asked: list[Asked] = []
    with Index.open(listener) as index, stop_on_signals() as stop, _folder_in(out, stop) as folder:
        if folder is not None:
            folder.write(test_set_of(task, ()))
        for name, model in named.items():
            listener.stage(f"asking {name}")
            if known := trained_on(places[name], task.examples):
                listener.note(f"warning: {name} was trained on {known:,} of these {len(task.examples):,} examples")
            own = recipe_of(places[name])
            instruction = (own and own.data.instruction) or recipe.data.instruction
            entrant = _entrant(name, model, instruction, task.examples, recipe)
            asked.append(judged(partial(ask_one, entrant, task, listener, stop, folder), judging.judge))
            _keep(asked[-1], task, wanted, index, folder)
        for entrant, notes in remotes:
            listener.stage(f"asking {entrant.profile.name}")
            one = judged(partial(ask_one, entrant, task, listener, stop, folder), judging.judge)
            asked.append(with_notes(one, notes))
            for note in notes:
                listener.note(f"{one.name}: {note}")
            _keep(asked[-1], task, wanted, index, folder)
        for outsider in outsiders:
            asked.append(judged(partial(outsider.scored, task), judging.judge))
            _keep(asked[-1], task, wanted, index, folder)
        for one in asked:
            note_answers(one, task.scorer, listener)
        evaluation = evaluate_answers(asked, task)
        if judging.judge is not None:
            listener.note(_told_of_judging(judging))
            for note in judging.notes:
                listener.note(f"{recipe.judge.model}: {note}")
        if folder is not None:
            folder.write(evaluation)
            if judging.qualification is not None:
                folder.write(judging.qualification)
    return evaluation, folder.path if folder else None


@contextmanager
def _folder_in(out: Path | None, stop: Stop) -> Iterator[RunFolder | None]:
    """A folder that appears when the block ends. When the block is left by an error, it appears with the answers so
    far, if there are some: they may have cost money. A killed process leaves nothing."""
    folder = RunFolder.begin(out, "evaluation") if out else None
    if folder is None:
        yield None
        return
    again = "Next: run the command again"
    say_at_the_end(lambda: NOTHING_KEPT if folder.is_hidden else f"Kept in {folder.path}: the answers so far. {again}")
    stop.has_unsaved = True
    try:
        yield folder
        folder.appear()
    except BaseException as error:
        has_answers = bool(folder.contenders() or folder.unscored())
        folder.appear() if has_answers else folder.discard()
        if isinstance(error, Interrupted | KeyboardInterrupt):  # it names the folder, whose name was another one then
            raise interrupted(folder if has_answers else None, stop.exit_code) from None
        raise
    finally:
        stop.has_unsaved = False


def _told_of_judging(judging: Judging) -> str:
    """What the judge took, its examination included: it is paid for like an answer."""
    took = judging.usage([])
    return (
        f"judging took {took.requests:,} requests, {took.tokens_in:,} tokens in and {took.tokens_out:,} out: "
        f"{usd(judging.usd(took))}"
    )


def _task(recipe: Recipe, places: Mapping[str, str], listener: Listener) -> tuple[Task, list[Example]]:
    """What is asked, with the scorer that needs no judge, and all examples of which that is a part."""
    loaded = read_examples(recipe)
    tell_or_refuse(check_examples(loaded), listener, recipe)
    wanted = wanted_of("given", loaded.examples)
    once = {example.id: example for example in wanted}
    asked = set(sorted(once)[: recipe.evaluation.test_limit])  # ids are hashes, so the first of them are a fair sample
    examples = [example for example in once.values() if example.id in asked]  # in the order of the file
    left_out = ", those rated as unwanted left out" if len(wanted) < len(loaded.examples) else ""
    listener.note(f"{len(examples):,} of {len(loaded.examples):,} examples are asked, exact duplicates once{left_out}")
    scorer, reason = _choose_scorer([example.answer for example in examples], recipe, places)
    task = Task(loaded.dataset.name, examples, scorer, reason, recipe.machine_usd_per_hour, recipe.seed)
    check_task(task)
    check_own_scorer(task)
    return task, wanted


def _choose_scorer(answers: Sequence[str], recipe: Recipe, places: Mapping[str, str]) -> tuple[Scorer, str]:
    """The recipe's scorer, else that of the first run, else the one that fits these answers; and why."""
    if recipe.evaluation.scorer == "auto":
        for name, place in places.items():
            scorer, train_answers = scorer_of_run(place)
            if scorer is not None:
                found, reason = choose_scorer(train_answers or answers, scorer, LocalEmbedder)
                return found, f"{reason} So it is in the run {name}."
    return choose_scorer(answers, recipe.evaluation.scorer, LocalEmbedder)


def scorer_of_run(place: str) -> tuple[str | None, Sequence[str]]:
    """The scorer that a run's contenders were judged by, or would be, and the train answers that it is made from.

    (None, ()) where the place is no run's, or where the data that it was trained on is gone.
    """
    own = recipe_of(place)
    if own is None:
        return None, ()
    folder = RunFolder.open(place)
    if folder.has(TestSet):
        test = folder.read(TestSet)
        named = own.evaluation.scorer if own.evaluation.scorer != "auto" else None
        return named or next((one for one in parts_of(test.scorer) if one in SCORERS), None), test.labels
    try:
        train = examples_on(read_examples(own).examples, folder.read(Split).train)
    except InputError:
        return None, ()
    return own.evaluation.scorer if train else None, [example.answer for example in train]


def _named(models: Sequence[str], places: Mapping[str, str], recipe: Recipe) -> dict[str, NamedModel]:
    """Each model by its name as a contender."""
    named = {name: NamedModel.open(place, recipe.revision) for name, place in places.items()}
    if len(named) < len(models):
        raise UsageError(
            "same-name", "Two of the models have the same name.", found=", ".join(models), do="give each once"
        )
    return named


def _remotes(recipe: Recipe, listener: Listener) -> list[tuple[Entrant, Sequence[str]]]:
    """The recipe's remote models but the judge, with the bare question, each with what is noted of its service while it
    is asked. Errors: `RecipeError` without a price."""
    found: list[tuple[Entrant, Sequence[str]]] = []
    for one in recipe.evaluation.remote:
        if one.name == recipe.judge.model:
            continue
        price = price_of_remote(one, recipe)
        profile = Profile(name=one.name, kind="zero-shot", given=f"{one.model} at {one.url}", token_price=price)
        service = open_remote(one, listener)
        found.append((_instructed(profile, service, recipe.data.instruction), service.notes))
    return found


def _instructed(profile: Profile, completer: Completer, instruction: str | None) -> Entrant:
    """The contender with an instruction in front of every question that has none; it says so."""
    if instruction is None:
        given = f"{profile.given}, the question as it stands in the data".removeprefix(", ")
        return Entrant(profile.model_copy(update={"given": given}), completer)
    given = f'{profile.given}, the instruction "{instruction}" and the question'.removeprefix(", ")
    return Entrant(profile.model_copy(update={"given": given}), Instructed(completer, instruction))


def _keep(one: Asked, task: Task, wanted: Sequence[Example], index: Index, folder: RunFolder | None) -> None:
    """Each answer is kept with its question and the answer that is right, so that it can be read by itself."""
    if folder is not None:
        answers = [
            answer.model_copy(update={"question": example.question, "expected": example.answer})
            for answer, example in zip(one.answers, task.examples, strict=True)
        ]
        folder.write_answers(Asking(profile=one.profile, usage=one.usage, judging=one.judging), answers)
    index.add_looks([look_of([example.id for example in wanted], one, None, "evaluate")])


def trained_on(place: str, examples: Sequence[Example]) -> int:
    """How many of the examples the run in this folder was trained on; 0 where it is no run."""
    return len({example.id for example in examples} & examples_seen(place))


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
