"""What n test examples can detect, and how many examples a difference needs: 80 % power at a
two-sided 5 % level.

Right or wrong: the power of the test that is actually used (mid-p McNemar, `paired_difference`),
not of its normal approximation. Of n examples the two contenders disagree on m, where m is binomial
with the fraction of disagreements; of these a wins a binomial fraction
(1 + d / disagreements) / 2; the test is significant if the wins are too many or too few for 1/2:

    power = sum_m P(m of n) * P(wins outside the limits of m)    (from 20,000 examples on: Connor's)

The fraction of disagreements must be observed or assumed; it is never below the difference itself.
Graded scores: the power of the paired t test (noncentral t) with a standard deviation of the paired
differences.

Sources: Connor 1987, Biometrics 43:207 (unconditional power of McNemar's test); Cohen 1988,
"Statistical Power Analysis for the Behavioral Sciences".

M numbers of disagreements, N examples.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special

from tunesmith.evaluation.stats.significance import (
    ALPHA,
    ZERO_TOLERANCE,
    FloatArray,
    IntArray,
    Z,
    check_scores,
    number_groups,
)
from tunesmith.evaluation.stats.standard_error import standard_error

POWER = 0.8
Z_POWER = float(special.ndtri(POWER))
# Standard deviations beyond which a binomial probability is negligible.
TAIL_DEVIATIONS = 10
# From here on the normal approximation differs by less than 0.0005, and it is faster.
MIN_NORMAL_APPROXIMATION_N = 20_000
# A shift of t beyond which the wrong tail is below 1e-9, and where scipy's nct fails to compute it.
NO_LOWER_TAIL = 6.0


def compute_power(n: int, difference: float, discordant: float) -> float:
    """The probability that n examples make this difference of two right-or-wrong contenders
    significant.

    `discordant` is the fraction of examples on which exactly one of the two is right.
    Errors: ValueError on fractions outside [0, 1] and a negative n.
    """
    _check_n(n)
    difference, discordant = _check_fractions(difference, discordant)
    if n == 0 or discordant == 0:
        return 0.0
    if n >= MIN_NORMAL_APPROXIMATION_N:
        shift = difference * math.sqrt(n) - Z * math.sqrt(discordant)
        return (
            float(special.ndtr(shift / math.sqrt(discordant - difference**2)))
            if difference < 1
            else 1.0
        )
    from scipy import stats  # imported here: half a second and 20 MB that large n do not need

    mean, spread = n * discordant, math.sqrt(n * discordant * (1 - discordant))
    m_M = np.arange(
        max(0, math.floor(mean - TAIL_DEVIATIONS * spread) - 1),
        min(n, math.ceil(mean + TAIL_DEVIATIONS * spread) + 1) + 1,
    )
    # Significant: at most `most_M` wins, or at most `most_M` losses.
    most_M = _max_losses(m_M)
    wins = (1 + difference / discordant) / 2
    told_M = stats.binom.cdf(most_M, m_M, wins) + stats.binom.sf(m_M - most_M - 1, m_M, wins)
    return min(1.0, float((stats.binom.pmf(m_M, n, discordant) * told_M).sum()))


def minimum_detectable_difference(n: int, discordant: float) -> float:
    """The smallest difference that n right-or-wrong examples detect with 80 % power; inf for n < 5,
    which detect nothing.

    If it exceeds `discordant`, every disagreement is a win, and their fraction equals the
    difference.
    """
    _check_n(n)
    _check_fractions(0.0, discordant)
    return _solve_difference(lambda difference: compute_power(n, difference, discordant), 1.0)


def compute_required_n(difference: float, discordant: float) -> int:
    """The number of examples that detect this difference of two right-or-wrong contenders.

    Errors: ValueError for a difference of 0.
    """
    difference, discordant = _check_fractions(difference, discordant)
    guess = (
        Z * math.sqrt(discordant) + Z_POWER * math.sqrt(discordant - difference**2)
    ) / _check_nonzero(difference)
    return _solve_n(lambda n: compute_power(n, difference, discordant), guess**2)


def compute_power_of_means(n: int, difference: float, standard_deviation: float) -> float:
    """As `compute_power`, for graded scores; `standard_deviation` is that of the paired
    differences, above 0."""
    _check_n(n)
    if not (math.isfinite(difference) and 0 < standard_deviation < math.inf):
        raise ValueError(
            f"power needs a difference and a spread above 0, not {difference} and"
            f" {standard_deviation}"
        )
    if n < 2:
        return 0.0
    from scipy import stats

    limit, shift = (
        stats.t.ppf(1 - ALPHA / 2, n - 1),
        abs(difference) * math.sqrt(n) / standard_deviation,
    )
    # Significance in the wrong direction is part of the two-sided test's power.
    wrong = float(stats.nct.cdf(-limit, n - 1, shift)) if shift < NO_LOWER_TAIL else 0.0
    return float(stats.nct.sf(limit, n - 1, shift)) + wrong


def minimum_detectable_mean_difference(n: int, standard_deviation: float) -> float:
    """As `minimum_detectable_difference`, for graded scores; may exceed the range of scores; inf
    for n < 2."""
    return _solve_difference(
        lambda difference: compute_power_of_means(n, difference, standard_deviation),
        100 * standard_deviation,
    )


def compute_required_n_for_means(difference: float, standard_deviation: float) -> int:
    """As `compute_required_n`, for graded scores."""
    guess = ((Z + Z_POWER) * standard_deviation / _check_nonzero(difference)) ** 2
    return _solve_n(lambda n: compute_power_of_means(n, difference, standard_deviation), guess)


def estimate_required_n(differences: ArrayLike, groups: Sequence[str] | None = None) -> int | None:
    """The n at which a difference of the observed size would be significant; None if there is no
    difference.

    At least one more than the observed number, so ask only if these examples were not enough. For
    groups it assumes that further examples have groups of such sizes and the same correlation.
    """
    differences_N = check_scores(differences, low=-1.0, high=1.0)
    mean = float(differences_N.mean()) if differences_N.size else 0.0
    if abs(mean) < ZERO_TOLERANCE:
        return None
    return max(differences_N.size + 1, _estimate_n(differences_N, abs(mean), groups))


def _estimate_n(differences_N: FloatArray, mean: float, groups: Sequence[str] | None) -> int:
    n, group_N = differences_N.size, number_groups(groups, differences_N.size)
    error = standard_error(differences_N, group_N)
    if group_N is None and np.isin(differences_N, (-1.0, 0.0, 1.0)).all():
        return compute_required_n(mean, float((differences_N != 0).mean()))
    if error.value < ZERO_TOLERANCE:  # then the test is p = 2 (1 + |d|)^-units, solved for n
        return math.ceil(math.log(2 / ALPHA) / math.log1p(mean) * n / error.units)
    return compute_required_n_for_means(mean, error.value * math.sqrt(n))


def _max_losses(m_M: IntArray) -> FloatArray:
    """The largest number of losses among m disagreements with mid-p below 5 %; -1 if none."""
    from scipy import stats

    # The first count with a tail of at least 2.5 %: the limit is this count or the one below it.
    first_M = stats.binom.ppf(ALPHA / 2, m_M, 0.5)
    mid_M = (stats.binom.cdf(first_M - 1, m_M, 0.5) + stats.binom.cdf(first_M, m_M, 0.5)) / 2
    return np.asarray(np.where(mid_M < ALPHA / 2, first_M, first_M - 1), dtype=np.float64)


def _solve_difference(power: Callable[[float], float], largest: float) -> float:
    """The difference in (0, largest] at which the power reaches 80 %; inf if it never does."""
    if power(largest) < POWER:
        return math.inf
    return float(
        optimize.brentq(lambda difference: power(difference) - POWER, 0.0, largest, xtol=1e-9)
    )


def _solve_n(power: Callable[[int], float], guess: float) -> int:
    """The n at which the power reaches 80 %, by doubling from a guess and bisection."""
    low, high = 0, max(5, math.ceil(guess))
    while power(high) < POWER:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if power(middle) < POWER else (low, middle)
    return high


def _check_nonzero(difference: float) -> float:
    """The absolute difference. Errors: ValueError if it is 0."""
    if not abs(difference) >= ZERO_TOLERANCE:
        raise ValueError(f"no number of examples makes a difference of {difference} significant")
    return abs(difference)


def _check_n(n: int) -> None:
    if n < 0:
        raise ValueError(f"the number of examples cannot be {n}")


def _check_fractions(difference: float, discordant: float) -> tuple[float, float]:
    """(absolute difference, fraction of disagreements, which is at least as large)."""
    if not (abs(difference) <= 1 and 0 <= discordant <= 1):
        raise ValueError(
            f"a difference lies in [-1, 1] and a share in [0, 1], not {difference} and {discordant}"
        )
    return abs(difference), max(discordant, abs(difference))
