"""Examples -> dataset -> prepared data: all that is known before a weight moves. Nothing is written but a cache."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tunesmith.data.cached import check_or_recall, prepare_or_recall
from tunesmith.data.leaks import notes_of, settle_leaks
from tunesmith.data.outside.loaded import is_task, load_data, load_outside
from tunesmith.data.prepare import prove_mask
from tunesmith.data.read import Loaded
from tunesmith.data.sequences import refuse_misfit
from tunesmith.data.split import examples_on, split_examples
from tunesmith.errors import DataError, RecipeError
from tunesmith.models.embedded import has_embedding
from tunesmith.providers.embedder import USUAL
from tunesmith.providers.local_model import NamedModel
from tunesmith.recipe.defaults import UNLIMITED_TOKENS, complete_recipe
from tunesmith.records import CheckReport, DefaultUsed, Example, Leaks, MaskProof, Prepared, Recipe, Split, TokenArrays
from tunesmith.runs.lesson import Lesson
from tunesmith.workflow.check import tell_or_refuse, token_limit
from tunesmith.workflow.lineage import examples_seen, going_on_from, located
from tunesmith.workflow.listener import SILENT, Listener


@dataclass(frozen=True)
class Material:
    """Checked data, its split and token arrays, the model's name resolved, the recipe with every None filled.

    `train`, `validation` and `test` are what answers are compared with and shown as shots: an answer that was rated as
    unwanted is in the arrays, to be learned from, but not in these.
    """

    recipe: Recipe
    defaults: tuple[DefaultUsed, ...]
    model: NamedModel
    check: CheckReport
    split: Split
    train: list[Example]
    validation: list[Example]
    test: list[Example]
    prepared: Mapping[str, Prepared]
    arrays: Mapping[str, TokenArrays]
    proof: MaskProof
    leaks: Leaks

    @property
    def lesson(self) -> Lesson:
        """What tuning needs of it."""
        scored = [example for example in self.train if not example.uses_tools] or self.train
        return Lesson(self.arrays, self.validation, [example.answer for example in scored])


def gather(recipe: Recipe, listener: Listener = SILENT) -> Material:
    """Read, check, split, tokenise and prove the mask.

    Errors: `InputError` for what cannot be read or used, `GateFailed` when the data has errors or leaks.
    """
    listener.stage("reading and checking the data")
    _refuse_patterns(recipe)
    recipe = located(recipe)
    loaded = read_examples(recipe)
    given_test = read_test(recipe)
    refuse_misfit(loaded.dataset.name, loaded.examples, recipe.method)
    named = NamedModel.open(recipe.model, recipe.revision)
    recipe = going_on_from(recipe, named, listener)
    recipe = with_scorer(searched(pinned(recipe, named), listener))
    limit = token_limit(recipe.data.max_tokens, named) or UNLIMITED_TOKENS
    asked = instructed(given_test, recipe) if given_test else None
    report = check_or_recall(
        instructed(loaded, recipe), asked, named.tokenizer, limit, recipe.model, recipe.data, recipe.method
    )
    tell_or_refuse(report, listener, recipe)
    split = split_examples(
        loaded.examples, recipe.seed, recipe.data.validation_share, recipe.data.test_share,
        grouped_by=recipe.data.group, test=given_test.examples if given_test else None, sides=loaded.sides,
    )  # fmt: skip
    trained_before = len(split.train)
    split, leaks = settle_leaks(
        split, loaded.examples, recipe.data.allow_leaks,
        test=given_test.examples if given_test else None, sides=loaded.sides,
    )  # fmt: skip
    for note in notes_of(leaks, trained_before):
        listener.note(note)
    sides = sides_of(split, [*loaded.examples, *(given_test.examples if given_test else ())], recipe)
    if known := len(examples_seen(recipe.model) & {example.id for example in sides["test"]}):
        listener.note(f"warning: {recipe.model} was trained on {known:,} of the {len(sides['test']):,} test examples")
    listener.note(", ".join(f"{len(examples):,} {name}" for name, examples in sides.items()) + " examples")
    prepared, arrays = {}, {}
    for name in ("train", "validation"):
        prepared[name], arrays[name] = prepare_or_recall(
            name, sides[name], named.tokenizer, limit, recipe.data.train_on, recipe.method
        )
    proof = prove_mask(arrays["train"], named.tokenizer, sides["train"], method=recipe.method)
    listener.proof(proof)
    wanted = {name: wanted_of(name, examples) for name, examples in sides.items()}
    if unwanted := sum(len(sides[name]) - len(wanted[name]) for name in ("validation", "test")):
        listener.note(f"{unwanted:,} held-out answers are rated as unwanted: no model is compared with them")
    completed, defaults = complete_recipe(
        recipe,
        parameters=named.identity.parameters,
        train_examples=len(arrays["train"]),
        longest_answer_tokens=_longest_answer(arrays["train"]),
        context_tokens=named.context_tokens,
        rated=ratings_of(arrays["train"]),
    )
    return Material(
        recipe=completed, defaults=defaults, model=named, check=report, split=split, **wanted,
        prepared=prepared, arrays=arrays, proof=proof, leaks=leaks,
    )  # fmt: skip


def read_examples(recipe: Recipe) -> Loaded:
    """The recipe's data as it stands in the files. Errors: `InputError`."""
    if recipe.data.path is None:
        raise RecipeError("no-data", "The recipe names no data.", where="data.path", do="set it: --set data.path=FILE")
    return load_data(recipe.data.path, recipe.data, recipe.method)


