"""From the method's name in a recipe to its loss, built in or of a plugin."""

from tunesmith.engine.methods.training_method import TrainingMethod
from tunesmith.records import Recipe
from tunesmith.records.method_specs import METHODS


def build_method(recipe: Recipe) -> TrainingMethod:
    """The loss of the recipe's method, with the recipe's options.

    Errors: `PluginError` for a plugin that does not return a `TrainingMethod`.
    """
    build = METHODS.import_part(recipe.method, METHODS.load(recipe.method).build)
    method = build(recipe)
    if not isinstance(method, TrainingMethod):
        METHODS.reject(recipe.method, f"{type(method).__name__} is not a TrainingMethod")
    return method
