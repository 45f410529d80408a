"""Resolved recipes for tests: those that a run on a small model and little data would have."""

from tunesmith.recipe.defaults import complete_recipe
from tunesmith.records import Recipe, ResolvedRecipe


def resolve_test_recipe(recipe: Recipe | None = None) -> ResolvedRecipe:
    """The recipe with the defaults for a tiny model and 100 short train examples."""
    resolved, _ = complete_recipe(
        recipe or Recipe(),
        parameters=1_000_000,
        train_examples=100,
        longest_answer_tokens=8,
        context_tokens=512,
    )
    return resolved
