"""What contenders from outside are called: every name can be that of a file, and no two are the
same."""

from pathlib import Path

import pytest

from tunesmith.contenders.external_contenders import list_contender_names, make_contender_name
from tunesmith.errors import RecipeError
from tunesmith.recipe.recipe_loader import load_recipe
from tunesmith.records import Recipe, RemoteRecipe
from tunesmith.runs.run_folder import RunFolder


@pytest.mark.parametrize(
    ("name", "called"),
    [
        ("today", "today"),
        ("their answers (2)", "their-answers-2"),
        ("<b>x</b>", "b-x-b"),
        ("org/name-7b", "org-name-7b"),
        ("v1..2", "v1.2"),
        ("\u202e\u4e2d", "model"),
        ("a" * 63 + "-" + "b" * 9, "a" * 63),
    ],
)
def test_a_name_becomes_one_that_a_file_may_have(name: str, called: str) -> None:
    assert make_contender_name(name) == called


def test_every_name_that_decide_can_give_may_be_a_files(tmp_path: Path) -> None:
    remote = RemoteRecipe(name="r" * 32, base_url="https://x.example/v1", model="m")
    recipe = Recipe(evaluation=Recipe().evaluation.model_copy(update={"remote": (remote,)}))
    names = [*list_contender_names(recipe), make_contender_name("x y" * 99)]
    assert len(names) == len(set(names)) == 21
    assert all(not RunFolder(tmp_path).read_answers(name).records for name in names), (
        "a name that is refused would raise"
    )


def test_the_longest_name_of_a_remote_model_is_taken_and_a_longer_one_refused() -> None:
    def loaded(name: str) -> Recipe:
        return load_recipe(
            None,
            [
                f'evaluation.remote=[{{"name": "{name}", "model": "m",'
                ' "base_url": "https://x.example"}]'
            ],
        )

    assert loaded("gpt-4.1").evaluation.remote[0].name == "gpt-4.1"
    assert len(loaded("r" * 32).evaluation.remote[0].name) == 32
    for name in ("r" * 33, "a b", "a+b", "..", "tuned", ""):
        with pytest.raises(RecipeError, match=r"evaluation\.remote is named"):
            loaded(name)