def _refuse_patterns(recipe: Recipe) -> None:
    """A model tuned on checks would learn to write checks. Errors: `DataError`."""
    path = recipe.data.path
    if path is not None and is_task(path, recipe.data) and not load_outside(path)[1].has_answers:
        raise DataError(
            "no-answers-but-checks", "This task says how answers are checked and gives none to learn from.", where=path,
            found="patterns in place of answers",
            do="score models on it (tunesmith evaluate MODEL --data FILE), or test on it: --test-path FILE",
        )  # fmt: skip


def read_test(recipe: Recipe) -> Loaded | None:
    """The given test examples as they stand in their file, None when there are none. Errors: `InputError`."""
    data = recipe.data
    return load_data(data.test_path, data, recipe.method) if data.test_path else None


def with_scorer(recipe: Recipe) -> Recipe:
    """The recipe with the scorer that an outside task asks for, where it names none; files in its name are absolute."""
    scorer, path = recipe.evaluation.scorer, recipe.data.test_path or recipe.data.path
    if scorer == "auto" and path and is_task(path, recipe.data):
        scorer = load_outside(path)[1].scorer
    file, colon, rest = scorer.rpartition(":")
    if colon and file.endswith(".py"):
        scorer = f"{Path(file).expanduser().absolute()}:{rest}"
    elif scorer.startswith("sql:"):
        scorer = f"sql:{Path(rest).expanduser().absolute()}"
    return recipe.model_copy(update={"evaluation": recipe.evaluation.model_copy(update={"scorer": scorer})})


def pinned(recipe: Recipe, named: NamedModel) -> Recipe:
    """The recipe with everything named so that it is found again, from whichever folder: absolute paths, a hub's
    commit."""
    recipe = with_absolute_paths(recipe)
    identity = named.identity
    is_hub = identity.source == "hub" and identity.adapter is None
    return recipe.model_copy(update={"revision": identity.revision}) if is_hub else recipe


def with_absolute_paths(recipe: Recipe) -> Recipe:
    """The files and folders that it names."""

    def absolute(path: str | None) -> str | None:
        return path and str(Path(path).expanduser().absolute())

    data, retrieval, evaluation = recipe.data, recipe.retrieval, recipe.evaluation
    return recipe.model_copy(
        update={
            "data": data.model_copy(update={"path": absolute(data.path), "test_path": absolute(data.test_path)}),
            "retrieval": retrieval.model_copy(update={"documents": absolute(retrieval.documents)}),
            "evaluation": evaluation.model_copy(
                update={
                    "answers": tuple(str(Path(file).expanduser().absolute()) for file in evaluation.answers),
                    "prompts": absolute(evaluation.prompts),
                }
            ),
            "judge": recipe.judge.model_copy(update={"labels": absolute(recipe.judge.labels)}),
            "cost": recipe.cost.model_copy(update={"prices": absolute(recipe.cost.prices)}),
        }
    )


def searched(recipe: Recipe, listener: Listener) -> Recipe:
    """The recipe with its search named: by meaning too where the model for it is here. Nothing is fetched unasked."""
    if recipe.retrieval.search is not None:
        return recipe
    search = "both" if has_embedding(USUAL) else "bm25"
    if search == "bm25":
        listener.note("retrieval goes by words; by meaning too once `tunesmith models --fetch` has run")
    return recipe.model_copy(update={"retrieval": recipe.retrieval.model_copy(update={"search": search})})


def instructed(loaded: Loaded, recipe: Recipe) -> Loaded:
    """The data with the recipe's instruction in front of each example that has no system message. Ids stay."""
    return replace(loaded, examples=with_instruction(loaded.examples, recipe))


def with_instruction(examples: Sequence[Example], recipe: Recipe) -> list[Example]:
    """The examples as the model will read them."""
    instruction = recipe.data.instruction
    return [example.with_system(instruction) for example in examples] if instruction else list(examples)


def sides_of(split: Split, examples: Sequence[Example], recipe: Recipe) -> dict[str, list[Example]]:
    """The examples of each side, with the instruction. The split is of the bare ones: another instruction, same split.

    `evaluation.test_limit` and `validation_limit` take the first ids of their sides, which are a fair sample of them.
    """
    limits = recipe.evaluation
    ids = {
        "train": split.train,
        "validation": split.validation[: limits.validation_limit],
        "test": split.test[: limits.test_limit],
    }
    return {name: with_instruction(examples_on(examples, side), recipe) for name, side in ids.items()}


def wanted_of(name: str, examples: Sequence[Example]) -> list[Example]:
    """The examples whose answer is one to be given. Errors: `DataError` when all are rated as unwanted."""
    wanted = [example for example in examples if example.is_desirable is not False]
    if examples and not wanted:
        raise DataError(
            "nothing-wanted", f"Every answer of the {name} examples is rated as unwanted.",
            found=f"{len(examples):,} examples", do="give more wanted answers: what a model says is compared with them",
        )  # fmt: skip
    return wanted


def ratings_of(arrays: TokenArrays) -> tuple[int, int] | None:
    """How many answers are wanted and unwanted; None where that is not asked."""
    if arrays.is_desirable_E is None:
        return None
    wanted = int(arrays.is_desirable_E.sum())
    return wanted, len(arrays) - wanted


def _longest_answer(arrays: TokenArrays) -> int:
    return max(int((arrays.sequence(s)[1] > 0).sum()) for s in arrays.sequences_of_all(range(len(arrays))))
