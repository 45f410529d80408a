"""Which gains a test set of this size can show: by assumption before money is spent, by measurement
afterwards.

A more complex contender is worth it if the whole interval of its gain lies above g = `min_gain`.
What n examples can separate with 80 % power is therefore the distance of the true gain from g, and
the smallest gain they show is

    shows = g + the minimum detectable difference (`evaluation/stats/power_analysis.py`)

**Target gain.** A true gain of exactly g is never separated from g, however many examples there
are: a plan needs a gain beyond it. If g was set, the target is 2 g: with 3 points set, a gain of 6
should be detected. If not, it is `MIN_RELEVANT_GAIN` above zero. The excess over g is never more
than half of the distance from g to 1.

**Multiple comparisons.** If several contenders compete with the same simpler one, Holm requires
more of each: the distance grows by the ratio r of the required standard errors
(`costlier_comparison.compute_required_standard_errors`), the number of examples by r^2.

**Before any measurement**: the discordant rate is assumed to be s = 25 %. Two contenders that are
each right 70 % of the time and whose answers correlate with 0.4 disagree on 2 * 0.7 * 0.3 * (1 -
0.4) = 25 %. Once both have answered, the rate is known, and for graded scores, which differ by less
than 1, the standard deviation of their differences.

**Groups.** With m = n / G examples per group whose differences correlate with c = 0.1, n examples
carry as much information as n / (1 + (m - 1) c) independent ones (the design effect), and Student's
t with G - 1 degrees of freedom replaces z. c is an assumption on the safe side of most published
values. Groups of very different sizes show less than this formula claims.

Sources: Kish 1965, "Survey Sampling" (design effect); Adams et al. 2004, Journal of Clinical
Epidemiology 57:785 (1,039 correlations inside groups of patients, median 0.01).
"""

import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tunesmith.decision.costlier_comparison import ALPHA, POWER, compute_required_standard_errors
from tunesmith.decision.requirements import MIN_TEST_EXAMPLES, get_min_relevant_gain
from tunesmith.records import Answer, Contender, Evaluation, PowerStatement, Requirements
from tunesmith.records.quantity import format_percent, format_points_number

DEFAULT_DISCORDANT_RATE = 0.25
"""Assumed fraction of the examples on which two contenders disagree."""
DEFAULT_GROUP_CORRELATION = 0.1
"""Assumed correlation of the differences inside a group."""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """How two contenders differ: on which fraction of the examples, and, for graded scores, the
    standard deviation of their differences.
    """

    disagreement_rate: float
    standard_deviation: float | None = None


def build_power_statement(
    n: int,
    requirements: Requirements,
    measured: Disagreement | None = None,
    *,
    comparisons: int = 1,
    groups: int | None = None,
    train: int = 0,
    unused: int = 0,
) -> PowerStatement:
    """What `n` test examples can show, compared with what the requirements need.

    `measured` is None before any evaluation. `comparisons`: the number of more complex contenders
    that compete with the simplest. `groups`: the number of groups the examples form, None if they
    are independent. `train`: training examples that could be moved to the test split. `unused`:
    test examples that `evaluation.max_test_examples` leaves out.
    """
    beyond = _compute_excess_gain(requirements)
    target = requirements.min_gain + beyond
    spread = measured or Disagreement(DEFAULT_DISCORDANT_RATE)
    # Two contenders cannot differ by `wanted` in accuracy while disagreeing on fewer examples than
    # that.
    spread = Disagreement(max(spread.disagreement_rate, target), spread.standard_deviation)
    rivals = max(comparisons, 1)
    least = requirements.min_gain + _compute_detectable_distance(
        n, requirements, spread, rivals, groups
    )
    shows = least if least <= 1 else None
    needed = max(_estimate_required_n(n, beyond, spread, rivals, groups), MIN_TEST_EXAMPLES)
    is_enough = n >= needed
    return PowerStatement(
        n=n,
        target_gain=target,
        min_detectable_gain=shows,
        required_n=needed,
        disagreement_rate=spread.disagreement_rate,
        standard_deviation=spread.standard_deviation,
        is_assumed=measured is None,
        comparisons=rivals,
        groups=groups,
        is_enough=is_enough,
        sentence=_format_statement(
            n, groups, shows, requirements, target, None if is_enough else needed
        )
        + _format_basis(n, groups, spread, measured is None),
        options=() if is_enough else tuple(_list_options(n, needed, shows, train, unused)),
    )


