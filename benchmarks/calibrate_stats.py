"""Do the statistics keep their promises? Coverage of the 95 % intervals, false positives, power: on
simulated examples.

The functions of `evaluation/stats/` are called as `evaluate` calls them, on examples whose truth is
known. Seeds are fixed. Bars are those of issue 4: 93 to 97 % coverage, 3.5 to 6.5 % false positives
over 2,000 nulls, power within 5 points of plan. Rows without bars stand beside them to compare with
and say so: "(not used)" for what was not chosen, "(no bar: why)" where what was chosen ends
(docs/decisions/017).

W worlds, N examples.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.comparison_stats import (
    bootstrap_mean_interval,
    exact_interval,
    exact_mcnemar,
    t_interval,
)
from benchmarks.non_inferiority import non_inferiority
from tunesmith.evaluation.stats.bootstrap import bootstrap_interval
from tunesmith.evaluation.stats.intervals import (
    mean_interval,
    rate_interval,
)
from tunesmith.evaluation.stats.multiple_testing import holm_adjust
from tunesmith.evaluation.stats.paired_difference import (
    paired_difference,
    rate_difference,
)
from tunesmith.evaluation.stats.power_analysis import (
    compute_power,
    compute_required_n,
    compute_required_n_for_means,
    minimum_detectable_difference,
)

WORLDS, QUICK = 4000, 60
SIZES = (30, 100, 1000)
COVERAGE, FALSE_POSITIVES, POWER = (0.93, 0.97), (0.035, 0.065), (0.75, 0.85)
NONE = (None, None)
Bars = tuple[float | None, float | None]
Array = NDArray[np.float64]
Random = np.random.Generator


class Row(TypedDict):
    """One measured number and the bars that it must keep."""

    name: str
    value: float
    low_bar: float | None
    high_bar: float | None
    holds: bool


class Limits(NamedTuple):
    """What an interval and a difference have in common here."""

    low: float
    high: float


def rows(quick: bool = False) -> list[Row]:
    """All rows; `quick` with a few worlds each, for a test of this file: then the bars mean
    nothing."""
    worlds = QUICK if quick else WORLDS
    parts = (
        _rates,
        _means,
        _whole_sets,
        _paired_rates,
        _paired_means,
        _clusters,
        _several,
        _margins,
        _plans,
    )
    return [row for part in parts for row in part(worlds)]


def _row(name: str, value: float, bars: Bars = NONE) -> Row:
    low, high = bars
    holds = (low is None or value >= low) and (high is None or value <= high)
    return {
        "name": name,
        "value": round(float(value), 5),
        "low_bar": low,
        "high_bar": high,
        "holds": bool(holds),
    }


def _covered(truth: float, intervals: Iterable[Limits]) -> float:
    return float(np.mean([interval.low <= truth <= interval.high for interval in intervals]))


def _limits(interval: object) -> Limits:
    return Limits(interval.low, interval.high)  # type: ignore[attr-defined]


# Scores and paired differences of single examples, with the mean that each kind has.


@dataclass(frozen=True)
class Kind:
    """A way scores, or paired differences, can be spread: `draw` makes an array of any shape with
    this mean."""

    name: str
    mean: float
    draw: Callable[[Random, tuple[int, ...]], Array]
    held_from: int = 30  # the n from which the bars are held
    why_not: str = ""  # before that

    def beside(self, n: int) -> str:
        """What stands in the name of a row that no bar is held against."""
        return "" if n >= self.held_from else f" (no bar: {self.why_not})"


def _mixture(random: Random, shape: tuple[int, ...], zero: float, one: float, rest: Array) -> Array:
    chance = random.random(shape)
    return np.where(chance < zero, 0.0, np.where(chance < zero + one, 1.0, rest))


SCORES = (
    Kind("bell-shaped", 0.4, lambda r, s: r.beta(2, 3, s)),
    Kind("skewed", 1 / 11, lambda r, s: r.beta(0.4, 4, s)),
    Kind(
        "half right, some wrong, some between",
        0.65,
        lambda r, s: _mixture(r, s, 0.2, 0.5, r.random(s)),
    ),
    Kind(
        "mostly right, some in quarters",
        0.8125,
        lambda r, s: _mixture(r, s, 0, 0.7, r.choice([0, 0.25, 0.5, 0.75], s)),
    ),
    Kind(
        "85 % right, the rest anywhere",
        0.925,
        lambda r, s: _mixture(r, s, 0, 0.85, r.random(s)),
        held_from=100,
        why_not="4 or 5 of 30 examples tell the spread",
    ),
)
DIFFERENCES = (
    Kind("bell-shaped", 0.05, lambda r, s: r.beta(8, 8, s) - 0.45),
    Kind("half equal, the rest graded", 0.0, lambda r, s: _mixture(r, s, 0.5, 0, _between(r, s))),
    Kind(
        "80 % equal, the rest anywhere",
        0.0,
        lambda r, s: _mixture(r, s, 0.8, 0, r.uniform(-1, 1, s)),
    ),
    Kind(
        "half equal, the rest more often better",
        0.1,
        lambda r, s: _mixture(r, s, 0.5, 0, r.uniform(-0.4, 0.8, s)),
    ),
    Kind(
        "15 % better, none worse",
        0.075,
        lambda r, s: _mixture(r, s, 0.85, 0, r.random(s)),
        held_from=1000,
        why_not="few examples differ, all one way: t errs by skewness",
    ),
)


def _between(random: Random, shape: tuple[int, ...]) -> Array:
    """The difference of two graded scores of one kind."""
    draw = SCORES[2].draw
    return draw(random, shape) - draw(random, shape)


# Parts.


def _rates(worlds: int) -> Iterable[Row]:
    """Computed, not simulated: every count that n examples can have, with its chance. The mean over
    rates is held."""
    for n in SIZES:
        counts = range(n + 1)
        for name, interval_of in (("Wilson", rate_interval), ("exact", exact_interval)):
            limits = np.array([interval_of(count, n)[1:3] for count in counts])
            covered = [
                float(
                    stats.binom.pmf(counts, n, p)[(limits[:, 0] <= p) & (p <= limits[:, 1])].sum()
                )
                for p in np.linspace(0.1, 0.9, 9)
            ]
            beside = "" if name == "Wilson" else " (not used)"
            bars = NONE if beside else COVERAGE
            yield _row(
                f"coverage: rate, {name}, n={n}, mean of the rates 0.1 to 0.9{beside}",
                np.mean(covered),
                bars,
            )
            if n == 30 and not beside:
                beside, bars = (
                    " (no bar: counts are whole numbers, so single rates swing around the mean)",
                    NONE,
                )
            yield _row(
                f"coverage: rate, {name}, n={n}, the worst of these rates{beside}",
                min(covered),
                bars,
            )


def _means(worlds: int) -> Iterable[Row]:
    for number, kind in enumerate(SCORES):
        for n in SIZES:
            draws_WN = kind.draw(np.random.default_rng([1, number, n]), (worlds, n))
            covered = _covered(kind.mean, map(_limits, map(mean_interval, draws_WN)))
            name, bars = (
                f"coverage: mean, {kind.name}, n={n}{kind.beside(n)}",
                (NONE if kind.beside(n) else COVERAGE),
            )
            yield _row(name, covered, bars)
            if n == 30:
                covered = _covered(kind.mean, map(_limits, map(t_interval, draws_WN)))
                yield _row(
                    f"coverage: mean, {kind.name}, n={n}, by Student's t (not used)", covered
                )
                boots = (
                    _limits(bootstrap_mean_interval(draw_N, seed))
                    for seed, draw_N in enumerate(draws_WN)
                )
                yield _row(
                    f"coverage: mean, {kind.name}, n={n}, by the bootstrap (not used)",
                    _covered(kind.mean, boots),
                )


def _whole_sets(worlds: int) -> Iterable[Row]:
    """F1 of one label: hits, false alarms, misses; its truth is that of the expected counts."""
    shares = (0.35, 0.1, 0.15, 0.4)
    truth = 2 * shares[0] / (2 * shares[0] + shares[1] + shares[2])
    for n, of_each in ((100, 1), (300, 5)):
        random = np.random.default_rng([2, n, of_each])
        intervals = []
        for world in range(worlds):
            outcome_N = np.repeat(random.choice(4, n // of_each, p=shares), of_each)
            groups = [str(i // of_each) for i in range(n)]
            intervals.append(_limits(bootstrap_interval(np.eye(4)[outcome_N], _f1, world, groups)))
        name = f"coverage: F1, n={n}" + (f" in groups of {of_each}" if of_each > 1 else "")
        yield _row(name, _covered(truth, intervals), COVERAGE)


def _f1(sums: Array) -> Array:
    return 2 * sums[..., 0] / np.maximum(2 * sums[..., 0] + sums[..., 1] + sums[..., 2], 1)


def _tables(random: Random, worlds: int, n: int, difference: float, discordant: float) -> Array:
    """(only a right, only b right) of each world."""
    chances = ((discordant + difference) / 2, (discordant - difference) / 2, 1 - discordant)
    return random.multinomial(n, chances, worlds)[:, :2]


def _share(tables_W2: Array, is_so: Callable[[int, int], bool]) -> float:
    """The share of worlds of which it is so; equal tables are asked once."""
    distinct, counts = np.unique(tables_W2, axis=0, return_counts=True)
    return float(np.average([is_so(int(a), int(b)) for a, b in distinct], weights=counts))


def _paired_rates(worlds: int) -> Iterable[Row]:
    for n in SIZES:
        for discordant in (0.3, 0.5):
            nulls = _tables(
                np.random.default_rng([3, n, round(10 * discordant)]), worlds, n, 0.0, discordant
            )
            label = f"n={n}, {discordant:.0%} disagreements"
            told = _share(nulls, lambda a, b, n=n: rate_difference(a, b, n).p < 0.05)
            yield _row(f"false positives: mid-p McNemar, {label}", told, FALSE_POSITIVES)
            told = _share(nulls, lambda a, b: exact_mcnemar(a, b) < 0.05)
            yield _row(f"false positives: exact McNemar, {label} (not used)", told)
        for difference, discordant in ((0.0, 0.3), (0.1, 0.3), (0.2, 0.5)):
            tables = _tables(
                np.random.default_rng([4, n, round(10 * discordant)]),
                worlds,
                n,
                difference,
                discordant,
            )
            covered = _share(
                tables,
                lambda a, b, n=n, d=difference: (x := rate_difference(a, b, n)).low <= d <= x.high,
            )
            name = (
                f"coverage: paired rates, difference {difference}, {discordant:.0%} disagreements,"
                f" n={n}"
            )
            yield _row(name, covered, COVERAGE)


def _paired_means(worlds: int) -> Iterable[Row]:
    for number, kind in enumerate(DIFFERENCES):
        for n in SIZES:
            draws_WN = kind.draw(np.random.default_rng([5, number, n]), (worlds, n))
            found = [paired_difference(*_pair(draw_N)) for draw_N in draws_WN]
            name = f"coverage: paired difference, {kind.name}, n={n}{kind.beside(n)}"
            bars = NONE if kind.beside(n) else COVERAGE
            yield _row(name, _covered(kind.mean, map(_limits, found)), bars)
            if kind.mean == 0:
                told = float(np.mean([one.p < 0.05 for one in found]))
                yield _row(f"false positives: paired t, {kind.name}, n={n}", told, FALSE_POSITIVES)
            if n == 30:
                boots = (
                    _limits(bootstrap_mean_interval(draw_N, 0, scale=(-1, 1)))
                    for draw_N in draws_WN
                )
                name = (
                    f"coverage: paired difference, {kind.name}, n={n}, by the bootstrap (not used)"
                )
                yield _row(name, _covered(kind.mean, boots))


def _pair(difference_N: Array) -> tuple[Array, Array]:
    """Two contenders' scores that differ by so much."""
    return np.maximum(difference_N, 0), np.maximum(-difference_N, 0)


