"""A run or an adapter as the model of a new run: training continues from its weights.

The new run trains that adapter further, so it has its kind, rank, scale and dropout; a recipe that
leaves its `adapter` section at the default gets them. The result is an adapter on the same base
model. The new run's record names the earlier adapter with the SHA-256 of its files
(docs/decisions/097).
"""

from pathlib import Path

from tunesmith.errors import ModelError, RecipeError
from tunesmith.models.derived_adapter_recipe import derive_adapter_recipe
from tunesmith.models.embedded import get_embedded_models
from tunesmith.models.resolve import is_folder_path
from tunesmith.progress_listener import ProgressListener
from tunesmith.providers.local_model import ResolvedModel
from tunesmith.recipe.recipe_keys import format_value
from tunesmith.records import AdapterRecipe, Recipe, Run, Split
from tunesmith.records.recipe import ALL_LINEAR
from tunesmith.runs.local_inventory import resolve_run_or_name
from tunesmith.runs.run_folder import RunFolder


def resolve_model_location(recipe: Recipe) -> Recipe:
    """The recipe with a run's id replaced by its folder, and an absolute path if its model is a
    folder.
    """
    if recipe.model in get_embedded_models():
        return recipe
    name = resolve_run_or_name(recipe.model)
    return recipe.replace(model=str(Path(name).absolute()) if is_folder_path(name) else name)


def continue_adapter_recipe(
    recipe: Recipe, named: ResolvedModel, listener: ProgressListener
) -> Recipe:
    """The recipe with the adapter section of the adapter that it continues; unchanged if its model
    has no adapter.

    Errors: `RecipeError` if it names other adapter settings; `ModelError` if the adapter cannot be
    trained further, or a new one has a target module that the model lacks.
    """
    if named.identity.adapter is None:
        # A new adapter: its layers must be in the model, which is better known now than after the
        # contenders without training have answered.
        named.check_target_modules(recipe.adapter.target_modules)
        return recipe
    folder = Path(named.identity.adapter)
    before = derive_adapter_recipe(folder)
    where, asked = f"model {recipe.model}", recipe.adapter
    if asked.kind == "full":
        raise ModelError(
            "adapter-goes-on",
            "full fine-tuning cannot continue from an adapter",
            at=where,
            got=str(folder),
            hint=(
                f"merge it first (tunesmith export {folder} --to FOLDER), then train with "
                "model=FOLDER"
            ),
        )
    # A default section means that the user did not choose an adapter. The names of an adapter's
    # layers do not say whether they are all of its base, so `all-linear` agrees with each of them.
    is_default = asked == AdapterRecipe()
    if asked.target_modules == ALL_LINEAR or set(asked.target_modules) == set(
        before.target_modules
    ):
        asked = asked.replace(target_modules=before.target_modules)
    if asked != before and not is_default:
        differing = [key for key, value in before if getattr(asked, key) != value]
        raise RecipeError(
            "adapter-goes-on",
            "adapter settings differ from those of the adapter to continue from",
            at=where,
            got=", ".join(
                f"adapter.{key} is {format_value(getattr(asked, key))}" for key in differing
            ),
            hint="set "
            + " ".join(f"adapter.{key}={format_value(getattr(before, key))}" for key in differing)
            + "; or remove the adapter section; or, for a new adapter, export the model and "
            "train on that",
        )
    listener.note(
        "adapter/continued",
        f"continuing from {folder}: {before.kind} with rank {before.rank}, alpha {before.alpha:g}",
        folder=str(folder),
        rank=before.rank,
    )
    return recipe.replace(adapter=before, revision=None)


def collect_training_ids(place: str) -> set[str]:
    """Ids of the training and validation examples of the run in this folder and of all runs that it
    continues.
    """
    seen: set[str] = set()
    passed: set[Path] = set()
    folder = Path(place).absolute()
    # `passed` guards against an edited run record that names itself as its own ancestor.
    while (folder / "split.json").is_file() and folder not in passed:
        passed.add(folder)
        opened = RunFolder.open(folder)
        split = opened.read(Split)
        seen |= {*split.train, *split.validation}
        earlier = Path(opened.read(Run).trained_model.name).absolute()
        folder = earlier.parent if earlier.name in ("adapter", "model") else earlier
    return seen
