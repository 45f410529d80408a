"""What a test set can show, counted the long way and asked backwards."""

import itertools
import math

import pytest

from tunesmith.evaluation.stats.paired_difference import rate_difference
from tunesmith.evaluation.stats.power_analysis import (
    MIN_NORMAL_APPROXIMATION_N,
    compute_power,
    compute_power_of_means,
    compute_required_n,
    compute_required_n_for_means,
    minimum_detectable_difference,
    minimum_detectable_mean_difference,
)


@pytest.mark.parametrize(
    ("n", "difference", "discordant"),
    [(30, 0.2, 0.3), (25, 0.0, 0.5), (40, 0.1, 0.1), (12, 1.0, 1.0)],
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
    assert compute_power(n, difference, discordant) == pytest.approx(told, abs=1e-10)
    assert compute_power(n, -difference, discordant) == compute_power(n, difference, discordant)


@pytest.mark.parametrize("discordant", [0.0, 0.05, 0.2, 0.5, 0.9])
def test_what_is_needed_and_what_can_be_shown_are_one_question(discordant: float) -> None:
    for n in (20, 80, 400, 3000):
        least = minimum_detectable_difference(n, discordant)
        assert compute_power(n, least, max(least, discordant)) == pytest.approx(0.8, abs=1e-6)
        assert compute_required_n(least, discordant) == pytest.approx(
            n, abs=max(2, 0.01 * n)
        )  # counts: power rises in steps
    assert (
        minimum_detectable_difference(400, discordant)
        < minimum_detectable_difference(80, discordant)
        < minimum_detectable_difference(20, discordant)
    )


def test_needed_is_the_least_number_that_has_the_power() -> None:
    for difference, discordant in ((0.1, 0.2), (0.05, 0.05), (0.3, 0.4)):
        n = compute_required_n(difference, discordant)
        assert (
            compute_power(n, difference, discordant)
            >= 0.8
            > compute_power(n - 1, difference, discordant)
        )


def test_power_at_many_examples_goes_on_where_the_exact_sum_ends() -> None:
    for difference, discordant in ((0.01, 0.2), (0.003, 0.1), (0.005, 0.3)):
        before, after = (
            compute_power(n, difference, discordant)
            for n in (MIN_NORMAL_APPROXIMATION_N - 1, MIN_NORMAL_APPROXIMATION_N)
        )
        assert before == pytest.approx(after, abs=1e-3)
    assert (
        compute_required_n(0.0001, 0.3) > 200_000_000
        and compute_power(MIN_NORMAL_APPROXIMATION_N, 1.0, 1.0) == 1.0
    )


def test_too_few_examples_show_nothing() -> None:
    assert (
        minimum_detectable_difference(4, 0.2)
        == minimum_detectable_difference(0, 0.2)
        == minimum_detectable_mean_difference(1, 0.2)
        == math.inf
    )
    assert (
        compute_power(0, 0.5, 0.5)
        == compute_power(10, 0.0, 0.0)
        == compute_power_of_means(1, 0.5, 0.1)
        == 0
    )
    assert compute_required_n(1.0, 0.3) == 5 and compute_required_n_for_means(0.5, 0.001) == 2


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: compute_required_n(0.0, 0.2), "no number of examples"),
        (lambda: compute_required_n_for_means(0.0, 0.2), "no number of examples"),
        (lambda: compute_required_n(math.nan, 0.2), "a difference lies in"),
        (lambda: compute_required_n_for_means(math.nan, 0.2), "no number of examples"),
        (lambda: compute_power(10, 0.1, 1.1), "a share in"),
        (lambda: compute_power(-1, 0.1, 0.2), "cannot be -1"),
        (lambda: minimum_detectable_difference(-1, 0.2), "cannot be -1"),
        (lambda: minimum_detectable_mean_difference(10, 0.0), "a spread above 0"),
    ],
)
def test_what_cannot_be_asked_is_refused(wrong: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wrong()  # type: ignore[operator]


def test_graded_scores_are_planned_with_their_spread() -> None:
    for n, spread in ((10, 0.2), (80, 0.4), (5000, 0.3)):
        least = minimum_detectable_mean_difference(n, spread)
        assert compute_power_of_means(n, least, spread) == pytest.approx(0.8, abs=1e-6)
        assert compute_required_n_for_means(least, spread) == pytest.approx(n, abs=1)
    assert compute_power_of_means(80, 5.0, 0.4) == 1.0  # where scipy's lower tail is NaN
