"""All rules between fields of a recipe; all violations are reported together.

What a single field allows (types, ranges) is declared at the field in `records/recipe.py`.
"""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tunesmith.errors import RecipeError
from tunesmith.recipe.recipe_keys import format_value
from tunesmith.records import AdapterRecipe, Recipe
from tunesmith.records.contender_kinds import list_contender_kinds
from tunesmith.records.method_specs import METHODS


class Conflict(NamedTuple):
    """Settings that contradict each other, and what to do."""

    got: str
    hint: str


Rule = Callable[[Recipe], Iterator[Conflict]]
_REMOTE_NAME = re.compile(r"(?!.*\.\.)[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,30}[A-Za-z0-9])?")
"""A name that, followed by `+zero-shot-constrained`, is a valid file name for answers."""


def _check_single_duration(recipe: Recipe) -> Iterator[Conflict]:
    if recipe.training.epochs is not None and recipe.training.minutes is not None:
        yield Conflict(
            f"training.epochs={recipe.training.epochs:g} and "
            f"training.minutes={recipe.training.minutes:g} both say when to end",
            "set one of them to null",
        )


def _check_micro_batch(recipe: Recipe) -> Iterator[Conflict]:
    training = recipe.training
    if training.micro_batch_size is not None and training.micro_batch_size > training.batch_size:
        yield Conflict(
            f"training.micro_batch_size={training.micro_batch_size} is more than "
            f"training.batch_size={training.batch_size}",
            "lower it",
        )


def _check_split_fractions(recipe: Recipe) -> Iterator[Conflict]:
    validation, test = (
        recipe.data.validation_fraction,
        (0.0 if recipe.data.test_path else recipe.data.test_fraction),
    )
    if validation + test >= 1:
        yield Conflict(
            f"data.validation_fraction={validation:g} and data.test_fraction={test:g} leave "
            "nothing to train on",
            "their sum must be below 1",
        )


def _check_test_path(recipe: Recipe) -> Iterator[Conflict]:
    if recipe.data.path is not None and recipe.data.path == recipe.data.test_path:
        yield Conflict(
            "data.path and data.test_path are the same file",
            "leave test_path out and a share is held out",
        )


def _check_full_finetuning(recipe: Recipe) -> Iterator[Conflict]:
    """Compares values, not which keys were written: the recipe stored with a run spells out every
    default.
    """
    if recipe.adapter.kind != "full":
        return
    for name, field in AdapterRecipe.model_fields.items():
        value = getattr(recipe.adapter, name)
        if name != "kind" and value != field.default:
            yield Conflict(
                f"adapter.{name}={format_value(value)} is an option of LoRA, and "
                "adapter.kind=full trains every weight",
                "remove one of them",
            )


def _check_optimizer(recipe: Recipe) -> Iterator[Conflict]:
    """The defaults of the learning rate were found with AdamW. Adafactor's step is a fraction of a
    weight's own size, and LoRA's B begins at zero.
    """
    if recipe.training.optimizer == "adamw":
        return
    if recipe.training.learning_rate is None:
        yield Conflict(
            f"training.optimizer={recipe.training.optimizer} has no default learning rate",
            "set training.learning_rate, for adafactor the step relative to the size of a weight: "
            "0.001 to 0.01",
        )
    if recipe.adapter.kind == "lora":
        yield Conflict(
            f"training.optimizer={recipe.training.optimizer} takes steps relative to the size of a "
            "weight, but adapter.kind=lora begins with weights of zero",
            "use adamw, or adapter.kind=full",
        )


def _check_method_options(recipe: Recipe) -> Iterator[Conflict]:
    """Options of another method would be ignored silently."""
    used = METHODS.load(recipe.method).sections
    for name in (section for spec in METHODS.builtins for section in METHODS.load(spec).sections):
        options = getattr(recipe, name)
        for key, field in type(options).model_fields.items():
            if name not in used and getattr(options, key) != field.default:
                yield Conflict(
                    f"{name}.{key}={getattr(options, key)} is not used by method={recipe.method}",
                    "remove it",
                )


def _check_preference_training(recipe: Recipe) -> Iterator[Conflict]:
    if METHODS.load(recipe.method).data != "answers" and recipe.data.train_on_prompts:
        yield Conflict(
            f"data.train_on_prompts=true trains prompts, but method={recipe.method} compares "
            "answers to one prompt",
            "remove it",
        )


