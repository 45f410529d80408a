"""From the method's name in a recipe to its loss, built in or of a plugin."""

from typing import cast

from tunesmith.engine.methods.training_method import TrainingMethod
from tunesmith.records import Recipe
from tunesmith.records.method_specs import METHODS

_MEMBERS = (
    "sequences_per_example",
    "uses_reference",
    "estimates_kl",
    "compute_loss",
    "is_preferred_E",
)


def build_method(recipe: Recipe) -> TrainingMethod:
    """The loss of the recipe's method, with the recipe's options.

    Errors: `PluginError` for a plugin that does not return a `TrainingMethod`.
    """
    build = METHODS.import_part(recipe.method, METHODS.load(recipe.method).build)
    method = build(recipe)
    METHODS.check_part(recipe.method, method, _MEMBERS)
    return cast(TrainingMethod, method)
