"""Recipe keys as flags: what a person types, and what the parser is given."""

import json
import re
from pathlib import Path

import pytest

from tunesmith.cli.command_inputs import resolve_recipe_and_data
from tunesmith.cli.main import run
from tunesmith.cli.recipe_flags import expand_recipe_flags, get_flag
from tunesmith.errors import UsageError
from tunesmith.recipe.key_aliases import KEY_ALIASES
from tunesmith.recipe.recipe_keys import describe_groups, get_known_keys, is_section

DECLARED = {"--set", "--out", "--json", "--minutes", "--help"}


@pytest.mark.parametrize(
    ("typed", "given"),
    [
        ("data.csv --json", "data.csv --json"),
        ("--min-gain 0.02 data.csv", "data.csv --set requirements.min_gain=0.02"),
        ("data.csv --min-gain=0.02", "data.csv --set requirements.min_gain=0.02"),
        ("data.csv --max-latency 2", "data.csv --set requirements.max_latency_seconds=2"),
        ("data.csv --fail-on-warning --out x", "data.csv --out x --set fail_on_warning=true"),
        ("data.csv --fail-on-warning=false", "data.csv --set fail_on_warning=false"),
        (
            "d --external-answers a.csv --external-answers b.csv",
            'd --set evaluation.external_answers=["a.csv", "b.csv"]',
        ),
        ("d --allow-contamination near", 'd --set data.allow_contamination=["near"]'),
        ("d --target-modules all-linear", 'd --set adapter.target_modules="all-linear"'),
        ("d --target-modules q_proj", 'd --set adapter.target_modules=["q_proj"]'),
        (
            "d --target-modules [q_proj,v_proj] --target-modules o_proj",
            'd --set adapter.target_modules=["q_proj", "v_proj", "o_proj"]',
        ),
        ("d --minutes 3", "d --minutes 3"),
        ("d --no-fail-on-warning", "d --set fail_on_warning=false"),
        ("d --constrained false x.csv", "d x.csv --set evaluation.constrained=false"),
        ("d --constrained x.csv", "d x.csv --set evaluation.constrained=true"),
        (
            "d --columns prompt=question,completion=answer",
            'd --set data.columns={"prompt": "question", "completion": "answer"}',
        ),
        (
            "d --fail-on-warning -- --fail-on-warning",
            "d --set fail_on_warning=true -- --fail-on-warning",
        ),
    ],
)
def test_a_flag_that_names_a_key_is_spelled_out(typed: str, given: str) -> None:
    found = expand_recipe_flags(typed.split(), DECLARED)
    assert " ".join(found) == given


@pytest.mark.parametrize(
    ("flag", "advice"),
    [
        ("--min-gian", "did you mean --min-gain?"),
        ("--no-constraned", "did you mean --no-constrained?"),
        ("--mintes", "did you mean --minutes?"),
        ("--lr", "did you mean --learning-rate?"),
        ("--clip-grad-norm", "did you mean --max-grad-norm?"),
        ("--num_train_epochs", "did you mean --epochs?"),
        ("--lora-r", "did you mean --rank?"),
        ("--max-seq-length", "did you mean --max-length?"),
        ("--no-minutes", "did you mean --minutes?"),
        ("--zzqq", "see --help, and tunesmith keys for recipe keys"),
    ],
)
def test_a_flag_that_there_is_not_is_answered_with_the_one_that_was_meant(
    flag: str, advice: str
) -> None:
    with pytest.raises(UsageError, match="unknown flag") as caught:
        expand_recipe_flags(["d", flag, "1"], DECLARED)
    assert caught.value.hint == advice


def test_the_advice_for_every_key_of_other_tools_names_a_key_of_ours_or_says_why_none_is_needed() -> (  # noqa: E501
    None
):
    known = get_known_keys()
    assert [
        name
        for name, ours in KEY_ALIASES.items()
        if not (ours.key in known if ours.key else ours.hint)
    ] == []
    assert [
        name for name in KEY_ALIASES if any(key.rpartition(".")[2] == name for key in known)
    ] == []


@pytest.mark.parametrize(
    ("words", "recipe", "data"),
    [
        (("quick", None, None), "quick", None),
        (("quick", "x.jsonl", None), "quick", "x.jsonl"),
        (("mine.yaml", None, None), "mine.yaml", None),
        (("x.jsonl", None, None), None, "x.jsonl"),
        (("x.jsonl", None, "quick"), "quick", "x.jsonl"),
        (("quik", None, None), "quik", None),
    ],
)
def test_examples_may_stand_where_a_recipe_may(
    words: tuple[str, str | None, str | None], recipe: str | None, data: str | None
) -> None:
    first, second, named = words
    found = resolve_recipe_and_data(first, Path(second) if second else None, named)
    assert found == (recipe, Path(data) if data else None)


