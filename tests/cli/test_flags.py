"""Recipe keys as flags: what a person types, and what the parser is given."""

import pytest

from tunesmith.cli.flags import with_recipe_flags
from tunesmith.errors import UsageError

DECLARED = {"--set", "--out", "--json", "--minutes", "--help"}


@pytest.mark.parametrize(
    ("typed", "given"),
    [
        ("data.csv --json", "data.csv --json"),
        ("--min-gain 0.02 data.csv", "data.csv --set bar.min_gain=0.02"),
        ("data.csv --min-gain=0.02", "data.csv --set bar.min_gain=0.02"),
        ("data.csv --max-latency 2", "data.csv --set bar.max_latency_seconds=2"),
        ("data.csv --strict --out x", "data.csv --out x --set strict=true"),
        ("data.csv --strict=false", "data.csv --set strict=false"),
        ("d --answers a.csv --answers b.csv", 'd --set evaluation.answers=["a.csv", "b.csv"]'),
        ("d --allow-leaks near", 'd --set data.allow_leaks=["near"]'),
        ("d --minutes 3", "d --minutes 3"),
        ("d --no-such-flag", "d --no-such-flag"),
        ("d --strict -- --strict", "d --set strict=true -- --strict"),
    ],
)
def test_a_flag_that_names_a_key_is_spelled_out(typed: str, given: str) -> None:
    found = with_recipe_flags(typed.split(), DECLARED)
    assert " ".join(found) == given


def test_a_flag_that_means_two_keys_is_refused_with_both() -> None:
    with pytest.raises(UsageError, match="two-keys") as caught:
        with_recipe_flags(["d", "--beta", "1"], DECLARED)
    assert "dpo.beta, orpo.beta" in str(caught.value)


@pytest.mark.parametrize("rest", [[], ["--json"]])
def test_a_key_without_its_value_is_refused(rest: list[str]) -> None:
    with pytest.raises(UsageError, match="--min-gain needs a value"):
        with_recipe_flags(["d", "--min-gain", *rest], DECLARED)
