"""A record with other values: names and values are checked, and what was set stays known."""

import ast
from pathlib import Path

import pytest

from tunesmith.errors import RecordError
from tunesmith.records import Comparison, Recipe, Usage

SOURCE = Path(__file__).parents[2] / "src/tunesmith"
USAGE = Usage(requests=2, tokens_in=10, tokens_out=4, seconds=1.5)


def test_the_values_are_exchanged_and_the_record_itself_stays() -> None:
    changed = USAGE.replace(tokens_in=11, waiting_fraction=0.5)
    assert (changed.tokens_in, changed.waiting_fraction, changed.tokens_out) == (11, 0.5, 4)
    assert (USAGE.tokens_in, USAGE.waiting_fraction) == (10, None)
    assert USAGE.replace() == USAGE


def test_a_name_that_is_no_field_is_an_error_with_the_nearest_one() -> None:
    with pytest.raises(RecordError, match="unknown-field") as caught:
        Recipe().replace(sed=3)
    assert (caught.value.at, caught.value.got, caught.value.hint) == (
        "Recipe",
        "sed",
        "did you mean seed?",
    )


@pytest.mark.parametrize(
    "changes", [{"requests": "many"}, {"seconds": float("nan")}, {"tokens_in": None}]
)
def test_a_value_that_does_not_fit_is_an_error(changes: dict[str, object]) -> None:
    with pytest.raises(RecordError, match="invalid-value") as caught:
        USAGE.replace(**changes)
    assert caught.value.at == next(iter(changes))


def test_what_the_user_has_set_stays_known() -> None:
    recipe = Recipe.model_validate({"seed": 3, "training": {"epochs": 2}})
    changed = recipe.replace(training=recipe.training.replace(num_evals=4))
    assert changed.model_fields_set == {"seed", "training"}
    assert changed.training.model_fields_set == {"epochs", "num_evals"}
    assert changed.data is recipe.data  # what is a record already is not validated again


def test_a_replaced_record_is_the_same_as_one_that_was_read_so() -> None:
    whole = Comparison(
        a="x", b="y", metric="exact", difference=0.1, low=0.0, high=0.2, p=0.05, n=10
    )
    turned = whole.replace(a="y", b="x", difference=-0.1, low=-0.2, high=0.0)
    assert Comparison.parse(turned.model_dump_json().encode(), "here") == turned
    assert turned.fingerprint == Comparison.model_validate(turned.model_dump()).fingerprint


def test_no_module_changes_a_record_without_checking_it() -> None:
    """`model_copy(update=...)` drops a misspelled name without a word, and mypy cannot see it."""
    found = [
        f"{path.relative_to(SOURCE)}:{node.lineno}"
        for path in sorted(SOURCE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "model_copy"
    ]
    assert not found, "use `Record.replace` at " + ", ".join(found)
