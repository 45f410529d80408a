"""What is open is filled with a number and its source; what a person set is never touched."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.recipe.defaults import (
    DEFAULT_EPOCHS,
    DEFAULT_LEARNING_RATES,
    MAX_TOKENS_UNLIMITED,
    AppliedDefault,
    complete_recipe,
)
from tunesmith.recipe.recipe_loader import load_recipe
from tunesmith.records import Recipe

COUNTS = st.none() | st.integers(1, 10**12)


def completed(recipe: Recipe, **known: int | None) -> tuple[Recipe, dict[str, AppliedDefault]]:
    facts: dict[str, int | None] = {
        "parameters": 135_000_000,
        "longest_answer_tokens": 60,
        "context_tokens": 8192,
    }
    filled, used = complete_recipe(recipe, train_examples=1_000, **{**facts, **known})  # type: ignore[arg-type]
    return filled, {default.key: default for default in used}


def test_every_open_number_is_filled_and_has_a_source() -> None:
    recipe, used = completed(Recipe())
    assert recipe.training.learning_rate == 1e-3
    assert recipe.training.epochs == 3
    assert recipe.data.max_length == 8192
    assert recipe.evaluation.max_new_tokens == 83  # 60 * 1.25 + 8
    assert set(used) == {
        "training.learning_rate",
        "training.epochs",
        "data.max_length",
        "evaluation.max_new_tokens",
    }
    assert all(len(default.source) > 20 for default in used.values())
    assert "LoRA Without Regret" in used["training.learning_rate"].source


def test_a_complete_recipe_stays_as_it_is() -> None:
    recipe, _ = completed(Recipe())
    assert completed(recipe) == (recipe, {})


def test_minutes_leave_epochs_open() -> None:
    recipe, used = completed(load_recipe("names-demo"))
    assert recipe.training.epochs is None
    assert recipe.training.learning_rate == load_recipe("names-demo").training.learning_rate
    assert "training.epochs" not in used


@pytest.mark.parametrize(
    ("width", "parameters"),
    [(576, 135_000_000), (2048, 1_200_000_000), (4096, 8_000_000_000), (8192, 70_000_000_000)],
)
def test_the_rate_is_within_a_third_of_the_published_fit(width: int, parameters: int) -> None:
    fit = 5e-5 * 10 * (2000 / width) ** 0.781
    recipe, _ = completed(Recipe(), parameters=parameters)
    assert recipe.training.learning_rate == pytest.approx(fit, rel=0.33)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["method=dpo"], 5e-6),  # Zephyr 7B, QLoRA
        (["method=dpo", "adapter.kind=full"], 5e-7),  # Zephyr 7B, full
        (
            ["method=simpo", "adapter.kind=full"],
            5e-7,
        ),  # between 3e-7 and 1e-6, its authors' four models
        (["method=kto", "adapter.kind=full"], 5e-7),  # TRL's script
        (["method=orpo", "adapter.kind=full"], 5e-6),  # Zephyr 141B
        (["adapter.kind=full"], 3e-5),
        (
            ["adapter.use_rslora=true", "adapter.rank=16"],
            7.5e-5,
        ),  # alpha / sqrt(16) is four times alpha / 16
        (["adapter.use_dora=true"], 3e-4),
        (["adapter.load_in_4bit=true"], 3e-4),
    ],
)
def test_the_rate_for_8b_is_what_was_published(settings: list[str], expected: float) -> None:
    recipe, used = completed(load_recipe(None, settings), parameters=8_000_000_000)
    assert recipe.training.learning_rate == pytest.approx(expected, rel=0.02)
    source = used["training.learning_rate"].source
    assert recipe.method == "sft" or recipe.method in source
    assert recipe.adapter.kind != "full" or "full fine-tuning" in source


def test_the_rate_of_dpo_on_a_small_model_is_near_its_makers() -> None:
    """SmolLM2-135M was made with 1e-6, full (alignment-handbook,
    recipes/smollm2/dpo/config_smol.yaml)."""
    recipe, _ = completed(load_recipe(None, ["method=dpo", "adapter.kind=full"]))
    assert 1e-6 <= (recipe.training.learning_rate or 0) <= 2e-6


@pytest.mark.parametrize(
    ("method", "examples", "epochs"), [("dpo", 1_000, 2), ("dpo", 5_000, 1), ("orpo", 1_000, 3)]
)
def test_preference_methods_take_fewer_passes(method: str, examples: int, epochs: float) -> None:
    recipe, used = complete_recipe(
        load_recipe(None, [f"method={method}"]),
        parameters=None,
        train_examples=examples,
        longest_answer_tokens=None,
        context_tokens=None,
    )
    assert recipe.training.epochs == epochs
    assert any(f"{examples:,} train examples" in default.source for default in used)


@pytest.mark.parametrize(
    ("rated", "weights"),
    [((30, 30), (1, 1)), ((90, 30), (1, 3)), ((10, 25), (2.5, 1)), ((9, 0), (1, 1))],
)
def test_kto_weighs_both_kinds_the_same(
    rated: tuple[int, int], weights: tuple[float, float]
) -> None:
    recipe, used = completed(load_recipe(None, ["method=kto"]), rating_counts=rated)  # type: ignore[arg-type]
    assert (recipe.kto.desirable_weight, recipe.kto.undesirable_weight) == weights
    assert f"{rated[0]} desirable and {rated[1]} undesirable" in used["kto.desirable_weight"].source
    given, _ = completed(
        load_recipe(None, ["method=kto", "kto.desirable_weight=2"]), rating_counts=rated
    )  # type: ignore[arg-type]
    assert (given.kto.desirable_weight, given.kto.undesirable_weight) == (2, None)


def test_larger_models_and_larger_data_never_get_more() -> None:
    assert [rate for _, rate in DEFAULT_LEARNING_RATES] == sorted(
        (rate for _, rate in DEFAULT_LEARNING_RATES), reverse=True
    )
    assert [epochs for _, epochs in DEFAULT_EPOCHS] == sorted(
        (epochs for _, epochs in DEFAULT_EPOCHS), reverse=True
    )


@pytest.mark.parametrize(
    ("context", "expected"), [(8192, 8192), (512, 512), (None, MAX_TOKENS_UNLIMITED), (3, 8)]
)
def test_max_tokens_is_the_context(context: int | None, expected: int) -> None:
    recipe, _ = completed(Recipe(), context_tokens=context)
    assert recipe.data.max_length == expected


@given(COUNTS, st.integers(0, 10**9), COUNTS, COUNTS)
def test_whatever_is_known_the_result_is_a_valid_recipe(
    parameters: int | None, examples: int, answer: int | None, context: int | None
) -> None:
    recipe, used = complete_recipe(
        Recipe(),
        parameters=parameters,
        train_examples=examples,
        longest_answer_tokens=answer,
        context_tokens=context,
    )
    assert Recipe.model_validate(recipe.model_dump(), strict=True) == recipe
    assert len(used) == 4
