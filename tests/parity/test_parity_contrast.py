"""Contrasts of error groups against statsmodels and scipy; the same formulas, other roundings."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep

from tunesmith.analysis.rate_differences import (
    adjust_p_values,
    compare_parts,
    compare_rates,
    newcombe_interval,
)
from tunesmith.analysis.run_diff import compute_score_difference


@pytest.mark.parametrize(
    "table", [(3, 10, 20, 390), (0, 5, 0, 9), (5, 5, 1, 100), (40, 80, 30, 90)]
)
def test_newcombe_is_statsmodels(table: tuple[int, int, int, int]) -> None:
    low, high = confint_proportions_2indep(*table, method="newcomb", compare="diff")
    assert newcombe_interval(*table)[1:] == pytest.approx((low, high), abs=1e-10)


def test_a_group_against_the_rest_is_fishers_exact_test() -> None:
    """The one-sided p is the upper tail of the hypergeometric distribution."""
    assert compare_rates(3, 10, 20, 390).p == pytest.approx(
        stats.hypergeom.sf(2, 400, 23, 10), abs=1e-12
    )


def test_parts_of_the_same_examples_are_a_clustered_difference() -> None:
    """A linear model of every part on "is it this field", with errors clustered by example.

    statsmodels' own small-sample factor for clusters, G / (G - 1) * (N - 1) / (N - 2), is divided
    out for the second part of it, which ours has not.
    """
    draw = np.random.default_rng(0)
    n_I, m_I = draw.integers(0, 2, 80), draw.integers(1, 5, 80)
    hard_I = draw.uniform(0.1, 0.7, 80)
    x_I, y_I = draw.binomial(n_I, hard_I), draw.binomial(m_I, hard_I / 2)
    rows = [
        (i, is_field, k < hits)
        for i in range(80)
        for is_field, of, hits in ((1, n_I[i], x_I[i]), (0, m_I[i], y_I[i]))
        for k in range(of)
    ]
    group, is_field, wrong = np.array(rows, dtype=float).T
    fit = sm.OLS(wrong, sm.add_constant(is_field)).fit(
        cov_type="cluster", cov_kwds={"groups": group}, use_t=True
    )
    factor = np.sqrt((len(rows) - 2) / (len(rows) - 1))
    ours = compare_parts(*(a.astype(float) for a in (x_I, n_I, y_I, m_I)))
    assert ours.value == pytest.approx(fit.params[1], abs=1e-10)
    half = stats.t.ppf(0.975, 79) * fit.bse[1] * factor
    assert (ours.low, ours.high) == pytest.approx((ours.value - half, ours.value + half), abs=1e-10)
    assert ours.p == pytest.approx(stats.t.sf(fit.params[1] / (fit.bse[1] * factor), 79), abs=1e-10)


def test_groups_that_were_not_found_count_in_the_family() -> None:
    p = np.random.default_rng(1).uniform(0, 0.2, 12)
    assert adjust_p_values(list(p)) == pytest.approx(
        list(multipletests(p, method="holm")[1]), abs=1e-12
    )
    with_ones = multipletests([*p, *[1.0] * 30], method="holm")[1][:12]
    assert adjust_p_values(list(p), family=42) == pytest.approx(list(with_ones), abs=1e-12)


def test_graded_scores_of_other_examples_are_welchs() -> None:
    draw = np.random.default_rng(2)
    a, b = draw.beta(4, 3, 40), draw.beta(5, 3, 55)
    ours = compute_score_difference(
        {f"a{i}": float(x) for i, x in enumerate(a)}, {f"b{i}": float(x) for i, x in enumerate(b)}
    )
    theirs = sm.stats.CompareMeans(sm.stats.DescrStatsW(b), sm.stats.DescrStatsW(a))
    assert (ours.low, ours.high) == pytest.approx(theirs.tconfint_diff(usevar="unequal"), abs=1e-10)
    assert ours.p == pytest.approx(theirs.ttest_ind(usevar="unequal")[1], abs=1e-10)


def test_rates_of_other_examples_are_newcombe_and_fisher() -> None:
    first, second = (
        {f"{name}{i}": float(i < right) for i in range(n)}
        for name, right, n in (("a", 20, 50), ("b", 33, 60))
    )
    ours = compute_score_difference(first, second)
    assert (ours.low, ours.high) == pytest.approx(
        confint_proportions_2indep(33, 60, 20, 50, method="newcomb", compare="diff"), abs=1e-10
    )
    assert ours.p == pytest.approx(stats.fisher_exact([[33, 27], [20, 30]]).pvalue, abs=1e-12)
