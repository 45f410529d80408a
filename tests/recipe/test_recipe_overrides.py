"""A script overrides keys with dictionaries, dots or sections; a recipe may start from another."""

from pathlib import Path

import pytest

from tunesmith.errors import RecipeError
from tunesmith.recipe.recipe_loader import load_recipe
from tunesmith.records import Recipe, TrainingRecipe


@pytest.mark.parametrize(
    "overrides",
    [
        ["training.epochs=2", "data.columns={prompt: question}", "data.path=a.jsonl"],
        {
            "training.epochs": 2,
            "data.columns": {"prompt": "question"},
            "data.path": Path("a.jsonl"),
        },
        {
            "training": {"epochs": 2},
            "data": {"columns": {"prompt": "question"}, "path": "a.jsonl"},
        },
        {
            "training": TrainingRecipe(epochs=2),
            "data": {"columns": {"prompt": "question"}, "path": "a.jsonl"},
        },
    ],
)
def test_overrides_say_the_same_as_texts_dots_sections_and_records(
    overrides: list[str] | dict[str, object],
) -> None:
    recipe = load_recipe(None, overrides)
    assert recipe.training.epochs == 2.0
    assert recipe.data.columns == {"prompt": "question"} and recipe.data.path == "a.jsonl"
    assert recipe.training.model_fields_set == {"epochs"}


def test_a_section_as_an_override_changes_only_what_it_sets() -> None:
    first = load_recipe({"training": {"epochs": 2, "batch_size": 4}})
    second = load_recipe(first, {"training": TrainingRecipe(batch_size=8)})
    assert (second.training.epochs, second.training.batch_size) == (2.0, 8)
    assert load_recipe(first) == first


def test_a_duration_in_an_override_replaces_the_other_one_of_a_preset() -> None:
    recipe = load_recipe("quick", {"training": {"epochs": 1}})
    assert (recipe.training.epochs, recipe.training.minutes) == (1.0, None)


def test_an_unknown_key_in_a_dictionary_names_the_nearest_one() -> None:
    with pytest.raises(RecipeError, match=r"training\.epochs"):
        load_recipe(None, {"training": {"epoch": 2}})
    with pytest.raises(RecipeError, match="training"):
        load_recipe(None, {"trainin": {"epochs": 2}})


def test_a_wrong_value_in_a_dictionary_is_an_error_as_in_a_file() -> None:
    with pytest.raises(RecipeError, match=r"training\.epochs"):
        load_recipe(None, {"training": {"epochs": "two"}})


def test_one_override_may_be_given_without_a_list() -> None:
    assert load_recipe(None, "training.epochs=2") == load_recipe(None, ["training.epochs=2"])


def test_a_recipe_made_by_hand_is_checked_when_it_is_taken() -> None:
    with pytest.raises(RecipeError, match="both say when to end"):
        load_recipe(Recipe(training=TrainingRecipe(epochs=1, minutes=1)))
