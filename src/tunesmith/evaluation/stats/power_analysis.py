"""What n test examples can show, how many a difference needs: 80 % power at a two-sided 5 % level.

Right or wrong: the power of the very test that is used (mid-p McNemar, `paired`), not of its normal approximation.
Of n examples the two contenders disagree on m, m being binomial with the share of disagreements; of these a wins a
binomial share (1 + d / disagreements) / 2; the test tells a difference when the wins are too many or too few for 1/2:

    power = sum_m P(m of n) * P(wins outside the limits of m)                       (from 20,000 examples on: Connor's)

The share of disagreements must be seen or assumed; it is never less than the difference itself.
Graded scores: the power of the paired t test (noncentral t) with a standard deviation of the paired differences.

Sources: Connor 1987, Biometrics 43:207 (unconditional power of McNemar's test); Cohen 1988, "Statistical Power Analysis
for the Behavioral Sciences".
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special

from tunesmith.evaluation.stats.score_validation import (
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
TAIL_DEVIATIONS = 10  # standard deviations beyond which a binomial share is nothing
MIN_NORMAL_APPROXIMATION_N = (
    20_000  # examples from which on the normal power differs by less than 0.0005 and is quicker
)
NO_LOWER_TAIL = 6.0  # a shift of t from which on the wrong direction has less than 1e-9, and scipy's nct fails at it


def compute_power(n: int, difference: float, discordant: float) -> float:
    """The chance that n examples tell this difference of two right-or-wrong contenders from noise.

    `discordant` is the share of examples on which one of the two is right and the other wrong.
    Errors: ValueError on shares outside [0, 1] and a negative n.
    """
    _check_n(n)
    difference, discordant = _check_fractions(difference, discordant)
    if n == 0 or discordant == 0:
        return 0.0
    if n >= MIN_NORMAL_APPROXIMATION_N:
        shift = difference * math.sqrt(n) - Z * math.sqrt(discordant)
        return float(special.ndtr(shift / math.sqrt(discordant - difference**2))) if difference < 1 else 1.0
    from scipy import stats  # here: half a second and 20 MB that large test sets do without

    mean, spread = n * discordant, math.sqrt(n * discordant * (1 - discordant))
    m_M = np.arange(
        max(0, math.floor(mean - TAIL_DEVIATIONS * spread) - 1),
        min(n, math.ceil(mean + TAIL_DEVIATIONS * spread) + 1) + 1,
    )
    most_M = _max_losses(m_M)
    wins = (1 + difference / discordant) / 2
    told_M = stats.binom.cdf(most_M, m_M, wins) + stats.binom.sf(m_M - most_M - 1, m_M, wins)
    return min(1.0, float((stats.binom.pmf(m_M, n, discordant) * told_M).sum()))


def minimum_detectable_difference(n: int, discordant: float) -> float:
    """The smallest difference that n right-or-wrong examples tell with 80 % power; inf below 5, which tell nothing.

    Where it is larger than `discordant`, every disagreement is a win, and the disagreements are as many as that.
    """
    _check_n(n)
    _check_fractions(0.0, discordant)
    return _solve_difference(lambda difference: compute_power(n, difference, discordant), 1.0)


def compute_required_n(difference: float, discordant: float) -> int:
    """The examples at which this difference of two right-or-wrong contenders is told. Errors: ValueError for 0."""
    difference, discordant = _check_fractions(difference, discordant)
    guess = (Z * math.sqrt(discordant) + Z_POWER * math.sqrt(discordant - difference**2)) / _check_nonzero(difference)
    return _solve_n(lambda n: compute_power(n, difference, discordant), guess**2)


def compute_power_of_means(n: int, difference: float, standard_deviation: float) -> float:
    """As `compute_power` for graded scores; `spread` is the standard deviation of the paired differences, above 0."""
    _check_n(n)
    if not (math.isfinite(difference) and 0 < standard_deviation < math.inf):
        raise ValueError(f"power needs a difference and a spread above 0, not {difference} and {standard_deviation}")
    if n < 2:
        return 0.0
    from scipy import stats

    limit, shift = stats.t.ppf(1 - ALPHA / 2, n - 1), abs(difference) * math.sqrt(n) / standard_deviation
    wrong = float(stats.nct.cdf(-limit, n - 1, shift)) if shift < NO_LOWER_TAIL else 0.0
    return float(stats.nct.sf(limit, n - 1, shift)) + wrong


def minimum_detectable_mean_difference(n: int, standard_deviation: float) -> float:
    """As `minimum_detectable_difference` for graded scores; may exceed what scores can differ by; inf with n < 2."""
    return _solve_difference(
        lambda difference: compute_power_of_means(n, difference, standard_deviation), 100 * standard_deviation
    )


def compute_required_n_for_means(difference: float, standard_deviation: float) -> int:
    """As `compute_required_n` for graded scores."""
    guess = ((Z + Z_POWER) * standard_deviation / _check_nonzero(difference)) ** 2
    return _solve_n(lambda n: compute_power_of_means(n, difference, standard_deviation), guess)


def estimate_required_n(differences: ArrayLike, groups: Sequence[str] | None = None) -> int | None:
    """The n at which a difference of the observed size would be told from noise; None when there is none to tell.

    Never less than what was already looked at plus one: ask only when these examples did not settle it. In groups: if
    further examples come in groups of such sizes, and resemble each other as these do.
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
    if error.value < ZERO_TOLERANCE:  # then `paired` tests with p = 2 (1 + |d|)^-units
        return math.ceil(math.log(2 / ALPHA) / math.log1p(mean) * n / error.units)
    return compute_required_n_for_means(mean, error.value * math.sqrt(n))


def _max_losses(m_M: IntArray) -> FloatArray:
    """The most wins of the loser among m disagreements at which mid-p is below 5 %; -1 where there is none."""
    from scipy import stats

    first_M = stats.binom.ppf(ALPHA / 2, m_M, 0.5)  # the tail up to here is at least 2.5 %, up to one less below that
    mid_M = (stats.binom.cdf(first_M - 1, m_M, 0.5) + stats.binom.cdf(first_M, m_M, 0.5)) / 2
    return np.asarray(np.where(mid_M < ALPHA / 2, first_M, first_M - 1), dtype=np.float64)


def _solve_difference(power: Callable[[float], float], largest: float) -> float:
    """The difference in (0, largest] at which the power reaches 80 %; inf where it does not."""
    if power(largest) < POWER:
        return math.inf
    return float(optimize.brentq(lambda difference: power(difference) - POWER, 0.0, largest, xtol=1e-9))


def _solve_n(power: Callable[[int], float], guess: float) -> int:
    """The n at which the power reaches 80 %, looked for around a guess."""
    low, high = 0, max(5, math.ceil(guess))
    while power(high) < POWER:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if power(middle) < POWER else (low, middle)
    return high


def _check_nonzero(difference: float) -> float:
    """The difference without its sign. Errors: ValueError when there is none."""
    if not abs(difference) >= ZERO_TOLERANCE:
        raise ValueError(f"no number of examples tells a difference of {difference} from noise")
    return abs(difference)


def _check_n(n: int) -> None:
    if n < 0:
        raise ValueError(f"the number of examples cannot be {n}")


def _check_fractions(difference: float, discordant: float) -> tuple[float, float]:
    """The difference without its sign, and the disagreements, which are at least as many."""
    if not (abs(difference) <= 1 and 0 <= discordant <= 1):
        raise ValueError(f"a difference lies in [-1, 1] and a share in [0, 1], not {difference} and {discordant}")
    return abs(difference), max(discordant, abs(difference))