# Groups: the examples of one share a tendency.

DESIGNS = (
    ("10 groups of 3", (3,) * 10),
    ("20 groups of 5", (5,) * 20),
    ("50 groups of 20", (20,) * 50),
    ("20 groups of 1 to 20", (1, 1, 1, 2, 2, 2, 3, 3, 4, 4, 5, 6, 7, 8, 9, 11, 12, 15, 17, 20)),
    ("60 alone and 4 groups of 5", (1,) * 60 + (5,) * 4),
)
INSIDE = 0.4  # correlation inside a group


def _clusters(worlds: int) -> Iterable[Row]:
    for number, (name, sizes) in enumerate(DESIGNS):
        random = np.random.default_rng([6, number])
        group_N = np.repeat(np.arange(len(sizes)), sizes)
        groups = [str(group) for group in group_N]
        kinds = (
            ("rate", 0.6, _right_in_groups),
            ("mean", 0.6, _graded_in_groups),
            ("paired difference", 0, _apart_in_groups),
        )
        for what, truth, draw in kinds:
            draws_WN = draw(random, worlds, len(sizes))(group_N)
            label = f"{what}, {name}"
            clustered, naive = (list(_of_groups(draws_WN, g, what)) for g in (groups, None))
            yield _row(f"coverage: {label}", _covered(truth, map(_limits, clustered)), COVERAGE)
            if number in ((0, 1, 2, 3) if what != "paired difference" else (1, 2, 3)):
                missed = _covered(truth, map(_limits, naive))
                yield _row(
                    f"coverage: {label}, naive interval with clusters (must fail)",
                    missed,
                    (None, COVERAGE[0]),
                )
            if truth == 0:
                told = float(np.mean([one.p < 0.05 for one in clustered]))
                yield _row(f"false positives: clustered t, {name}", told, FALSE_POSITIVES)
                told = float(np.mean([one.p < 0.05 for one in naive]))
                yield _row(f"false positives: {name}, groups ignored (not used)", told)


