"""Recipes are read whole or refused with every fault named."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.errors import RecipeError
from tunesmith.recipe.recipe_loader import list_presets, load_recipe
from tunesmith.recipe.recipe_yaml import dump_recipe
from tunesmith.records import AdapterRecipe, DataRecipe, Recipe, TrainingRecipe

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
TRICKY = st.sampled_from(
    ["1e-3", "010", "no", "null", "~", "1:30", "true", "2024-01-01", "a: b", "#x", "=", "<<", "' "]
)
WORDS = (TEXT | TRICKY).filter(str.strip)
POSITIVE = st.floats(min_value=1e-12, max_value=1e12, allow_nan=False)


def refusal(source: str | Path | None, *overrides: str) -> RecipeError:
    with pytest.raises(RecipeError) as caught:
        load_recipe(source, overrides)
    return caught.value


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "r.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@given(
    model=WORDS,
    instruction=st.none() | TEXT | TRICKY,
    columns=st.dictionaries(WORDS, TEXT | TRICKY, max_size=3),
    rate=st.none() | POSITIVE,
    minutes=st.none() | POSITIVE,
    alpha=POSITIVE,
    seed=st.integers(0, 2**63),
)
def test_a_dumped_recipe_loads_back_equal(
    tmp_path_factory: pytest.TempPathFactory,
    model: str,
    instruction: str | None,
    columns: dict[str, str],
    rate: float | None,
    minutes: float | None,
    alpha: float,
    seed: int,
) -> None:
    recipe = Recipe(
        model=model,
        seed=seed,
        data=DataRecipe(system_prompt=instruction, columns=columns),
        adapter=AdapterRecipe(alpha=alpha),
        training=TrainingRecipe(learning_rate=rate, minutes=minutes),
    )
    path = written(tmp_path_factory.getbasetemp(), dump_recipe(recipe))
    assert load_recipe(path) == recipe


@pytest.mark.parametrize("name", list_presets())
def test_every_preset_loads_and_says_something(name: str) -> None:
    assert load_recipe(name) != load_recipe(None)


def test_no_source_means_the_defaults() -> None:
    assert load_recipe(None) == Recipe()


def test_overrides_go_on_top_of_a_preset_and_the_last_one_wins() -> None:
    recipe = load_recipe(
        "names-demo", ["training.minutes=1", "training.minutes=2.5", "evaluation.max_shots=7"]
    )
    assert (recipe.training.minutes, recipe.evaluation.max_shots) == (2.5, 7)
    assert recipe.data.system_prompt == load_recipe("names-demo").data.system_prompt


def test_an_override_of_text_takes_what_was_written() -> None:
    recipe = load_recipe(
        None, ["data.path=dir/my data #3: final.jsonl", "model=123", "data.columns.prompt=12"]
    )
    assert recipe.data.path == "dir/my data #3: final.jsonl"
    assert recipe.model == "123"
    assert recipe.data.columns == {"prompt": "12"}


def test_an_override_can_clear_a_field_and_set_a_mapping() -> None:
    recipe = load_recipe(
        "quick",
        ["training.minutes=null", "training.epochs=2", "data.columns={prompt: q, completion: a}"],
    )
    assert (recipe.training.minutes, recipe.training.epochs) == (None, 2)
    assert recipe.data.columns == {"prompt": "q", "completion": "a"}


def test_scientific_notation_without_a_dot_is_a_number(tmp_path: Path) -> None:
    assert (
        load_recipe(written(tmp_path, "training: {learning_rate: 1e-3}")).training.learning_rate
        == 0.001
    )


def test_an_empty_section_is_no_fault(tmp_path: Path) -> None:
    assert load_recipe(written(tmp_path, "training:\nseed: 3\n")) == Recipe(seed=3)


# --- unknown keys: pain 15, "config keys silently ignored"
# ---------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("training.epoch", "training.epochs"),
        ("learning_rate", "training.learning_rate"),
        ("trainign.minutes", "training"),
        ("adapter.lora_alpha", "adapter.alpha"),
        ("evaluation.max-new-tokens", "evaluation.max_new_tokens"),
        ("requirements.minscore", "requirements.min_score"),
    ],
)
def test_an_unknown_key_names_the_nearest_known_one(key: str, meant: str) -> None:
    error = refusal(None, f"{key}=1")
    assert error.code == "recipe/unknown-key"
    assert error.hint == f"did you mean {meant}?"


def test_a_key_that_is_near_to_nothing_is_still_refused() -> None:
    assert refusal(None, "zzzzqqqq=1").hint == "list all keys with tunesmith keys"


@pytest.mark.parametrize(
    ("key", "advice"),
    [
        ("training.clip_grad_norm", "did you mean training.max_grad_norm?"),
        ("training.lr", "did you mean training.learning_rate?"),
        ("num_train_epochs", "did you mean training.epochs?"),
        ("lora_r", "did you mean adapter.rank?"),
        ("training.rank", "did you mean adapter.rank?"),
        ("cutoff_len", "did you mean data.max_length?"),
        ("val_set_size", "did you mean data.validation_fraction? a fraction: 0.1"),
        (
            "quantization_bit",
            "did you mean adapter.load_in_4bit? holds the frozen weights in 4 bits (NF4)",
        ),
        (
            "lora_target_modules",
            "did you mean adapter.target_modules? all-linear, or a list: [q_proj, v_proj]",
        ),
        (
            "use_gradient_checkpointing",
            "did you mean training.gradient_checkpointing? auto, on or off",
        ),
        ("optim", "did you mean training.optimizer? adamw or adafactor"),
    ],
)
def test_another_tools_name_of_a_key_is_answered_with_ours(key: str, advice: str) -> None:
    assert refusal(None, f"{key}=1").hint == advice


def test_target_modules_are_all_linear_layers_or_a_list_of_names(tmp_path: Path) -> None:
    assert load_recipe(None).adapter.target_modules == "all-linear"
    path = written(tmp_path, "adapter:\n  target_modules: [q_proj, self_attn.v_proj]\n")
    assert load_recipe(path).adapter.target_modules == ("q_proj", "self_attn.v_proj")
    assert load_recipe(None, ["adapter.target_modules=[o_proj]"]).adapter.target_modules == (
        "o_proj",
    )


@pytest.mark.parametrize("value", ["q_proj", "[]", "[1]", "null", "['']"])
def test_another_value_of_target_modules_is_one_error_that_says_what_is_allowed(value: str) -> None:
    error = refusal(None, f"adapter.target_modules={value}")
    assert (error.code, error.what) == (
        "recipe/wrong-value",
        "invalid value for adapter.target_modules",
    )
    expected = "give all-linear or a list of names of linear layers, such as [q_proj, v_proj]"
    assert error.hint == expected


def test_adafactor_needs_a_learning_rate_and_full_finetuning() -> None:
    full = ("adapter.kind=full", "training.optimizer=adafactor")
    assert "has no default learning rate" in refusal(None, *full).got
    training = load_recipe(None, [*full, "training.learning_rate=0.003"]).training
    assert (training.optimizer, training.learning_rate) == ("adafactor", 0.003)
    lora = ("training.optimizer=adafactor", "training.learning_rate=0.003")
    assert "adapter.kind=lora begins with weights of zero" in refusal(None, *lora).got


def test_full_finetuning_has_no_target_modules() -> None:
    error = refusal(None, "adapter.kind=full", "adapter.target_modules=[q_proj, v_proj]")
    assert "adapter.target_modules=[q_proj, v_proj] is an option of LoRA" in error.got


def test_a_presets_duration_gives_way_to_the_one_on_the_command_line(tmp_path: Path) -> None:
    training = load_recipe("quick", ["training.epochs=2"]).training
    assert (training.epochs, training.minutes) == (2, None)
    path = written(tmp_path, "training: {epochs: 3}\n")
    training = load_recipe(path, ["training.minutes=5"]).training
    assert (training.epochs, training.minutes) == (None, 5)
    assert load_recipe("quick", ["training.epochs=null"]).training.minutes == 2


def test_two_durations_in_one_place_still_contradict(tmp_path: Path) -> None:
    assert refusal(None, "training.epochs=2", "training.minutes=5").code == "recipe/contradiction"
    assert (
        refusal(written(tmp_path, "training: {epochs: 2, minutes: 5}\n")).code
        == "recipe/contradiction"
    )


def test_half_a_character_in_a_text_is_refused_with_its_line(tmp_path: Path) -> None:
    error = refusal(written(tmp_path, 'seed: 1\ndata: {path: "a\\ud800.jsonl"}\n'))
    assert (
        error.code == "recipe/not-yaml"
        and "lone surrogate" in str(error)
        and "line 2" in str(error)
    )


def test_every_fault_is_reported_at_once(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "seed: true\nmodle: x\ntraining: {batch_size: '16', warmup_ratio: 2, decay:"
        " exp}\nadapter: 3\n",
    )
    error = refusal(path)
    assert str(error) == (
        f"error[recipe/unknown-key]: 6 recipe keys are invalid\n  at: {path}\n  got:\n"
        "    modle: unknown key; did you mean model?\n"
        "    adapter: 3; write its keys below it, one per line, for example kind: VALUE\n"
        "    seed: True; give a valid integer\n"
        "    training.batch_size: '16'; give a valid integer\n"
        "    training.lr_scheduler: 'exp'; give 'linear', 'cosine' or 'constant'\n"
        "    training.warmup_ratio: 2; give a number less than 1\n"
        "  hint: fix each key as described above"
    )


def test_one_wrong_value_reads_as_one_sentence() -> None:
    assert str(refusal(None, "training.minutes=1:30")) == (
        "error[recipe/wrong-value]: invalid value for training.minutes\n  at: recipe\n  got: "
        "'1:30'\n  hint: give a valid number"
    )


# --- files that are no recipes
# --------------------------------------------------------------------------------------

BILLION = "a: &a [x,x]\nb: &b [*a,*a]\n"


@pytest.mark.parametrize(
    ("content", "code", "found"),
    [
        ("", "recipe/not-a-recipe", "nothing"),
        ("# only a comment\n", "recipe/not-a-recipe", "nothing"),
        ("- a\n- b\n", "recipe/not-a-recipe", "['a', 'b']"),
        ("seed: 1\nseed: 2\n", "recipe/not-yaml", "duplicate key 'seed'"),
        (
            "training:\n  epochs: 1\n  epochs: 2\n",
            "recipe/not-yaml",
            "duplicate key 'epochs'",
        ),
        ("1: 2\n", "recipe/not-yaml", "the key 1 is not a string"),
        ("training: [\n", "recipe/not-yaml", "expected the node content"),
        (
            "model: !!python/object/apply:os.system [echo]\n",
            "recipe/not-yaml",
            "object/apply:os.system is not supported",
        ),
        (BILLION, "recipe/not-yaml", "aliases (*name) are not supported"),
        ("[" * 100_000, "recipe/not-yaml", "unreadable (RecursionError)"),
        ("seed: " + "9" * 5_000, "recipe/not-yaml", "unreadable (ValueError)"),
        ("model: \0\n", "recipe/not-yaml", "unacceptable character"),
        (b"model: \xff\n", "recipe/not-text", ""),
        ("#" * 1_000_001, "recipe/too-large", ""),
    ],
)
def test_what_is_no_recipe_is_refused(
    tmp_path: Path, content: str | bytes, code: str, found: str
) -> None:
    error = refusal(written(tmp_path, content))
    assert error.code == code
    assert found in error.got
    assert str(tmp_path) in error.at


def test_a_syntax_error_names_the_line(tmp_path: Path) -> None:
    assert refusal(written(tmp_path, "seed: 1\nmodel: [x\n")).at.endswith("r.yaml line 3")


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    assert load_recipe(written(tmp_path, b"\xef\xbb\xbfseed: 4\n")).seed == 4


@pytest.mark.parametrize(
    "source", ["missing.yaml", "no/such/place", "nul\0.yaml", "x" * 5_000 + ".yaml"]
)
def test_a_file_that_is_not_there_is_one_message(source: str) -> None:
    assert refusal(source).code == "recipe/unreadable"


def test_a_folder_is_one_message(tmp_path: Path) -> None:
    assert refusal(tmp_path).code == "recipe/unreadable"


@pytest.mark.parametrize("source", ["name-demo", "x" * 5_000, "nul\0"])
def test_an_unknown_preset_lists_the_presets(source: str) -> None:
    error = refusal(source)
    assert error.code == "recipe/no-such-preset"
    assert "names-demo" in error.got
    assert refusal("name-demo").hint == "did you mean names-demo?"


@pytest.mark.parametrize("override", ["seed", "=3", "training..epochs=1", ""])
def test_what_is_no_override_is_refused(override: str) -> None:
    assert refusal(None, override).code == "recipe/not-an-override"


@pytest.mark.parametrize(
    "text", ["\x85", "a\x85b", "a\u2028b", " \u2029", "\ufeff", "\r\n", "a\n\n b "]
)
def test_rare_line_ends_survive_a_dump(tmp_path: Path, text: str) -> None:
    recipe = Recipe(data=DataRecipe(system_prompt=text))
    assert load_recipe(written(tmp_path, dump_recipe(recipe))) == recipe