def _check_requirements(recipe: Recipe) -> Iterator[Conflict]:
    bar = recipe.requirements
    if bar.min_score is not None and not 0 <= bar.min_score <= 1:
        yield Conflict(
            f"requirements.min_score={bar.min_score:g} is not a score",
            "scores lie between 0 and 1 (0.9 is 90 %)",
        )
    if bar.max_latency_seconds is not None and bar.max_latency_seconds <= 0:
        yield Conflict(
            f"requirements.max_latency_seconds={bar.max_latency_seconds:g} lets no answer pass",
            "set the longest acceptable wait",
        )
    if bar.max_usd_per_1000 is not None and bar.max_usd_per_1000 < 0:
        yield Conflict(
            f"requirements.max_usd_per_1000={bar.max_usd_per_1000:g} is negative",
            "set what 1,000 requests may cost",
        )
    if bar.max_usd_per_1000 is not None and recipe.machine_usd_per_hour == 0:
        yield Conflict(
            "requirements.max_usd_per_1000 is set but machine_usd_per_hour=0 makes everything free",
            "set the machine's price",
        )


def _check_passage_overlap(recipe: Recipe) -> Iterator[Conflict]:
    retrieval = recipe.retrieval
    if retrieval.chunk_overlap >= retrieval.chunk_size:
        yield Conflict(
            f"retrieval.chunk_overlap={retrieval.chunk_overlap} is not less than "
            f"retrieval.chunk_size={retrieval.chunk_size}",
            "passages that share all their words never end",
        )


def _check_data_residency(recipe: Recipe) -> Iterator[Conflict]:
    """Remote contenders receive the questions: data that must not leave are not sent only to
    disqualify the contender afterwards.
    """
    where = recipe.usage.data_residency
    if where in (None, "any"):
        return
    for remote in recipe.evaluation.remote:
        if not (remote.is_local or (where == "private_cloud" and remote.is_free)):
            yield Conflict(
                f"evaluation.remote {remote.name} would be sent the questions, but "
                f'usage.data_residency is "{where}"',
                "remove one of them, or give a server of your own the prices 0 "
                "(usd_per_million_in, usd_per_million_out)",
            )


def _check_remote_names(recipe: Recipe) -> Iterator[Conflict]:
    names = [remote.name for remote in recipe.evaluation.remote]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield Conflict(f"evaluation.remote has two models named {name}", "give each its own name")
    # `NAME+rag` is a remote model with retrieval, and must not read like the tuned one with
    # retrieval
    reserved = [
        kind.name for kind in list_contender_kinds() if kind.is_trained and not kind.uses_retrieval
    ]
    for name in names:
        if not _REMOTE_NAME.fullmatch(name) or name in reserved:
            yield Conflict(
                f"evaluation.remote is named {name[:40]!r}, which its contenders cannot be called",
                "use at most 32 letters, digits, dashes and dots, and not the word "
                f"{' or '.join(reserved)}",
            )


def _check_blank_values(recipe: Recipe) -> Iterator[Conflict]:
    texts = {
        "model": recipe.model,
        "data.path": recipe.data.path,
        "data.test_path": recipe.data.test_path,
        "data.group_column": recipe.data.group_column,
        "evaluation.scorer": recipe.evaluation.scorer,
        "retrieval.documents": recipe.retrieval.documents,
    }
    for key, text in texts.items():
        if text is not None and not text.strip():
            yield Conflict(f"{key} is blank", "set it or remove it")


RULES: tuple[Rule, ...] = (
    _check_single_duration,
    _check_micro_batch,
    _check_split_fractions,
    _check_test_path,
    _check_full_finetuning,
    _check_optimizer,
    _check_method_options,
    _check_preference_training,
    _check_requirements,
    _check_passage_overlap,
    _check_data_residency,
    _check_remote_names,
    _check_blank_values,
)


def check_recipe(recipe: Recipe, place: str = "recipe") -> None:
    """Refuse a recipe whose fields contradict each other.

    Errors: `RecipeError` (`recipe/contradiction`) with every violated rule.
    """
    broken = [conflict for rule in RULES for conflict in rule(recipe)]
    if not broken:
        return
    if len(broken) == 1:
        (conflict,) = broken
        raise RecipeError(
            "contradiction",
            "conflicting recipe settings",
            at=place,
            got=conflict.got,
            hint=conflict.hint,
        )
    lines = "".join(f"\n  {conflict.got}; {conflict.hint}" for conflict in broken)
    raise RecipeError(
        "contradiction",
        f"conflicting recipe settings in {len(broken)} places",
        at=place,
        got=lines,
    )
