"""Our statistics against scipy's and statsmodels'. Tolerance 1e-10: the same formulas, other roundings."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.power import normal_sample_size_one_tail
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import DescrStatsW

from tunesmith.evaluation.scorers.label import LabelScorer
from tunesmith.evaluation.stats.bootstrap import RESAMPLES, whole_set_interval
from tunesmith.evaluation.stats.intervals import mean_interval, rate_interval, unseen_range
from tunesmith.evaluation.stats.paired import paired_difference, rate_difference
from tunesmith.evaluation.stats.power import examples_needed


@pytest.mark.parametrize(("successes", "n"), [(0, 1), (1, 1), (0, 80), (3, 80), (80, 80), (4999, 10_000)])
def test_rate_interval_is_wilson(successes: int, n: int) -> None:
    ours = rate_interval(successes, n)
    assert (ours.low, ours.high) == pytest.approx(proportion_confint(successes, n, method="wilson"), abs=1e-10)


@pytest.mark.parametrize("n", [3, 9, 300])
def test_mean_interval_is_students(n: int) -> None:
    scores = np.random.default_rng(n).beta(20, 20, n)
    ours = mean_interval(scores)
    assert (ours.low, ours.high) == pytest.approx(DescrStatsW(scores).tconfint_mean(), abs=1e-10)


def test_unseen_range_is_clopper_and_pearson_for_none_of_n() -> None:
    assert unseen_range(0.0, 40, 0.0, 1.0) == pytest.approx(proportion_confint(0, 40, method="beta"), abs=1e-10)


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (1, 0), (9, 2), (30, 30), (200, 160)])
def test_p_of_rates_is_exact_mcnemar(only_a: int, only_b: int) -> None:
    theirs = mcnemar([[50, only_a], [only_b, 40]], exact=True).pvalue
    assert rate_difference(only_a, only_b, 90 + only_a + only_b).p == pytest.approx(theirs, abs=1e-10)


@pytest.mark.parametrize("n", [2, 10, 400])
def test_graded_difference_is_the_paired_t_test(n: int) -> None:
    draw = np.random.default_rng(n)
    a, b = draw.beta(9, 8, n), draw.beta(9, 9, n)
    ours, theirs = paired_difference(a, b), stats.ttest_rel(a, b)
    assert ours.p == pytest.approx(theirs.pvalue, abs=1e-10)
    low, high = theirs.confidence_interval(0.95)
    assert (ours.low, ours.high) == pytest.approx((max(-1, low), min(1, high)), abs=1e-10)


def test_examples_needed_is_the_normal_sample_size() -> None:
    differences = np.random.default_rng(3).normal(0.02, 0.2, 50)
    theirs = normal_sample_size_one_tail(differences.mean(), 0.8, 0.025, std_null=differences.std(ddof=1))
    assert examples_needed(differences) == int(np.ceil(theirs))


def test_bootstrap_is_scipys_bca() -> None:
    """The same resamples are drawn, so the limits agree to rounding; F1 is a skewed function of sums."""
    counts = np.random.default_rng(4).integers(0, 5, (37, 3)).astype(float)

    def ratio(sums: np.ndarray) -> np.ndarray:
        return sums[..., 0] / (sums.sum(axis=-1) + 1)

    def ratio_of_rows(rows: np.ndarray, axis: int) -> np.ndarray:
        return ratio(counts[rows.astype(int)].sum(axis=axis if axis >= 0 else rows.ndim + axis))

    theirs = stats.bootstrap(
        (np.arange(37),),
        ratio_of_rows,
        n_resamples=RESAMPLES,
        method="BCa",
        vectorized=True,
        rng=np.random.default_rng(11),
    ).confidence_interval
    ours = whole_set_interval(counts, ratio, seed=11)
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
    metric = LabelScorer(labels).whole_set["macro_f1"]
    sums = np.sum([metric.count(g, w) for g, w in zip(given, wanted, strict=True)], axis=0)
    assert float(metric.combine(sums)) == pytest.approx(np.mean(f1), abs=1e-12)
