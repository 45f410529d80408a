"""The rise of general text against statsmodels: a weighted mean with its robust (HC1) error is the
same ratio."""

import numpy as np
import pytest
import statsmodels.api as sm

from tunesmith.evaluation.forgetting.probe_comparison import estimate_ratio


@pytest.mark.parametrize("n", [2, 30, 400])
def test_ratio_is_the_weighted_mean_with_its_robust_interval(n: int) -> None:
    draw = np.random.default_rng(n)
    tokens, amounts = draw.integers(60, 140, n).astype(float), draw.normal(5, 9, n)
    theirs = sm.WLS(amounts / tokens, np.ones(n), weights=tokens).fit(cov_type="HC1", use_t=True)
    value, half = estimate_ratio(amounts, tokens)
    low, high = theirs.conf_int(0.05)[0]
    assert value == pytest.approx(theirs.params[0], abs=1e-10)
    assert (value - half, value + half) == pytest.approx((low, high), abs=1e-10)
