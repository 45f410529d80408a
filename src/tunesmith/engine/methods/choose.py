"""The method that a recipe names."""

from tunesmith.engine.methods.method import Method
from tunesmith.engine.methods.sft import Sft
from tunesmith.records import Recipe


def method_of(recipe: Recipe) -> Method:
    """The loss with the recipe's options."""
    assert recipe.method == "sft"
    return Sft()
