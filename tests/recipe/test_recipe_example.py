"""The example of the guide is a recipe that loads, and says what its comments say."""

from pathlib import Path

from tunesmith.recipe.recipe_loader import load_recipe

EXAMPLE = Path(__file__).parents[2] / "docs/guide/example.yaml"


def test_the_guides_example_loads_with_every_key_of_it_understood() -> None:
    recipe = load_recipe(str(EXAMPLE))
    assert recipe.data.columns == {"prompt": "question", "completion": "answer"}
    hosted, own = recipe.evaluation.remote
    assert hosted.api_key_env == "OPENAI_API_KEY" and not hosted.is_free
    assert own.is_local and own.max_concurrency == 8
    assert (recipe.requirements.min_gain, recipe.usage.requests_per_month) == (0.03, 40000)


def test_the_example_names_no_key_twice_and_no_default_as_if_it_were_a_change() -> None:
    lines = [
        line.split("#")[0].rstrip() for line in EXAMPLE.read_text(encoding="utf-8").splitlines()
    ]
    sections = [line for line in lines if line and not line.startswith(" ")]
    assert len(sections) == len(set(sections))
