"""Examples -> dataset -> prepared data: what is known before training; only a cache is written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from tunesmith.contenders.output_constraint import infer_output_constraint
from tunesmith.data.cache import check_with_cache, prepare_with_cache
from tunesmith.data.contamination import describe_contamination, resolve_contamination
from tunesmith.data.interop.dataset_loader import is_task, load_data, load_imported_task
from tunesmith.data.prepare import prove_mask
from tunesmith.data.read import LoadedDataset
from tunesmith.data.split import select_examples, split_examples
from tunesmith.data.training_sequences import check_method_fit
from tunesmith.errors import DataError, RecipeError
from tunesmith.models.embedded import is_embedding_fetched
from tunesmith.progress_listener import NULL_LISTENER, ProgressListener
from tunesmith.providers.embedder import DEFAULT_MODEL
from tunesmith.providers.local_model import ResolvedModel
from tunesmith.recipe.defaults import MAX_TOKENS_UNLIMITED, complete_recipe
from tunesmith.records import (
    AppliedDefault,
    CheckReport,
    ContaminationReport,
    Example,
    MaskProof,
    OutputConstraint,
    PreparedSplit,
    Recipe,
    ResolvedRecipe,
    Split,
    TokenArrays,
)
from tunesmith.records.method_specs import RATING_COLUMN
from tunesmith.runs.continued_training import (
    collect_training_ids,
    continue_adapter_recipe,
    resolve_model_location,
)
from tunesmith.runs.training_data import TrainingData
from tunesmith.workflow.check import report_problems, resolve_token_limit


@dataclass(frozen=True)
class PreparedData:
    """Checked data, its split and token arrays, the resolved model, and the resolved recipe.

    `train`, `validation` and `test` are the examples that answers are compared with and that serve
    as shots: an answer rated as undesirable is in the arrays, to be learned from, but not in these.
    """

    recipe: ResolvedRecipe
    defaults: tuple[AppliedDefault, ...]
    model: ResolvedModel
    check: CheckReport
    split: Split
    train: list[Example]
    validation: list[Example]
    test: list[Example]
    prepared: Mapping[str, PreparedSplit]
    arrays: Mapping[str, TokenArrays]
    mask_proof: MaskProof
    contamination: ContaminationReport

    @cached_property
    def output_constraint(self) -> tuple[OutputConstraint | None, str]:
        """What the training answers are held to, if anything, with the reason."""
        return infer_output_constraint([example.answer for example in self.train])

    @property
    def training_data(self) -> TrainingData:
        """The part that training needs."""
        answers = [example.answer for example in self.train]
        return TrainingData(self.arrays, self.validation, answers)


def prepare_data(recipe: Recipe, listener: ProgressListener = NULL_LISTENER) -> PreparedData:
    """Read, check, split and tokenize the data, and prove the loss mask.

    Errors: `InputError` for what cannot be read or used, `GateFailed` if the data has errors or
    leaks.
    """
    listener.start_stage("reading and checking the data")
    _check_has_answers(recipe)
    recipe = resolve_model_location(recipe)
    loaded = read_examples(recipe)
    given_test = read_test_data(recipe)
    check_method_fit(loaded.dataset.name, loaded.examples, recipe.method)
    named = ResolvedModel.open(recipe.model, recipe.revision)
    # Before the recipe is pinned and completed: a continued adapter determines the adapter section.
    recipe = continue_adapter_recipe(recipe, named, listener)
    recipe = with_resolved_scorer(
        choose_retrieval_search(pin_paths_and_revision(recipe, named), listener)
    )
    limit = resolve_token_limit(recipe.data.max_length, named) or MAX_TOKENS_UNLIMITED
    asked = add_instruction(given_test, recipe) if given_test else None
    report = check_with_cache(
        add_instruction(loaded, recipe),
        asked,
        named.tokenizer,
        limit,
        recipe.model,
        recipe.data,
        recipe.method,
    )
    report_problems(report, listener, recipe)
    split, sides, leaks = split_without_contamination(loaded, given_test, recipe, listener)
    prepared, arrays = {}, {}
    for name in ("train", "validation"):
        prepared[name], arrays[name] = prepare_with_cache(
            name, sides[name], named.tokenizer, limit, recipe.data.train_on_prompts, recipe.method
        )
    proof = prove_mask(arrays["train"], named.tokenizer, sides["train"], method=recipe.method)
    listener.show_mask_proof(proof)
    desirable = {name: select_desirable(name, examples) for name, examples in sides.items()}
    if unwanted := sum(len(sides[name]) - len(desirable[name]) for name in ("validation", "test")):
        listener.note(
            "data/unwanted-left-out",
            (
                f"{unwanted:,} held-out answers are labeled undesirable and excluded from the "
                "evaluation"
            ),
            count=unwanted,
        )
    completed, defaults = complete_recipe(
        recipe,
        parameters=named.identity.parameters,
        train_examples=len(arrays["train"]),
        longest_answer_tokens=_count_max_answer_tokens(arrays["train"]),
        context_tokens=named.context_tokens,
        rating_counts=count_ratings(arrays["train"]),
    )
    return PreparedData(
        recipe=completed,
        defaults=defaults,
        model=named,
        check=report,
        split=split,
        **desirable,
        prepared=prepared,
        arrays=arrays,
        mask_proof=proof,
        contamination=leaks,
    )


def split_without_contamination(
    loaded: LoadedDataset,
    given_test: LoadedDataset | None,
    recipe: Recipe,
    listener: ProgressListener,
) -> tuple[Split, dict[str, list[Example]], ContaminationReport]:
    """The split, its examples by split name, and the contamination that was found and resolved.

    Errors: `GateFailed` for contamination that the recipe does not allow.
    """
    test = given_test.examples if given_test else None
    split = split_examples(
        loaded.examples,
        recipe.seed,
        recipe.data.validation_fraction,
        recipe.data.test_fraction,
        grouped_by=recipe.data.group_column,
        test=test,
        declared_splits=loaded.declared_splits,
    )
    trained_before = len(split.train)
    split, leaks = resolve_contamination(
        split,
        loaded.examples,
        recipe.data.allow_contamination,
        test=test,
        declared_splits=loaded.declared_splits,
    )
    for note in describe_contamination(leaks, trained_before):
        report = (
            listener.warn if leaks.contaminated_test_ids or leaks.is_templated else listener.note
        )
        report(
            "data/contamination",
            note,
            leaked=len(leaks.contaminated_test_ids),
            left_out=len(leaks.removed_train_ids),
        )
    sides = select_split_examples(split, [*loaded.examples, *(test or ())], recipe)
    if known := len(collect_training_ids(recipe.model) & {example.id for example in sides["test"]}):
        listener.warn(
            "data/trained-on-test",
            f"{recipe.model} was trained on {known:,} of the {len(sides['test']):,} test examples",
            model=recipe.model,
            count=known,
        )
    listener.note(
        "data/split-sizes",
        ", ".join(f"{len(examples):,} {name}" for name, examples in sides.items()) + " examples",
        **{name: len(examples) for name, examples in sides.items()},
    )
    return split, sides, leaks


def read_examples(recipe: Recipe) -> LoadedDataset:
    """The recipe's examples as in the files. Errors: `InputError`."""
    if recipe.data.path is None:
        raise RecipeError(
            "no-data",
            "recipe has no data",
            at="data.path",
            hint="set data.path, for example with --set data.path=FILE",
        )
    return load_data(recipe.data.path, recipe.data, recipe.method)


