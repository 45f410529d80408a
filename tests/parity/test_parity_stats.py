"""Our statistics against scipy's and statsmodels'. Tolerance 1e-10: the same formulas, other
roundings."""

import numpy as np
import pytest
from scipy import linalg, stats
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import DescrStatsW

from benchmarks.comparison_stats import (
    bootstrap_mean_interval,
    exact_interval,
    exact_mcnemar,
    sandwich_error,
    t_interval,
)
from benchmarks.non_inferiority import non_inferiority
from tunesmith.evaluation.scorers.label import LabelScorer
from tunesmith.evaluation.stats.bootstrap import (
    NUM_RESAMPLES,
    bootstrap_interval,
    compute_expanded_level,
)
from tunesmith.evaluation.stats.intervals import (
    mean_interval,
    rate_interval,
    unseen_range,
)
from tunesmith.evaluation.stats.multiple_testing import holm_adjust
from tunesmith.evaluation.stats.paired_difference import (
    paired_difference,
    rate_difference,
)
from tunesmith.evaluation.stats.power_analysis import (
    compute_power_of_means,
    compute_required_n,
    compute_required_n_for_means,
    estimate_required_n,
    minimum_detectable_mean_difference,
)
from tunesmith.evaluation.stats.seed_variance import summarize_seeds
from tunesmith.evaluation.stats.standard_error import standard_error


@pytest.mark.parametrize(
    ("successes", "n"), [(0, 1), (1, 1), (0, 80), (3, 80), (80, 80), (4999, 10_000)]
)
def test_rate_interval_is_wilson(successes: int, n: int) -> None:
    ours = rate_interval(successes, n)
    assert (ours.low, ours.high) == pytest.approx(
        proportion_confint(successes, n, method="wilson"), abs=1e-10
    )


@pytest.mark.parametrize(
    ("successes", "n"), [(0, 1), (1, 1), (0, 80), (3, 80), (80, 80), (4999, 10_000)]
)
def test_exact_interval_is_clopper_and_pearson(successes: int, n: int) -> None:
    ours = exact_interval(successes, n)
    assert (ours.low, ours.high) == pytest.approx(
        proportion_confint(successes, n, method="beta"), abs=1e-10
    )


@pytest.mark.parametrize("n", [3, 9, 300])
def test_t_interval_and_the_spread_of_seeds_are_students(n: int) -> None:
    scores = np.random.default_rng(n).beta(20, 20, n)
    theirs = DescrStatsW(scores)
    for low, high in (t_interval(scores)[1:3], summarize_seeds(list(scores))[2:]):
        assert (low, high) == pytest.approx(theirs.tconfint_mean(), abs=1e-10)
    assert summarize_seeds(list(scores)).standard_deviation == pytest.approx(
        np.std(scores, ddof=1), abs=1e-12
    )


@pytest.mark.parametrize(("successes", "n"), [(1, 30), (60, 80), (499, 500)])
def test_mean_interval_of_almost_right_or_wrong_scores_is_wilson_with_t_for_z(
    successes: int, n: int
) -> None:
    """Scores a hair off 0 and 1 are graded: s^2 is p (1 - p) n / (n - 1), so it is Wilson of n - 1
    with t's level."""
    scores = np.clip((np.arange(n) < successes).astype(float), 1e-13, 1 - 1e-13)
    level = 2 * stats.norm.sf(stats.t.ppf(0.975, n - 1))
    theirs = proportion_confint(successes * (n - 1) / n, n - 1, alpha=level, method="wilson")
    assert mean_interval(scores)[1:3] == pytest.approx(theirs, abs=1e-10)


@pytest.mark.parametrize("sizes", [(4,) * 12, (1, 2, 3, 9, 14, 5, 5, 1)])
def test_sandwich_error_is_statsmodels(sizes: tuple[int, ...]) -> None:
    group_N = np.repeat(np.arange(len(sizes)), sizes)
    values = np.random.default_rng(1).random(group_N.size) + 0.2 * group_N / len(sizes)
    theirs = OLS(values, np.ones_like(values)).fit(
        cov_type="cluster", cov_kwds={"groups": group_N}, use_t=True
    )
    assert sandwich_error(values, group_N) == pytest.approx(theirs.bse[0], abs=1e-10)


