"""The input of a command: `RECIPE [DATA]`, or `DATA` with `--recipe`, as in `decide`."""

from pathlib import Path

from tunesmith.errors import UsageError


def resolve_recipe_and_data(
    first: str, data: Path | None, recipe: str | None
) -> tuple[str | None, Path | None]:
    """The recipe (None: the defaults) and the data (None: those that the recipe names), from the
    arguments of a command.

    The first argument is a recipe if it is a preset's name or a YAML file, or if no such path
    exists: then the recipe loader reports what is wrong. Errors: `UsageError` for two recipes or
    two data sets.
    """
    from tunesmith.recipe.recipe_loader import list_presets

    is_yaml = Path(first).suffix.lower() in (".yaml", ".yml")
    is_recipe = (
        first in list_presets() or is_yaml or not (Path(first).suffix or Path(first).exists())
    )
    if is_recipe and recipe is not None:
        raise UsageError(
            "two-recipes",
            "two recipes were given",
            got=f"{first}, --recipe {recipe}",
            hint="remove one of them",
        )
    if not is_recipe and data is not None:
        raise UsageError(
            "two-data",
            "two datasets were given and no recipe",
            got=f"{first}, {data}",
            hint="pass the recipe first, or the data alone; or pass your own test examples with "
            "--test-path",
        )
    return (first, data) if is_recipe else (recipe, Path(first))
