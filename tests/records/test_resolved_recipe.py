"""A resolved recipe is complete by its type, and still the recipe that it was made from."""

import operator

import pytest

from tunesmith.errors import RecordError
from tunesmith.recipe.recipe_loader import load_recipe
from tunesmith.recipe.recipe_yaml import dump_recipe
from tunesmith.records import (
    DataRecipe,
    EvaluationRecipe,
    KtoRecipe,
    Recipe,
    RemoteRecipe,
    ResolvedRecipe,
    TrainingRecipe,
)
from tunesmith.testing.resolved_recipes import resolve_test_recipe

REMOTE = RemoteRecipe(name="r", base_url="https://api.example.com/v1", model="m", max_tokens=9)
COMPLETE = Recipe(
    data=DataRecipe(path="/data.jsonl", max_length=64),
    training=TrainingRecipe(learning_rate=2e-3, epochs=3),
    evaluation=EvaluationRecipe(max_new_tokens=7, remote=(REMOTE,)),
)


def test_a_resolved_recipe_equals_the_recipe_with_the_same_values_in_either_order() -> None:
    resolved = ResolvedRecipe.from_complete(COMPLETE)
    sections = [(resolved, COMPLETE)]
    sections += [(getattr(resolved, name), getattr(COMPLETE, name)) for name in ("data", "kto")]
    sections += [(resolved.training, COMPLETE.training), (resolved.evaluation, COMPLETE.evaluation)]
    for narrow, wide in sections:
        assert operator.eq(narrow, wide)
        assert operator.eq(wide, narrow)
        assert not operator.ne(narrow, wide)
        assert not operator.ne(wide, narrow)


def test_recipes_with_other_values_stay_different() -> None:
    resolved = ResolvedRecipe.from_complete(COMPLETE)
    other = COMPLETE.replace(training=COMPLETE.training.replace(epochs=4))
    assert resolved != other
    assert other != resolved
    assert resolved.training != other.training
    assert resolved.training != resolved.data
    assert resolved != "recipe"


def test_equal_sections_have_equal_hashes() -> None:
    resolved = ResolvedRecipe.from_complete(COMPLETE)
    assert hash(resolved.training) == hash(COMPLETE.training)
    assert {resolved.training} == {COMPLETE.training}


def test_fingerprint_json_and_yaml_are_those_of_the_recipe() -> None:
    resolved = ResolvedRecipe.from_complete(COMPLETE)
    assert resolved.fingerprint == COMPLETE.fingerprint  # also where `remote` has earlier names
    assert resolved.training.fingerprint == COMPLETE.training.fingerprint
    assert resolved.model_dump_json() == COMPLETE.model_dump_json()
    assert dump_recipe(resolved) == dump_recipe(COMPLETE)
    assert Recipe.model_fields.keys() == ResolvedRecipe.model_fields.keys()


def test_what_the_user_set_stays_marked_as_set() -> None:
    resolved = ResolvedRecipe.from_complete(COMPLETE)
    assert resolved.model_fields_set == {"data", "training", "evaluation"}
    assert resolved.evaluation.model_fields_set == {"max_new_tokens", "remote"}
    assert load_recipe(resolved) == COMPLETE


def test_a_changed_resolved_recipe_is_still_resolved() -> None:
    resolved = ResolvedRecipe.from_complete(COMPLETE)
    changed = resolved.replace(training=resolved.training.replace(epochs=None, minutes=2.0))
    assert type(changed) is ResolvedRecipe
    assert changed.training.length == (2.0, "minutes")
    assert resolved.training.length == (3.0, "epochs")
    with pytest.raises(RecordError, match="neither epochs nor minutes is set"):
        resolved.training.replace(epochs=None)


@pytest.mark.parametrize(
    ("section", "key"),
    [("data", "max_length"), ("training", "learning_rate"), ("evaluation", "max_new_tokens")],
)
def test_an_open_number_is_named_with_its_file(section: str, key: str) -> None:
    opened = COMPLETE.replace(**{section: getattr(COMPLETE, section).replace(**{key: None})})
    with pytest.raises(RecordError) as caught:
        ResolvedRecipe.from_complete(opened, "runs/a/recipe.yaml")
    assert caught.value.code == "record/incomplete"
    assert caught.value.at == f"runs/a/recipe.yaml {section}.{key}"


def test_a_recipe_without_a_length_is_not_complete() -> None:
    opened = COMPLETE.replace(training=COMPLETE.training.replace(epochs=None))
    with pytest.raises(RecordError) as caught:
        ResolvedRecipe.from_complete(opened)
    assert caught.value.at == "recipe training"


def test_completing_a_recipe_gives_a_resolved_one_with_the_same_fingerprint_as_before() -> None:
    resolved = resolve_test_recipe(Recipe())
    assert type(resolved) is ResolvedRecipe
    plain = Recipe.model_validate(resolved.model_dump())
    assert type(plain.training) is TrainingRecipe
    assert (plain, plain.fingerprint) == (resolved, resolved.fingerprint)


def test_kto_weights_that_are_open_count_as_1() -> None:
    assert KtoRecipe().answer_weights == (1.0, 1.0)
    assert KtoRecipe(desirable_weight=2.5).answer_weights == (2.5, 1.0)
    assert KtoRecipe(undesirable_weight=0.5).answer_weights == (1.0, 0.5)