def test_groups_of_one_size_have_statsmodels_interval_and_p() -> None:
    """Error, degrees of freedom (G - 1), limits and p: right or wrong answers, and graded ones."""
    draw, group_N = np.random.default_rng(2), np.repeat(np.arange(15), 6)
    groups = [f"document {g}" for g in group_N]
    lean_N = draw.random(15)[group_N]
    for a, b in (
        ((draw.random(90) < lean_N).astype(float), (draw.random(90) < 0.4).astype(float)),
        (lean_N, draw.random(90)),
    ):
        theirs = OLS(a - b, np.ones(90)).fit(
            cov_type="cluster", cov_kwds={"groups": group_N}, use_t=True
        )
        ours = paired_difference(a, b, groups)
        assert (ours.low, ours.high, ours.p) == pytest.approx(
            (*theirs.conf_int()[0], theirs.pvalues[0]), abs=1e-10
        )
        assert (ours.clusters, ours.test) == (15, "clustered t")


@pytest.mark.parametrize("sizes", [(4,) * 9, (1, 2, 3, 9, 14, 5, 5, 1), (20, 1, 1, 1, 1, 1)])
def test_standard_error_in_groups_is_bell_and_mccaffreys(sizes: tuple[int, ...]) -> None:
    """The general matrices of a regression, with nothing but a constant to fit, and roots by
    scipy's sqrtm.

    No library here has CR2. The correlation inside groups is taken as ours estimates it: counted
    pair by pair.
    """
    group_N = np.repeat(np.arange(len(sizes)), sizes)
    n = group_N.size
    values = np.random.default_rng(3).random(n) + 0.5 * (group_N % 2)
    x = np.ones((n, 1))
    hat = x @ np.linalg.inv(x.T @ x) @ x.T
    residuals = values - values.mean()
    products, weights = [], []
    same = (group_N[:, None] == group_N) & ~np.eye(n, dtype=bool)
    r = max(0.0, np.outer(residuals, residuals)[same].mean() / residuals.var(ddof=1))
    working = np.where(group_N[:, None] == group_N, r, 0.0)
    np.fill_diagonal(working, 1.0)
    for g in range(len(sizes)):
        mine = group_N == g
        root = linalg.inv(linalg.sqrtm(np.eye(mine.sum()) - hat[np.ix_(mine, mine)]).real)
        products.append(float((x[mine].T @ root @ residuals[mine])[0]) ** 2)
        weights.append((np.eye(n) - hat)[:, mine] @ root @ x[mine][:, 0] / n)
    form = np.array(weights) @ working @ np.array(weights).T
    ours = standard_error(values, group_N)
    assert ours.value == pytest.approx(np.sqrt(sum(products)) / n, abs=1e-10)
    assert ours.degrees_of_freedom == pytest.approx(np.trace(form) ** 2 / (form**2).sum(), abs=1e-8)


def test_unseen_range_is_clopper_and_pearson_for_none_of_n() -> None:
    assert unseen_range(0.0, 40, 0.0, 1.0) == pytest.approx(
        proportion_confint(0, 40, method="beta"), abs=1e-10
    )


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (1, 0), (9, 2), (30, 30), (200, 160)])
def test_p_of_rates_is_mcnemar_as_mid_p(only_a: int, only_b: int) -> None:
    """The exact p of statsmodels less the chance of what was seen."""
    exact = mcnemar([[50, only_a], [only_b, 40]], exact=True).pvalue
    assert exact_mcnemar(only_a, only_b) == pytest.approx(exact, abs=1e-10)
    seen = stats.binom.pmf(only_a, only_a + only_b, 0.5) if only_a != only_b else 0.0
    ours = rate_difference(only_a, only_b, 90 + only_a + only_b)
    assert ours.p == pytest.approx(exact - seen, abs=1e-10)


@pytest.mark.parametrize("n", [2, 10, 400])
def test_graded_difference_is_the_paired_t_test(n: int) -> None:
    draw = np.random.default_rng(n)
    a, b = draw.beta(9, 8, n), draw.beta(9, 9, n)
    ours, theirs = paired_difference(a, b), stats.ttest_rel(a, b)
    assert ours.p == pytest.approx(theirs.pvalue, abs=1e-10)
    low, high = theirs.confidence_interval(0.95)
    assert (ours.low, ours.high) == pytest.approx((max(-1, low), min(1, high)), abs=1e-10)