def test_two_recipes_or_two_data_sets_are_refused() -> None:
    with pytest.raises(UsageError, match="two-recipes"):
        resolve_recipe_and_data("quick", None, "names-demo")
    with pytest.raises(UsageError, match="two-data"):
        resolve_recipe_and_data("a.jsonl", Path("b.jsonl"), None)


@pytest.mark.parametrize("command", ["check", "decide", "estimate", "evaluate", "train"])
def test_the_help_of_a_command_lists_every_recipe_key_by_its_group(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([command, "--help"]) == 0
    printed = capsys.readouterr().out
    options, flags = printed.split("Recipe flags (tunesmith keys describes them):\n")
    missing = [
        key
        for key in get_known_keys()
        if not is_section(key) and get_flag(key) not in flags + options
    ]
    assert missing == []
    groups = [line.split()[0] for line in flags.splitlines() if line[2:3].strip()]
    assert groups == list(describe_groups())
    assert "--set judge.model=" in flags and "--min-gain" in flags


def test_the_help_names_values_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("check", "compare", "evaluate", "runs", "train"):
        assert run([command, "--help"]) == 0
        printed = capsys.readouterr().out
        assert not re.search("<[a-z]|list\\[", printed), printed
    assert "  RECIPE|DATA" in printed and "--out PATH" in printed


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (["check", "x", "--lr", "1"], "did you mean --learning-rate?"),
        (["evaluate", "--data", "x", "--lora-r", "1"], "did you mean --rank?"),
        (["estimate", "x", "--num-train-epochs", "1"], "did you mean --epochs?"),
        (
            ["chat", "m", "--lr", "1"],
            "did you mean --learning-rate? check, decide, estimate, evaluate and train take recipe "
            "keys as flags",
        ),
        (["chat", "m", "--mesage", "hi"], "did you mean --message?"),
        (["chat", "m", "--zzqq"], "see tunesmith chat --help"),
    ],
    ids=" ".join,
)
def test_a_wrong_flag_of_any_command_is_answered_with_the_one_that_was_meant(
    words: list[str], advice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words) == 2
    printed = capsys.readouterr().err
    assert "unknown flag --" in printed and printed.rstrip().endswith(f"hint: {advice}")


def test_a_flag_without_its_value_is_not_called_unknown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["chat", "m", "--message"]) == 2
    assert "'--message' requires" in capsys.readouterr().err


def test_the_list_of_commands_shows_each_summary_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    assert "..." not in capsys.readouterr().out.partition("Commands:")[2]


def test_keys_lists_each_key_with_its_flag_in_its_group(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["keys", "--json"]) == 0
    rows = {row["key"]: row for row in json.loads(capsys.readouterr().out)["keys"]}
    assert rows.keys() == {key for key in get_known_keys() if not is_section(key)}
    assert rows["requirements.min_gain"]["flag"] == "--min-gain"
    assert rows["training.batch_size"]["flag"] == "--set training.batch_size="
    assert run(["keys", "lora_alpha"]) == 0
    assert "--alpha" in capsys.readouterr().out


def test_a_flag_that_means_two_keys_is_refused_with_both() -> None:
    with pytest.raises(UsageError, match="two-keys") as caught:
        expand_recipe_flags(["d", "--beta", "1"], DECLARED)
    assert "dpo.beta, orpo.beta" in str(caught.value)


@pytest.mark.parametrize("rest", [[], ["--json"]])
def test_a_key_without_its_value_is_refused(rest: list[str]) -> None:
    with pytest.raises(UsageError, match="--min-gain needs a value"):
        expand_recipe_flags(["d", "--min-gain", *rest], DECLARED)


def test_the_schema_for_editors_has_every_key_and_allows_no_other(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["keys", "--schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    training = schema["$defs"]["TrainingRecipe"]
    assert schema["additionalProperties"] is training["additionalProperties"] is False
    keys = {key.rpartition(".")[2] for key in get_known_keys() if key.startswith("training.")}
    assert training["properties"].keys() == keys
    assert training["properties"]["lr_scheduler"]["enum"] == ["linear", "cosine", "constant"]
    assert training["properties"]["batch_size"]["maximum"] == 4096


def test_every_key_says_what_it_means() -> None:
    groups = describe_groups()
    assert [key.path for _, keys in groups.values() for key in keys if not key.description] == []
    allowed = {key.path: key.allowed for _, keys in groups.values() for key in keys}
    assert allowed["training.dtype"] == "auto, bfloat16 or float32"
    assert allowed["data.columns"] == "mapping"
    assert allowed["evaluation.external_answers"] == "list of text"
    assert allowed["training.epochs"] == "number or null, more than 0"