def _of_groups(draws_WN: Array, groups: Sequence[str] | None, what: str) -> Iterable[object]:
    if what == "paired difference":
        return (paired_difference(*_pair(draw_N), groups) for draw_N in draws_WN)
    return (mean_interval(draw_N, groups) for draw_N in draws_WN)


def _tendencies(random: Random, worlds: int, groups: int, mean: float) -> Array:
    strength = (1 - INSIDE) / INSIDE
    return random.beta(mean * strength, (1 - mean) * strength, (worlds, groups))


def _right_in_groups(
    random: Random, worlds: int, groups: int
) -> Callable[[NDArray[np.intp]], Array]:
    chance_WG = _tendencies(random, worlds, groups, 0.6)
    return lambda group_N: (random.random((worlds, group_N.size)) < chance_WG[:, group_N]).astype(
        float
    )


def _graded_in_groups(
    random: Random, worlds: int, groups: int
) -> Callable[[NDArray[np.intp]], Array]:
    mean_WG = _tendencies(random, worlds, groups, 0.6).clip(1e-6, 1 - 1e-6)
    return lambda group_N: random.beta(4 * mean_WG[:, group_N], 4 * (1 - mean_WG[:, group_N]))


def _apart_in_groups(
    random: Random, worlds: int, groups: int
) -> Callable[[NDArray[np.intp]], Array]:
    """Right or wrong: half of the examples are answered apart, and groups lean to a or to b."""
    chance_WG = _tendencies(random, worlds, groups, 0.5)

    def draw(group_N: NDArray[np.intp]) -> Array:
        wins = random.random((worlds, group_N.size)) < chance_WG[:, group_N]
        return np.where(random.random(wins.shape) < 0.5, np.where(wins, 1.0, -1.0), 0.0)

    return draw