def measure_disagreement(
    evaluation: Evaluation, answers: Mapping[str, Sequence[Answer]]
) -> Disagreement | None:
    """How the best contender and the best one of another verdict differ; None if no two can be
    compared.
    """
    metric = evaluation.metric

    def get_score(one: Contender) -> float:
        quantity = one.metrics.get(metric)
        return quantity.value if quantity and quantity.n else -1.0

    ranked = sorted(evaluation.contenders, key=get_score, reverse=True)
    other = next((one for one in ranked if one.traits.verdict != ranked[0].traits.verdict), None)
    if other is None:
        return None
    pairs = zip(answers[ranked[0].name], answers[other.name], strict=True)
    differences = [a.scores[metric] - b.scores[metric] for a, b in pairs if a.scores and b.scores]
    if not differences:
        return None
    n, mean = len(differences), math.fsum(differences) / len(differences)
    discordant = sum(difference != 0 for difference in differences) / n
    if n < 2 or all(difference in (-1, 0, 1) for difference in differences):
        return Disagreement(discordant)
    deviation = math.sqrt(
        math.fsum((difference - mean) ** 2 for difference in differences) / (n - 1)
    )
    return Disagreement(discordant, deviation or None)


def _compute_excess_gain(requirements: Requirements) -> float:
    """How far the target gain lies above `min_gain`."""
    return min(get_min_relevant_gain(requirements), (1 - requirements.min_gain) / 2)


def _compute_detectable_distance(
    n: int, requirements: Requirements, disagreement: Disagreement, rivals: int, groups: int | None
) -> float:
    """The smallest distance from `min_gain` that is detected with 80 % power."""
    # Imported here because numpy and scipy are slow to load and the rules themselves do not need
    # them.
    from tunesmith.evaluation.stats.power_analysis import (
        minimum_detectable_difference,
        minimum_detectable_mean_difference,
    )

    effective_n = int(n / _compute_design_effect(n, groups))
    harder = _compute_error_ratio(rivals, groups)
    if disagreement.standard_deviation is not None:
        return (
            minimum_detectable_mean_difference(effective_n, disagreement.standard_deviation)
            * harder
        )
    distance = minimum_detectable_difference(effective_n, disagreement.disagreement_rate)
    # One fixed-point step: two contenders that differ by this distance disagree at least as often,
    # which raises the distance in turn.
    return (
        minimum_detectable_difference(
            effective_n,
            min(1.0, max(disagreement.disagreement_rate, requirements.min_gain + distance)),
        )
        * harder
    )


def _estimate_required_n(
    n: int, beyond: float, disagreement: Disagreement, rivals: int, groups: int | None
) -> int:
    """The number of examples that detect a distance of `beyond`, in groups of the present mean
    size.
    """
    from tunesmith.evaluation.stats.power_analysis import (
        compute_required_n,
        compute_required_n_for_means,
    )

    if disagreement.standard_deviation is None:
        effective_n = compute_required_n(beyond, disagreement.disagreement_rate)
    else:
        effective_n = compute_required_n_for_means(beyond, disagreement.standard_deviation)
    if groups is None:
        return math.ceil(effective_n * _compute_error_ratio(rivals, None) ** 2)

    def count_required(
        count: int,
    ) -> int:
        # More examples mean more groups and a smaller t quantile, so the requirement depends on the
        # count itself; at least two groups, as one says nothing about others.
        there = max(2, int(count * groups / n))
        return math.ceil(
            effective_n
            * _compute_error_ratio(rivals, there) ** 2
            * _compute_design_effect(n, groups)
        )

    # count_required falls as count grows, so the first count that meets its own requirement is
    # found by bisection; count_required(0) is the largest requirement.
    return bisect_left(
        range(count_required(0)), True, key=lambda count: count >= count_required(count)
    )


def _compute_design_effect(n: int, groups: int | None) -> float:
    return 1.0 if not groups else 1 + (n / groups - 1) * DEFAULT_GROUP_CORRELATION