def _check_has_answers(recipe: Recipe) -> None:
    """A model tuned on answer checks would learn to write checks. Errors: `DataError`."""
    path = recipe.data.path
    if (
        path is not None
        and is_task(path, recipe.data)
        and not load_imported_task(path)[1].has_answers
    ):
        raise DataError(
            "no-answers-but-checks",
            "task has answer checks but no answers to train on",
            at=path,
            got="patterns instead of answers",
            hint=(
                "evaluate models on it (tunesmith evaluate MODEL --data FILE); or use it as "
                "test set with --test-path FILE"
            ),
        )


def read_test_data(recipe: Recipe) -> LoadedDataset | None:
    """The given test examples as in their file, None if there are none. Errors: `InputError`."""
    data = recipe.data
    return load_data(data.test_path, data, recipe.method) if data.test_path else None


def with_resolved_scorer(recipe: Recipe) -> Recipe:
    """The recipe with the scorer of an imported task, if it names none; files in the scorer's name
    become absolute.
    """
    scorer, path = recipe.evaluation.scorer, recipe.data.test_path or recipe.data.path
    if scorer == "auto" and path and is_task(path, recipe.data):
        scorer = load_imported_task(path)[1].scorer
    file, colon, rest = scorer.rpartition(":")
    if colon and file.endswith(".py"):
        scorer = f"{Path(file).expanduser().absolute()}:{rest}"
    elif scorer.startswith("sql:"):
        scorer = f"sql:{Path(rest).expanduser().absolute()}"
    return recipe.replace(evaluation=recipe.evaluation.replace(scorer=scorer))