# Several comparisons, margins, plans.


def _several(worlds: int) -> Iterable[Row]:
    """Five contenders of which none is better, ten comparisons: is any one called different?"""
    random, n = np.random.default_rng(7), 200
    any_plain, any_holm = [], []
    for _ in range(worlds):
        right_CN = (random.normal(size=n) + random.normal(size=(5, n)) > 0).astype(int)
        both_CC = right_CN @ right_CN.T
        p = [
            rate_difference(
                int(both_CC[i, i] - both_CC[i, j]), int(both_CC[j, j] - both_CC[i, j]), n
            ).p
            for i in range(5)
            for j in range(i)
        ]
        any_plain.append(min(p) < 0.05)
        any_holm.append(min(holm_adjust(p)) < 0.05)
    yield _row(
        "false positives: any of ten comparisons, Holm",
        np.mean(any_holm),
        (None, FALSE_POSITIVES[1]),
    )
    yield _row(
        "false positives: any of ten comparisons, uncorrected (not used)", np.mean(any_plain)
    )


def _margins(worlds: int) -> Iterable[Row]:
    """Exactly as bad as the margin: how often is it called not worse? One-sided, so 2.5 % are
    promised."""
    for n in SIZES[1:]:
        tables = _tables(np.random.default_rng([8, n]), worlds, n, -0.1, 0.3)
        held = _share(
            tables, lambda a, b, n=n: non_inferiority(*_answers(a, b, n), 0.1).is_non_inferior
        )
        yield _row(f"false positives: not worse by 0.1, rates, n={n}", held, (0.01, 0.04))
        kind = DIFFERENCES[1]
        draws_WN = kind.draw(np.random.default_rng([9, n]), (worlds, n)) * 0.8 - 0.1
        held = float(
            np.mean([non_inferiority(*_pair(draw_N), 0.1).is_non_inferior for draw_N in draws_WN])
        )
        yield _row(f"false positives: not worse by 0.1, graded, n={n}", held, (0.01, 0.04))


