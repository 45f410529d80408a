"""Recipes as YAML text, in both directions; `yaml_io.py` defines which YAML is accepted."""

from typing import Any

from tunesmith.errors import RecipeError
from tunesmith.records import Recipe
from tunesmith.yaml_io import InvalidYaml, dump_plain_yaml, load_plain_yaml


def parse_yaml(text: str, place: str) -> Any:
    """The value of a YAML text.

    Errors: `RecipeError` (`recipe/not-yaml`) with the line; also for a duplicate key.
    """
    try:
        return load_plain_yaml(text)
    except InvalidYaml as error:
        place = f"{place} line {error.line}" if error.line else place
        raise RecipeError(
            "not-yaml",
            "recipe is not valid YAML",
            at=place,
            got=error.got,
            hint="fix that line",
        ) from None


def dump_recipe(recipe: Recipe) -> str:
    """The recipe as YAML with every field; `load_recipe` of this text gives an equal recipe."""
    return dump_plain_yaml(recipe.model_dump(mode="json"))