def _compute_error_ratio(rivals: int, groups: int | None) -> float:
    """Required standard errors relative to those of one comparison of independent examples."""
    if groups is None:
        return compute_required_standard_errors(rivals) / compute_required_standard_errors()
    if groups < 2:
        return math.inf  # with one group the variance between groups is unknown
    from scipy import special

    freedom = groups - 1
    quantiles = special.stdtrit(freedom, 1 - ALPHA / (2 * rivals)) + special.stdtrit(freedom, POWER)
    return float(quantiles) / compute_required_standard_errors()


def _format_statement(
    n: int,
    groups: int | None,
    shows: float | None,
    requirements: Requirements,
    target_gain: float,
    needed: int | None,
) -> str:
    """For example `With 60 test examples only gains of 20 points or more can be proven. To prove 5
    points you need about 1,050.`
    """
    examples = f"{n:,} test {'example' if n == 1 else 'examples'}" + (
        f" in {groups:,} groups" if groups else ""
    )
    shown = (
        f"shown to exceed your minimum gain of {_format_points(requirements.min_gain)} points"
        if requirements.min_gain > 0
        else "detected"
    )
    can = (
        f"only gains of {_format_points(shows)} points or more can be"
        if shows is not None
        else "no gain can be"
    )
    named = "" if requirements.min_gain > 0 else " (min_gain is not set)"
    if needed is None:
        return (
            f"With {examples}, {can} {shown} (80 % power); this is enough to detect "
            f"{_format_points(target_gain)} points{named}."
        )
    return (
        f"With {examples}, {can} {shown} (80 % power). Detecting {_format_points(target_gain)} "
        f"points{named} needs about {_round_up(needed):,} test examples."
    )


def _format_basis(n: int, groups: int | None, disagreement: Disagreement, is_assumed: bool) -> str:
    """What the numbers rest on: the assumed or measured disagreement, and the assumed correlation
    inside groups.
    """
    share = format_percent(disagreement.disagreement_rate)
    if is_assumed:
        basis = (
            f"Assumed: two contenders disagree on {share} of the examples; nothing was measured"
            " yet."
        )
    else:
        basis = (
            f"Measured: the best two contenders of different verdicts disagree on {share} of the "
            "examples"
        )
        basis += (
            f", by {_format_points(disagreement.standard_deviation)} points (standard deviation)."
            if disagreement.standard_deviation
            else "."
        )
    if groups:
        effective_n = int(n / _compute_design_effect(n, groups))
        basis += (
            f" Assumed: the correlation within a group is {DEFAULT_GROUP_CORRELATION:g}, so "
            f"{n:,} examples carry as much information as {effective_n:,} independent ones."
        )
    return f" ({basis})"


def _list_options(
    n: int, needed: int, shows: float | None, train: int, unused: int
) -> Iterator[str]:
    """Ways to get enough evidence, cheapest first: existing examples, then new ones, then none."""
    missing = _round_up(needed) - n
    if unused:
        more = (
            "that is enough"
            if unused >= missing
            else f"{missing - unused:,} more would still be needed"
        )
        yield (
            f"Use the {unused:,} test examples that evaluation.max_test_examples leaves out:"
            f" {more}."
        )
        missing -= unused
    if missing > 0 and train >= 2 * missing:
        share = math.ceil(100 * (n + unused + missing) / (n + unused + train)) / 100
        yield (
            f"Move {missing:,} of the {train:,} training examples to the test split "
            f"(data.test_fraction={share:g} of train and test together)."
        )
    if missing > 0:
        yield f"Label {missing:,} more test examples."
    lost = f"true gains below {_format_points(shows)} points" if shows is not None else "true gains"
    yield (
        f"Continue as it is: {lost} will mostly not be statistically significant, so the "
        "verdict will be the simplest contender or 'cannot tell'."
    )


def _format_points(fraction: float) -> str:
    return format_points_number(fraction).removesuffix(".0")


def _round_up(count: int) -> int:
    """Rounded up to two or three leading digits, as the estimate is no more precise: 1,037 ->
    1,050, 2,175 -> 2,200.
    """
    unit = 5 * int(f"1{'0' * (len(str(count)) - 3)}") if count >= 1000 else 1
    return math.ceil(count / unit) * unit