def test_examples_needed_and_power_of_graded_scores_are_those_of_the_t_test() -> None:
    differences = np.random.default_rng(3).normal(0.02, 0.2, 50)
    mean, spread = differences.mean(), differences.std(ddof=1)
    theirs = TTestPower().solve_power(mean / spread, power=0.8, alpha=0.05)
    assert (
        estimate_required_n(differences)
        == compute_required_n_for_means(mean, spread)
        == int(np.ceil(theirs))
    )
    for n, shift in ((5, 0.4), (30, 0.1), (200, 0.02), (80, 0.0)):
        theirs = TTestPower().power(shift / 0.3, n, 0.05)
        assert compute_power_of_means(n, shift, 0.3) == pytest.approx(theirs, abs=1e-10)
    theirs = TTestPower().solve_power(nobs=40, power=0.8, alpha=0.05)
    assert minimum_detectable_mean_difference(40, 0.3) == pytest.approx(
        0.3 * theirs, abs=1e-7
    )  # their solver's tolerance


@pytest.mark.parametrize(("difference", "discordant"), [(0.1, 0.2), (0.05, 0.3), (0.02, 0.1)])
def test_examples_needed_of_rates_are_near_connors_formula(
    difference: float, discordant: float
) -> None:
    z, z_power = stats.norm.ppf([0.975, 0.8])
    connor = (
        (z * discordant**0.5 + z_power * (discordant - difference**2) ** 0.5) / difference
    ) ** 2
    assert compute_required_n(difference, discordant) == pytest.approx(connor, rel=0.03)


def test_holm_is_statsmodels() -> None:
    draw = np.random.default_rng(8)
    for m in (1, 2, 10, 30):
        p_values = draw.random(m) ** 3
        assert holm_adjust(p_values) == pytest.approx(
            list(multipletests(p_values, method="holm")[1]), abs=1e-10
        )


def test_non_inferiority_of_graded_scores_is_the_shifted_t_test() -> None:
    draw = np.random.default_rng(5)
    a, b = draw.beta(8, 9, 40), draw.beta(8, 8, 40)
    theirs = stats.ttest_rel(a + 0.1, b, alternative="greater").pvalue
    assert non_inferiority(a, b, 0.1).p == pytest.approx(theirs, abs=1e-10)


def test_bootstrap_is_scipys_bca() -> None:
    """The same resamples are drawn, so the limits agree to rounding; F1 is a skewed function of
    sums."""
    counts = np.random.default_rng(4).integers(0, 5, (37, 3)).astype(float)

    def ratio(sums: np.ndarray) -> np.ndarray:
        return sums[..., 0] / (sums.sum(axis=-1) + 1)

    def ratio_of_rows(rows: np.ndarray, axis: int) -> np.ndarray:
        return ratio(counts[rows.astype(int)].sum(axis=axis if axis >= 0 else rows.ndim + axis))

    theirs = stats.bootstrap(
        (np.arange(37),),
        ratio_of_rows,
        n_resamples=NUM_RESAMPLES,
        method="BCa",
        vectorized=True,
        confidence_level=1 - 2 * compute_expanded_level(37),
        rng=np.random.default_rng(11),
    ).confidence_interval
    ours = bootstrap_interval(counts, ratio, seed=11)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-10)


def test_bootstrap_of_a_mean_is_scipys_bca() -> None:
    scores = np.random.default_rng(4).beta(1, 3, 50)
    theirs = stats.bootstrap(
        (scores,),
        np.mean,
        n_resamples=NUM_RESAMPLES,
        confidence_level=1 - 2 * compute_expanded_level(50),
        rng=np.random.default_rng(9),
    ).confidence_interval
    ours = bootstrap_mean_interval(scores, seed=9)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-10)


def test_macro_f1_is_the_mean_of_each_labels_f1() -> None:
    """Counted the long way, as in the textbook: no library of this environment has macro-F1."""
    draw = np.random.default_rng(6)
    labels = ["a", "b", "c", "d"]
    wanted, given = draw.choice(labels[:3], 80), draw.choice([*labels, "?"], 80)
    f1 = []
    for label in sorted(set(wanted)):
        hit, precision_n, recall_n = (
            np.sum((given == label) & (wanted == label)),
            np.sum(given == label),
            np.sum(wanted == label),
        )
        precision, recall = hit / max(precision_n, 1), hit / recall_n
        f1.append(2 * precision * recall / (precision + recall) if hit else 0.0)
    metric = LabelScorer(labels).corpus_metrics["macro_f1"]
    sums = np.sum([metric.count(g, w) for g, w in zip(given, wanted, strict=True)], axis=0)
    assert float(metric.combine(sums)) == pytest.approx(np.mean(f1), abs=1e-12)
