"""Rules between fields: every broken one is told, and no sound recipe is refused."""

import json

import pytest

from tunesmith.errors import RecipeError
from tunesmith.recipe.recipe_loader import load_recipe
from tunesmith.recipe.validate import check_recipe
from tunesmith.records import Recipe

BROKEN = {
    "one_end": (["training.epochs=2", "training.minutes=3"], "both say when to end"),
    "micro_batch_fits": (
        ["training.micro_batch_size=32", "training.batch_size=16"],
        "is more than training.batch_size=16",
    ),
    "shares_leave_train": (
        ["data.validation_fraction=0.4", "data.test_fraction=0.6"],
        "leave nothing to train on",
    ),
    "test_is_not_train": (["data.path=a.jsonl", "data.test_path=a.jsonl"], "are the same file"),
    "min_score": (["requirements.min_score=90"], "requirements.min_score=90 is not a score"),
    "max_latency_seconds": (["requirements.max_latency_seconds=0"], "lets no answer pass"),
    "max_usd": (["requirements.max_usd_per_1000=-1"], "is negative"),
    "free_machine": (
        ["requirements.max_usd_per_1000=1", "machine_usd_per_hour=0"],
        "makes everything free",
    ),
    "options_of_another_method": (["simpo.margin=2"], "simpo.margin=2.0 is not used by method=sft"),
    "prompts_are_not_preferred": (
        ["method=dpo", "data.train_on_prompts=true"],
        "compares answers to one prompt",
    ),
    "full_has_no_adapter": (
        ["adapter.kind=full", "adapter.rank=8"],
        "adapter.rank=8 is an option of LoRA",
    ),
    "nothing_blank": (["evaluation.scorer= "], "evaluation.scorer is blank"),
}


@pytest.mark.parametrize(("overrides", "sentence"), BROKEN.values(), ids=BROKEN.keys())
def test_a_contradiction_is_told(overrides: list[str], sentence: str) -> None:
    with pytest.raises(RecipeError, match="conflicting recipe settings") as caught:
        load_recipe(None, overrides)
    assert caught.value.code == "recipe/contradiction"
    assert sentence in caught.value.got
    assert caught.value.hint


FAR, NEAR = "https://api.example.com/v1", "http://127.0.0.1:8000/v1"


@pytest.mark.parametrize(
    ("where", "url", "usd", "may"),
    [
        ("local", FAR, 0, False),
        ("local", FAR, None, False),
        ("local", NEAR, 0, True),
        ("local", "http://[::1]:8000/v1", 0, True),
        ("local", "http://localhost.example.com", 0, False),
        ("local", NEAR, 1.5, False),  # whoever charges for tokens is elsewhere: a gateway
        ("private_cloud", FAR, 1.5, False),
        ("private_cloud", FAR, None, False),
        ("private_cloud", FAR, 0, True),
        ("private_cloud", NEAR, 0, True),
        ("any", FAR, 1.5, True),
    ],
)
def test_data_go_only_where_they_may(where: str, url: str, usd: float | None, may: bool) -> None:
    remote = {
        "name": "far",
        "base_url": url,
        "model": "m",
        "usd_per_million_in": usd,
        "usd_per_million_out": usd,
    }
    overrides = [f"evaluation.remote={json.dumps([remote])}", f"usage.data_residency={where}"]
    if may:
        assert load_recipe(None, overrides).evaluation.remote[0].base_url == url
        return
    with pytest.raises(RecipeError) as caught:
        load_recipe(None, overrides)
    assert (
        caught.value.got
        == "evaluation.remote far would be sent the questions, but usage.data_residency is"
        f' "{where}"'
    )


def test_all_contradictions_come_together() -> None:
    overrides = [line for lines, _ in BROKEN.values() for line in lines]
    with pytest.raises(RecipeError) as caught:
        load_recipe(None, overrides)
    told = caught.value.got
    # by the given test file, by the later value of the same key, and by the other method
    hidden = {"shares_leave_train", "max_usd", "options_of_another_method"}
    assert all(sentence in told for name, (_, sentence) in BROKEN.items() if name not in hidden)


def test_a_given_test_file_frees_its_share() -> None:
    recipe = load_recipe(
        None, ["data.test_path=t.jsonl", "data.validation_fraction=0.4", "data.test_fraction=0.8"]
    )
    assert recipe.data.test_fraction == 0.8


def test_the_defaults_contradict_nothing() -> None:
    check_recipe(Recipe())