def pin_paths_and_revision(recipe: Recipe, named: ResolvedModel) -> Recipe:
    """The recipe with everything named independently of the working directory and of time: absolute
    paths, a hub commit.
    """
    recipe = with_absolute_paths(recipe)
    identity = named.identity
    is_hub = identity.source == "hub" and identity.adapter is None
    return recipe.replace(revision=identity.revision) if is_hub else recipe


def with_absolute_paths(recipe: Recipe) -> Recipe:
    """The recipe with absolute paths for all files and folders that it names."""

    def make_absolute(path: str | None) -> str | None:
        return path and str(Path(path).expanduser().absolute())

    data, retrieval, evaluation = recipe.data, recipe.retrieval, recipe.evaluation
    return recipe.replace(
        data=data.replace(path=make_absolute(data.path), test_path=make_absolute(data.test_path)),
        retrieval=retrieval.replace(documents=make_absolute(retrieval.documents)),
        evaluation=evaluation.replace(
            external_answers=tuple(
                str(Path(file).expanduser().absolute()) for file in evaluation.external_answers
            ),
            prompts=make_absolute(evaluation.prompts),
        ),
        judge=recipe.judge.replace(human_labels=make_absolute(recipe.judge.human_labels)),
        cost=recipe.cost.replace(prices=make_absolute(recipe.cost.prices)),
    )


def choose_retrieval_search(recipe: Recipe, listener: ProgressListener) -> Recipe:
    """The recipe with its search method set: also by meaning if the embedding model is on this
    machine. Nothing is downloaded unasked.
    """
    if recipe.retrieval.search is not None:
        return recipe
    search = "hybrid" if is_embedding_fetched(DEFAULT_MODEL) else "bm25"
    if search == "bm25":
        listener.note(
            "retrieval/words-only",
            "using BM25 retrieval; run `tunesmith models --fetch` to enable embeddings",
        )
    return recipe.replace(retrieval=recipe.retrieval.replace(search=search))


def add_instruction(loaded: LoadedDataset, recipe: Recipe) -> LoadedDataset:
    """The data with the recipe's instruction before each example without a system message. Ids
    stay.
    """
    return replace(loaded, examples=with_instruction(loaded.examples, recipe))


def with_instruction(examples: Sequence[Example], recipe: Recipe) -> list[Example]:
    """The examples as the model reads them."""
    system = recipe.data.system_prompt
    return [example.with_system(system) for example in examples] if system else list(examples)


def select_split_examples(
    split: Split, examples: Sequence[Example], recipe: Recipe
) -> dict[str, list[Example]]:
    """The examples of each split, with the instruction. The split uses the bare examples: another
    instruction gives the same split.

    `evaluation.max_test_examples` and `max_validation_examples` take the first ids of their splits,
    which are a fair sample of them.
    """
    limits = recipe.evaluation
    ids = {
        "train": split.train,
        "validation": split.validation[: limits.max_validation_examples],
        "test": split.test[: limits.max_test_examples],
    }
    return {
        name: with_instruction(select_examples(examples, side), recipe)
        for name, side in ids.items()
    }


def select_desirable(name: str, examples: Sequence[Example]) -> list[Example]:
    """The examples with a desirable answer. Errors: `DataError` if all are rated as undesirable."""
    desirable = [example for example in examples if example.is_desirable is not False]
    if examples and not desirable:
        raise DataError(
            "nothing-wanted",
            f"all answers of the {name} examples are labeled undesirable",
            got=f"{len(examples):,} examples",
            hint="add desirable answers, which are the references in the evaluation",
        )
    return desirable


def count_ratings(arrays: TokenArrays) -> tuple[int, int] | None:
    """The numbers of desirable and undesirable answers; None for data without ratings."""
    if RATING_COLUMN not in arrays.columns_E:
        return None
    desirable = int(arrays.columns_E[RATING_COLUMN].sum())
    return desirable, len(arrays) - desirable


def _count_max_answer_tokens(arrays: TokenArrays) -> int:
    return max(
        int((arrays.get_sequence(s)[1] > 0).sum())
        for s in arrays.list_sequence_indices(range(len(arrays)))
    )
