"""The examples that would settle a difference, against statsmodels' power of a one-sample z test.

The paired differences are one sample with standard deviation s * sqrt(n); statsmodels solves for n
by root finding and also counts the far tail (a rejection with the wrong sign), which at 80 % power
is under 1e-6: one example of tolerance.
"""

import pytest
from statsmodels.stats.power import NormalIndPower

from tunesmith.decision.costlier_comparison import estimate_required_examples

Z_INTERVAL = 1.959964


@pytest.mark.parametrize(
    ("distance", "deviation", "n"), [(0.03, 0.4, 200), (0.1, 0.5, 60), (0.005, 0.2, 1000)]
)
def test_needed_examples_agree_with_statsmodels(distance: float, deviation: float, n: int) -> None:
    half = Z_INTERVAL * deviation / n**0.5
    ours = estimate_required_examples(distance, 0.5 - half, 0.5 + half, n)
    theirs = NormalIndPower().solve_power(
        effect_size=distance / deviation, alpha=0.05, power=0.8, ratio=0
    )
    assert ours == pytest.approx(theirs, abs=1)


def test_on_the_threshold_nothing_can_be_promised_and_more_is_always_more() -> None:
    assert estimate_required_examples(0.0, 0.4, 0.6, 100) is None
    assert estimate_required_examples(0.5, 0.4, 0.6, 100) == 101
