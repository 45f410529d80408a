"""Models + examples -> evaluation: any models on the same examples, one after the other, compared
pairwise.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tunesmith.contenders.contender_models import get_remote_price, open_remote
from tunesmith.contenders.external_contenders import make_contender_name, read_external_contenders
from tunesmith.contenders.prompting.few_shot import SystemPromptCompleter
from tunesmith.data.check import check_examples
from tunesmith.data.split import select_examples
from tunesmith.errors import InputError, Interrupted, UsageError
from tunesmith.evaluation.contender_answers import ContenderAnswers
from tunesmith.evaluation.harness import RunnableContender, Task, check_task, evaluate_answers
from tunesmith.evaluation.scorers.scorer_protocol import Scorer
from tunesmith.evaluation.scorers.scorer_registry import SCORERS, choose_scorer
from tunesmith.progress_listener import NULL_LISTENER, ProgressListener
from tunesmith.providers.embedder import LocalEmbedder
from tunesmith.providers.local_model import ResolvedModel
from tunesmith.records import (
    Completer,
    ContenderRecord,
    ContenderSpec,
    Evaluation,
    Example,
    Recipe,
    Split,
    TestSet,
)
from tunesmith.records.contender_kinds import TUNED, ZERO_SHOT
from tunesmith.records.evaluation import split_scorer_name
from tunesmith.records.quantity import format_usd
from tunesmith.runs.interruption import build_interruption
from tunesmith.runs.lineage import collect_training_ids
from tunesmith.runs.run_folder import RunFolder
from tunesmith.runs.run_registry import read_run_recipe, resolve_run_or_name
from tunesmith.runs.signals import NOTHING_SAVED, StopSignal, set_exit_message, stop_on_signals
from tunesmith.runs.store_index import StoreIndex
from tunesmith.workflow.check import report_problems
from tunesmith.workflow.data_preparation import (
    read_examples,
    select_desirable,
    with_resolved_scorer,
)
from tunesmith.workflow.evaluation_runner import (
    build_test_set,
    build_test_set_access,
    check_custom_scorer,
    measure_judge_usage,
    report_answer_problems,
    run_contender,
    with_notes,
)
from tunesmith.workflow.judge_setup import JudgeSetup, set_up_judge


def evaluate(
    models: Sequence[str],
    recipe: Recipe,
    out: Path | None = None,
    listener: ProgressListener = NULL_LISTENER,
) -> tuple[Evaluation, Path | None]:
    """Score models on all examples of the recipe's data, with its judge. With `out`, evaluation and
    answers are stored in a new folder there.

    A run is evaluated with the instruction it was trained with, every other model with the
    recipe's; if the recipe names no scorer, the scorer and the labels of the first run are used.
    Errors: `InputError`, `GateFailed` if the data has errors, `ProviderError` of a judge,
    `Interrupted`.
    """
    if not models and not recipe.evaluation.answers and not recipe.evaluation.remote:
        raise UsageError(
            "no-contender",
            "nothing to evaluate",
            do=(
                "pass a model, a run, a file of answers (--answers FILE) or a remote model "
                "(evaluation.remote)"
            ),
        )
    # Before anything is loaded: an imported task may name the scorer.
    recipe = with_resolved_scorer(recipe)
    places = {make_contender_name(name): resolve_run_or_name(name) for name in models}
    plain, wanted = _build_task(recipe, places, listener)
    named = _open_models(models, places, recipe)
    judging = set_up_judge(plain.scorer, recipe, listener)
    task = judging.apply_to_task(plain)
    outsiders = read_external_contenders(recipe, task.examples, named)
    remotes = _open_remotes(recipe, listener)
    asked: list[ContenderAnswers] = []
    with (
        StoreIndex.open(listener) as index,
        stop_on_signals() as stop,
        _open_evaluation_folder(out, stop) as folder,
    ):
        if folder is not None:
            folder.write(build_test_set(task, ()))
        for name, model in named.items():
            listener.start_stage(f"evaluating {name}")
            # Not an error: the user may want to see training scores.
            if known := count_trained_examples(places[name], task.examples):
                listener.warn(
                    "data/trained-on-test",
                    f"{name} was trained on {known:,} of these {len(task.examples):,} examples",
                    model=name,
                    count=known,
                )
            own = read_run_recipe(places[name])
            instruction = (own and own.data.instruction) or recipe.data.instruction
            entrant = _build_contender(name, model, instruction, task.examples, recipe)
            asked.append(
                measure_judge_usage(
                    partial(run_contender, entrant, task, listener, stop, folder), judging.judge
                )
            )
            _save_answers(asked[-1], task, wanted, index, folder)
        for entrant, notes in remotes:
            listener.start_stage(f"evaluating {entrant.spec.name}")
            one = measure_judge_usage(
                partial(run_contender, entrant, task, listener, stop, folder), judging.judge
            )
            asked.append(with_notes(one, notes))
            for note in notes:
                listener.note("service/limitation", f"{one.name}: {note}", model=one.name)
            _save_answers(asked[-1], task, wanted, index, folder)
        for outsider in outsiders:
            asked.append(measure_judge_usage(partial(outsider.score_with, task), judging.judge))
            _save_answers(asked[-1], task, wanted, index, folder)
        for one in asked:
            report_answer_problems(one, task.scorer, listener)
        evaluation = evaluate_answers(asked, task)
        if judging.judge is not None:
            listener.note("judge/usage", _format_judge_usage(judging))
            for note in judging.notes:
                listener.note(
                    "judge/limitation", f"{recipe.judge.model}: {note}", model=recipe.judge.model
                )
        if folder is not None:
            folder.write(evaluation)
            if judging.qualification is not None:
                folder.write(judging.qualification)
    return evaluation, folder.path if folder else None


@contextmanager
def _open_evaluation_folder(out: Path | None, stop: StopSignal) -> Iterator[RunFolder | None]:
    """A folder that becomes visible when the block ends. If the block fails, it is still published
    with the answers so far, if any: they may have cost money. A killed process leaves nothing.
    """
    folder = RunFolder.create_hidden(out, "evaluation") if out else None
    if folder is None:
        yield None
        return
    again = "Next: rerun the command"
    set_exit_message(
        lambda: (
            NOTHING_SAVED
            if folder.is_hidden
            else f"Saved in {folder.path}: the answers so far. {again}"
        )
    )
    stop.has_unsaved = True
    try:
        yield folder
        folder.publish()
    except BaseException as error:
        has_answers = bool(folder.list_contenders() or folder.unscored())
        folder.publish() if has_answers else folder.discard()
        # the message must name the published folder, not the hidden one
        if isinstance(error, Interrupted | KeyboardInterrupt):
            raise build_interruption(folder if has_answers else None, stop.exit_code) from None
        raise
    finally:
        stop.has_unsaved = False


def _format_judge_usage(judge_setup: JudgeSetup) -> str:
    """The usage of the judge, including its qualification, which costs like an answer."""
    took = judge_setup.sum_usage([])
    return (
        f"judge usage: {took.requests:,} requests, {took.tokens_in:,} input and "
        f"{took.tokens_out:,} output tokens, {format_usd(judge_setup.compute_usd(took))}"
    )


def _build_task(
    recipe: Recipe, places: Mapping[str, str], listener: ProgressListener
) -> tuple[Task, list[Example]]:
    """The task with the scorer that needs no judge, and all desirable examples, of which the task
    evaluates a part.
    """
    loaded = read_examples(recipe)
    report_problems(check_examples(loaded), listener, recipe)
    wanted = select_desirable("given", loaded.examples)
    once = {example.id: example for example in wanted}
    # ids are hashes, so the first ones are a fair sample
    asked = set(sorted(once)[: recipe.evaluation.test_limit])
    # keeps the order of the file
    examples = [example for example in once.values() if example.id in asked]
    left_out = ", undesirable answers excluded" if len(wanted) < len(loaded.examples) else ""
    listener.note(
        "data/evaluated",
        f"using {len(examples):,} of {len(loaded.examples):,} examples, exact duplicates "
        f"once{left_out}",
        count=len(examples),
    )
    scorer, reason = _choose_scorer([example.answer for example in examples], recipe, places)
    task = Task(
        loaded.dataset.name, examples, scorer, reason, recipe.machine_usd_per_hour, recipe.seed
    )
    check_task(task)
    check_custom_scorer(task)
    return task, wanted


def _choose_scorer(
    answers: Sequence[str], recipe: Recipe, places: Mapping[str, str]
) -> tuple[Scorer, str]:
    """The recipe's scorer, else that of the first run, else the one that fits these answers; with
    the reason.
    """
    if recipe.evaluation.scorer == "auto":
        for name, place in places.items():
            scorer, train_answers = find_run_scorer(place)
            if scorer is not None:
                found, reason = choose_scorer(train_answers or answers, scorer, LocalEmbedder)
                return found, f"{reason} Taken from the run {name}."
    return choose_scorer(answers, recipe.evaluation.scorer, LocalEmbedder)


def find_run_scorer(place: str) -> tuple[str | None, Sequence[str]]:
    """The scorer of a run's contenders, and the training answers that it is built from.

    (None, ()) if the folder is not a run's, or if its training data is gone.
    """
    own = read_run_recipe(place)
    if own is None:
        return None, ()
    folder = RunFolder.open(place)
    if folder.has(TestSet):
        test = folder.read(TestSet)
        named = own.evaluation.scorer if own.evaluation.scorer != "auto" else None
        return (
            named or next((one for one in split_scorer_name(test.scorer) if one in SCORERS), None),
            test.labels,
        )
    try:
        train = select_examples(read_examples(own).examples, folder.read(Split).train)
    except InputError:
        return None, ()
    return own.evaluation.scorer if train else None, [example.answer for example in train]


def _open_models(
    models: Sequence[str], places: Mapping[str, str], recipe: Recipe
) -> dict[str, ResolvedModel]:
    """The models by their names as contenders."""
    named = {name: ResolvedModel.open(place, recipe.revision) for name, place in places.items()}
    if len(named) < len(models):
        raise UsageError(
            "same-name",
            "two of the models have the same name",
            found=", ".join(models),
            do="pass each model once",
        )
    return named


def _open_remotes(
    recipe: Recipe, listener: ProgressListener
) -> list[tuple[RunnableContender, Sequence[str]]]:
    """The recipe's remote models except the judge, with the plain question, each with the growing
    notes about its service. Errors: `RecipeError` without a price.
    """
    found: list[tuple[RunnableContender, Sequence[str]]] = []
    for one in recipe.evaluation.remote:
        if one.name == recipe.judge.model:
            continue
        price = get_remote_price(one, recipe)
        given = f"{one.model} at {one.url}"
        profile = ContenderSpec(name=one.name, kind=ZERO_SHOT.name, given=given, token_price=price)
        service = open_remote(one, listener)
        found.append((_add_instruction(profile, service, recipe.data.instruction), service.notes))
    return found


def _add_instruction(
    profile: ContenderSpec, completer: Completer, instruction: str | None
) -> RunnableContender:
    """The contender with an instruction before every question that has none; its description states
    it.
    """
    if instruction is None:
        given = f"{profile.given}, the question as in the data".removeprefix(", ")
        return RunnableContender(profile.replace(given=given), completer)
    given = f'{profile.given}, the instruction "{instruction}" and the question'.removeprefix(", ")
    return RunnableContender(
        profile.replace(given=given), SystemPromptCompleter(completer, instruction)
    )


def _save_answers(
    one: ContenderAnswers,
    task: Task,
    wanted: Sequence[Example],
    index: StoreIndex,
    folder: RunFolder | None,
) -> None:
    """Store each answer with its question and the expected answer, so that the file is readable on
    its own.
    """
    if folder is not None:
        answers = [
            answer.replace(question=example.question, expected=example.answer)
            for answer, example in zip(one.answers, task.examples, strict=True)
        ]
        folder.write_answers(
            ContenderRecord(profile=one.spec, usage=one.usage, judging=one.judge_usage), answers
        )
    index.add_test_set_accesses(
        [build_test_set_access([example.id for example in wanted], one, None, "evaluate")]
    )


def count_trained_examples(place: str, examples: Sequence[Example]) -> int:
    """How many of the examples the run in this folder was trained on; 0 if it is not a run."""
    return len({example.id for example in examples} & collect_training_ids(place))


def _build_contender(
    name: str,
    model: ResolvedModel,
    instruction: str | None,
    examples: Sequence[Example],
    recipe: Recipe,
) -> RunnableContender:
    """The model as a contender; without a limit in the recipe, answers may be a quarter longer than
    the longest reference, plus 8 tokens.
    """
    longest = max(
        len(encoded.ids)
        for encoded in model.tokenizer.encode([example.answer for example in examples])
    )
    limit = recipe.evaluation.max_new_tokens or longest + longest // 4 + 8
    completer: Completer = model.load(
        recipe.training.precision, recipe.evaluation.batch_size
    ).create_completer(limit)
    is_tuned = model.identity.adapter or (Path(model.identity.name) / "run.json").is_file()
    profile = ContenderSpec(name=name, kind=(TUNED if is_tuned else ZERO_SHOT).name, given="")
    return _add_instruction(profile, completer, instruction)
