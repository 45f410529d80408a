"""What a test set can show, counted the long way and asked backwards."""

import itertools
import math

import pytest

from tunesmith.evaluation.stats.paired import rate_difference
from tunesmith.evaluation.stats.power import (
    MANY,
    minimum_detectable,
    minimum_detectable_mean,
    needed_for,
    needed_for_mean,
    power_at,
    power_at_mean,
)


@pytest.mark.parametrize(
    ("n", "difference", "discordant"), [(30, 0.2, 0.3), (25, 0.0, 0.5), (40, 0.1, 0.1), (12, 1.0, 1.0)]
)
def test_power_is_the_chance_of_all_tables_that_the_test_calls_different(
    n: int, difference: float, discordant: float
) -> None:
    p_a, p_b = (discordant + difference) / 2, (discordant - difference) / 2
    told = 0.0
    for a, b in itertools.product(range(n + 1), repeat=2):
        if a + b <= n and rate_difference(a, b, n).p < 0.05:
            ways = math.comb(n, a) * math.comb(n - a, b)
            told += ways * p_a**a * p_b**b * (1 - p_a - p_b) ** (n - a - b)
    assert power_at(n, difference, discordant) == pytest.approx(told, abs=1e-10)
    assert power_at(n, -difference, discordant) == power_at(n, difference, discordant)


@pytest.mark.parametrize("discordant", [0.0, 0.05, 0.2, 0.5, 0.9])
def test_what_is_needed_and_what_can_be_shown_are_one_question(discordant: float) -> None:
    for n in (20, 80, 400, 3000):
        least = minimum_detectable(n, discordant)
        assert power_at(n, least, max(least, discordant)) == pytest.approx(0.8, abs=1e-6)
        assert needed_for(least, discordant) == pytest.approx(n, abs=max(2, 0.01 * n))  # counts: power rises in steps
    assert minimum_detectable(400, discordant) < minimum_detectable(80, discordant) < minimum_detectable(20, discordant)


def test_needed_is_the_least_number_that_has_the_power() -> None:
    for difference, discordant in ((0.1, 0.2), (0.05, 0.05), (0.3, 0.4)):
        n = needed_for(difference, discordant)
        assert power_at(n, difference, discordant) >= 0.8 > power_at(n - 1, difference, discordant)


def test_power_at_many_examples_goes_on_where_the_exact_sum_ends() -> None:
    for difference, discordant in ((0.01, 0.2), (0.003, 0.1), (0.005, 0.3)):
        before, after = (power_at(n, difference, discordant) for n in (MANY - 1, MANY))
        assert before == pytest.approx(after, abs=1e-3)
    assert needed_for(0.0001, 0.3) > 200_000_000 and power_at(MANY, 1.0, 1.0) == 1.0


def test_too_few_examples_show_nothing() -> None:
    assert minimum_detectable(4, 0.2) == minimum_detectable(0, 0.2) == minimum_detectable_mean(1, 0.2) == math.inf
    assert power_at(0, 0.5, 0.5) == power_at(10, 0.0, 0.0) == power_at_mean(1, 0.5, 0.1) == 0
    assert needed_for(1.0, 0.3) == 5 and needed_for_mean(0.5, 0.001) == 2


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: needed_for(0.0, 0.2), "no number of examples"),
        (lambda: needed_for_mean(0.0, 0.2), "no number of examples"),
        (lambda: needed_for(math.nan, 0.2), "a difference lies in"),
        (lambda: needed_for_mean(math.nan, 0.2), "no number of examples"),
        (lambda: power_at(10, 0.1, 1.1), "a share in"),
        (lambda: power_at(-1, 0.1, 0.2), "cannot be -1"),
        (lambda: minimum_detectable(-1, 0.2), "cannot be -1"),
        (lambda: minimum_detectable_mean(10, 0.0), "a spread above 0"),
    ],
)
def test_what_cannot_be_asked_is_refused(wrong: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wrong()  # type: ignore[operator]


def test_graded_scores_are_planned_with_their_spread() -> None:
    for n, spread in ((10, 0.2), (80, 0.4), (5000, 0.3)):
        least = minimum_detectable_mean(n, spread)
        assert power_at_mean(n, least, spread) == pytest.approx(0.8, abs=1e-6)
        assert needed_for_mean(least, spread) == pytest.approx(n, abs=1)
    assert power_at_mean(80, 5.0, 0.4) == 1.0  # where scipy's lower tail is NaN
