"""Statistics where they are easily wrong: nothing seen, one seen, all the same, NaN; and their
promises simulated."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.comparison_stats import bootstrap_mean_interval, exact_interval
from benchmarks.non_inferiority import non_inferiority
from tunesmith.evaluation.stats.bootstrap import (
    _compute_bca_levels,
    bootstrap_interval,
    compute_expanded_level,
)
from tunesmith.evaluation.stats.intervals import (
    Interval,
    mean_interval,
    rate_interval,
)
from tunesmith.evaluation.stats.multiple_testing import holm_adjust
from tunesmith.evaluation.stats.paired_difference import (
    Difference,
    paired_difference,
    rate_difference,
    tango_interval,
)
from tunesmith.evaluation.stats.power_analysis import estimate_required_n
from tunesmith.evaluation.stats.seed_variance import summarize_seeds

SCORES = st.lists(st.floats(0, 1) | st.sampled_from([0.0, 1.0]), min_size=1, max_size=40)


def mean_of(sums: np.ndarray) -> np.ndarray:
    """The mean as a function of sums of (score, 1)."""
    return sums[..., 0] / np.maximum(sums[..., 1], 1)


def counts_of(scores: list[float]) -> np.ndarray:
    return np.array([(score, 1.0) for score in scores]).reshape(-1, 2)


def test_nothing_seen_says_nothing() -> None:
    assert rate_interval(0, 0) == mean_interval([]) == Interval(0.0, 0.0, 1.0, 0)
    assert bootstrap_interval(counts_of([]), mean_of, seed=0) == Interval(0.0, 0.0, 1.0, 0)
    assert paired_difference([], []) == Difference(0.0, -1.0, 1.0, 1.0, 0)
    assert estimate_required_n([]) is None


def test_one_seen_says_little() -> None:
    assert mean_interval([1.0]).low < 0.21
    low, high = mean_interval([0.5])[1:3]
    assert (low, high) == pytest.approx((0.0125, 0.9875))
    assert paired_difference([1.0], [0.0])[1:4] == pytest.approx((-0.9, 1.0, 0.5), abs=1e-9)
    one = paired_difference([0.7], [0.2])
    assert one.low < 0 < one.high and one.p == 1.0
    assert bootstrap_interval(counts_of([0.5]), mean_of, seed=0)[1:3] == pytest.approx(
        (0.0125, 0.9875)
    )


@pytest.mark.parametrize(
    "scores", [[0.2, 0.9], [0.0, 1.0], [0.5, 0.5001], [0.1, 0.1, 0.9], [0.0, 1.0, 1.0, 0.9]]
)
def test_a_few_units_have_a_wide_interval(scores: list[float]) -> None:
    few = bootstrap_interval(counts_of(scores), mean_of, seed=0)
    assert 0 <= few.low < few.value < few.high <= 1
    assert few.high - few.low > 0.5


def test_levels_stay_inside_whatever_bias_and_skewness() -> None:
    resampled = np.linspace(0, 1, 2000)
    for value in (-1.0, 0.0005, 0.5, 0.9995, 2.0):
        for left_out in ([0.1, 0.9], [0.0] * 30 + [1.0], [1.0] * 30 + [0.0], [0.4, 0.4]):
            for tail in (compute_expanded_level(2), 1e-300, 0.025):
                low, high = _compute_bca_levels(value, resampled, np.array(left_out), tail)
                assert 0 <= low <= high <= 1, (value, left_out, tail)


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_all_equal_is_not_certainty(value: float) -> None:
    for interval in (
        mean_interval([value] * 50),
        bootstrap_interval(counts_of([value] * 50), mean_of, seed=0),
    ):
        assert interval.value == pytest.approx(value)
        assert 0.03 < interval.high - interval.low < 0.15
        assert 0 <= interval.low <= interval.high <= 1


@pytest.mark.parametrize("n", [1, 5, 6, 60, 400])
@pytest.mark.parametrize("gain", [0.004, 0.1, 1.0])
def test_equal_differences_have_an_interval_that_agrees_with_p(n: int, gain: float) -> None:
    difference = paired_difference(
        [gain * 0.999] * n, [0.0] * n
    )  # 0.999: so that no case counts as right or wrong
    assert (difference.low > 0) == (difference.p < 0.05)


@pytest.mark.parametrize("bad", [[math.nan, 0.5], [1.5, 0.5], [-0.1, 0.2], [math.inf, 0.0]])
def test_what_is_no_score_is_refused(bad: list[float]) -> None:
    for refused in (
        lambda: mean_interval(bad),
        lambda: paired_difference(bad, [0, 0]),
        lambda: bootstrap_mean_interval(bad, 0),
        lambda: non_inferiority([0, 0], bad, 0.1),
        lambda: holm_adjust(bad),
        lambda: summarize_seeds(bad),
    ):
        with pytest.raises(ValueError, match="every score"):
            refused()
    with pytest.raises(ValueError, match="finite"):
        bootstrap_interval(np.array([[math.nan, 1.0]]), mean_of, seed=0)


def test_unpaired_scores_are_refused() -> None:
    with pytest.raises(ValueError, match="not 2 and 3"):
        paired_difference([0, 1], [0, 1, 1])
    with pytest.raises(ValueError, match="shape"):
        mean_interval([[0.5]])
    with pytest.raises(ValueError, match="3 of 2"):
        rate_interval(3, 2)


@given(SCORES, st.integers(0, 9))
def test_intervals_hold_their_value_and_stay_on_the_scale(scores: list[float], seed: int) -> None:
    mean = mean_interval(scores)
    assert 0 <= mean.low <= mean.value + 1e-12 and mean.value - 1e-12 <= mean.high <= 1
    assert mean.low < mean.high
    other = scores[::-1]
    forth, back = paired_difference(scores, other), paired_difference(other, scores)
    assert forth.low - 1e-12 <= forth.value <= forth.high + 1e-12
    assert (forth.value, forth.low, forth.p) == pytest.approx(
        (-back.value, -back.high, back.p), abs=1e-9
    )


def test_interval_excludes_zero_exactly_when_mcnemar_is_below_five_percent() -> None:
    for only_a, only_b in itertools.product(range(61), repeat=2):
        if only_b <= only_a <= 60 - only_b:  # the other half is the same with its sign turned
            for n in (only_a + only_b + 1, 400):
                difference = rate_difference(only_a, only_b, n)
                assert (difference.low > 0 or difference.high < 0) == (difference.p < 0.05), (
                    only_a,
                    only_b,
                    n,
                )


def test_tango_of_the_published_table() -> None:
    """Airway reactivity of 21 children (Bentur 2009) in Fagerland, Lydersen, Laake 2014: 1 against
    7 discordant."""
    assert tango_interval(1, 7, 21) == pytest.approx((-0.517, -0.026), abs=5e-4)


def test_examples_needed_is_more_than_were_seen_and_falls_with_the_difference() -> None:
    close, clear = [1.0] * 6 + [-1.0] * 5 + [0.0] * 29, [1.0] * 9 + [-1.0] * 2 + [0.0] * 29
    needed_close, needed_clear = estimate_required_n(close), estimate_required_n(clear)
    assert needed_close is not None and needed_clear is not None
    assert needed_close > needed_clear > 40
    assert estimate_required_n([0.0] * 9) is None and estimate_required_n([1.0, -1.0]) is None
    assert estimate_required_n([0.1] * 3) == math.ceil(math.log(40) / math.log(1.1))


def test_power_is_as_planned() -> None:
    """At the n that is called for, about 80 % of experiments see the difference."""
    draw = np.random.default_rng(5)
    pilot = np.repeat([1.0, -1.0, 0.0], [25, 15, 60])
    n = estimate_required_n(pilot)
    assert n is not None
    tables = draw.multinomial(n, [0.25, 0.15, 0.60], size=400)
    told = np.mean([rate_difference(a, b, n).p < 0.05 for a, b, _ in tables])
    assert 0.72 < told < 0.86


@pytest.mark.parametrize("n", [30, 100])
def test_coverage_of_the_paired_rate_interval(n: int) -> None:
    draw = np.random.default_rng(n)
    tables = draw.multinomial(n, [0.22, 0.12, 0.66], size=600)
    covered = np.mean([(d := rate_difference(a, b, n)).low <= 0.10 <= d.high for a, b, _ in tables])
    assert 0.935 < covered < 0.985


def test_coverage_of_mean_and_whole_set_intervals() -> None:
    draw = np.random.default_rng(7)
    worlds = draw.beta(2, 3, size=(300, 60))
    inside = [interval.low <= 0.4 <= interval.high for interval in map(mean_interval, worlds)]
    assert 0.92 < np.mean(inside) < 0.98
    inside = [
        (i := bootstrap_interval(counts_of(list(w)), mean_of, seed=1)).low <= 0.4 <= i.high
        for w in worlds[:150]
    ]
    assert 0.90 < np.mean(inside) < 0.99


def test_the_same_seed_gives_the_same_interval() -> None:
    scores = list(np.random.default_rng(0).random(30))
    first, again, other = (
        bootstrap_interval(counts_of(scores), mean_of, seed) for seed in (1, 1, 2)
    )
    assert first == again != other


def test_scores_near_the_end_of_the_scale_have_an_interval_that_leans_away_from_it() -> None:
    scores = [1.0] * 26 + [0.2, 0.5, 0.6, 0.9]
    mean = mean_interval(scores)
    assert mean.high < 1 and mean.value - mean.low > 1.5 * (mean.high - mean.value)


def test_exact_interval_holds_every_wilson_promise_and_more() -> None:
    assert exact_interval(0, 10)[1:3] == pytest.approx((0, 1 - 0.025**0.1))
    for n, p in itertools.product((10, 37), (0.05, 0.3, 0.5, 0.9)):
        chances = [math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]
        assert (
            sum(
                c
                for k, c in enumerate(chances)
                if exact_interval(k, n).low <= p <= exact_interval(k, n).high
            )
            >= 0.95
        )


@pytest.mark.parametrize("margin", [0.0, 0.05, 0.2])
def test_not_worse_exactly_when_the_interval_says_so(margin: float) -> None:
    """For right or wrong, graded and grouped answers: p < 0.025, the decision and the interval are
    one statement."""
    for only_a, only_b, n in itertools.product(range(12), range(12), (24, 60)):
        a = np.arange(n) < only_a
        b = (np.arange(n) >= only_a) & (np.arange(n) < only_a + only_b)
        held = non_inferiority(a, b, margin)
        assert held.is_non_inferior == (held.p < 0.025) == (held.difference.low > -margin), (
            only_a,
            only_b,
            n,
        )
    draw = np.random.default_rng(1)
    for world in range(60):
        a, b = draw.beta(5, 4, 30), draw.beta(4, 4, 30)
        held = non_inferiority(
            a, b, margin, None if world % 2 else [str(i // 3) for i in range(30)]
        )
        assert held.is_non_inferior == (held.p < 0.025) == (held.difference.low > -margin)


def test_not_worse_needs_a_margin_and_something_seen() -> None:
    with pytest.raises(ValueError, match="margin"):
        non_inferiority([1], [1], 1.0)
    assert not non_inferiority([], [], 0.5).is_non_inferior
    assert not non_inferiority(
        [1, 0], [1, 0], 0.1
    ).is_non_inferior  # two equal answers show nothing
    assert non_inferiority([1, 0] * 100, [1, 0] * 100, 0.1).is_non_inferior
    assert non_inferiority([0.5] * 30, [0.4] * 30, 0.1).p == pytest.approx((0.9 / 1.1) ** 30)


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_lies_between_no_correction_and_bonferroni(p_values: list[float]) -> None:
    adjusted = holm_adjust(p_values)
    for p, a in zip(p_values, adjusted, strict=True):
        assert p <= a <= min(1.0, p * len(p_values)) + 1e-12
    assert [adjusted[i] for i in np.argsort(p_values)] == sorted(adjusted)


def test_seeds_need_two_and_say_how_far_they_lie_apart() -> None:
    spread = summarize_seeds([0.80, 0.82, 0.84])
    assert spread == pytest.approx(
        (0.82, 0.02, 0.82 - 4.302653 * 0.02 / 3**0.5, 0.82 + 4.302653 * 0.02 / 3**0.5), abs=1e-6
    )
    assert summarize_seeds([0.0, 1.0])[2:] == (0.0, 1.0)
    with pytest.raises(ValueError, match="at least two, not 1"):
        summarize_seeds([0.8])


def test_bootstrap_of_a_mean_says_about_what_the_formula_says() -> None:
    scores = np.random.default_rng(2).beta(2, 2, 80)
    assert bootstrap_mean_interval(scores, 3)[1:3] == pytest.approx(
        mean_interval(scores)[1:3], abs=0.006
    )
    assert bootstrap_mean_interval([-0.5] * 20, 0, scale=(-1, 1))[1:3] == pytest.approx(
        (-0.584, -0.247), abs=1e-3
    )
