"""Every key of a recipe is described in words: default, allowed values, what it is for."""

import pytest

from tunesmith.recipe.recipe_keys import RecipeKey, describe_groups

KEYS = {key.path: key for _, keys in describe_groups().values() for key in keys}


@pytest.mark.parametrize(
    ("path", "default", "allowed"),
    [
        ("method", "sft", "sft, dpo, orpo, simpo or kto"),
        ("data.columns", "{}", "mapping"),
        ("data.max_length", "", "integer or null, at least 8"),
        ("data.train_on_prompts", "false", "true or false"),
        ("data.allow_contamination", "[]", "list of exact, normalised, 13-gram, near or group"),
        ("data.test_path", "", "text or null"),
        ("adapter.kind", "lora", "lora or full"),
        ("evaluation.remote", "[]", "list of mappings"),
        ("requirements.max_forgetting", "0.05", "number or null, at least 0, less than 1"),
        ("usage.recurrence", "", "once, ongoing or null"),
    ],
)
def test_allowed_values_are_named_in_words(path: str, default: str, allowed: str) -> None:
    assert (KEYS[path].default, KEYS[path].allowed) == (default, allowed)


def test_every_key_says_what_it_is_for() -> None:
    assert [path for path, key in KEYS.items() if not key.description.endswith(".")] == []
    assert all(isinstance(key, RecipeKey) and "\n" not in key.description for key in KEYS.values())