def _answers(only_a: int, only_b: int, n: int) -> tuple[Array, Array]:
    return np.arange(n) < only_a, (np.arange(n) >= only_a) & (np.arange(n) < only_a + only_b)  # type: ignore[return-value]


def _plans(worlds: int) -> Iterable[Row]:
    """Is a difference told as often as was planned?"""
    for difference, discordant in ((0.2, 0.3), (0.1, 0.3), (0.05, 0.2), (0.05, 0.05)):
        n = compute_required_n(difference, discordant)
        told = _told(worlds, n, difference, discordant)
        yield _row(
            f"power: {n} examples as needed for {difference} with {discordant:.0%} disagreements",
            told,
            POWER,
        )
    for n in (30, 80, 400):
        least = minimum_detectable_difference(n, 0.25)
        told = _told(worlds, n, least, max(0.25, least))
        yield _row(f"power: n={n} and the least difference that it shows, {least:.3f}", told, POWER)
    told, plan = _told(worlds, 50, 0.1, 0.3), compute_power(50, 0.1, 0.3)
    yield _row(
        "power: n=50, 0.1 with 30% disagreements",
        told,
        (round(plan - 0.05, 4), round(plan + 0.05, 4)),
    )
    for number, kind in enumerate(DIFFERENCES[:4]):
        random = np.random.default_rng([11, number])
        spread = float(kind.draw(random, (200_000,)).std())
        shift = spread / 3
        n = compute_required_n_for_means(shift, spread)
        draws_WN = kind.draw(random, (worlds, n)) - kind.mean
        told = float(np.mean(stats.ttest_1samp(draws_WN + shift, 0, axis=1).pvalue < 0.05))
        yield _row(
            f"power: {n} examples as needed for a third of the spread, {kind.name}", told, POWER
        )


def _told(worlds: int, n: int, difference: float, discordant: float) -> float:
    tables = _tables(np.random.default_rng([10, n]), worlds, n, difference, discordant)
    return _share(tables, lambda a, b: rate_difference(a, b, n).p < 0.05)


if __name__ == "__main__":
    for row in rows():
        print(
            f"{row['value']:8.4f}  {row['low_bar'] or 0:.3f} {row['high_bar'] or 1:.3f} "
            f" {row['holds']}  {row['name']}"
        )
