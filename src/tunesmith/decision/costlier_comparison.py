"""A costlier contender against a simpler one: the paired difference, its outcome, and what would
settle it.

**Multiple comparisons.** A simpler contender is rejected when any costlier one beats it, so every
costlier one is another chance of a false rejection. The comparisons of one simpler contender with
all contenders of costlier verdicts therefore form one family with a common error of 5 % (Holm
1979). The families of different simpler contenders need no common correction: the verdict moves to
a costlier one only if *all* simpler ones are rejected, and an intersection of events is no more
likely than the least likely of them (Berger 1982, intersection-union tests). Two contenders of the
same verdict are compared without correction: the verdict is the same for both.

**p-value of one gain.** p of the stored comparison if the threshold t is 0. Otherwise the distance
D - t is measured in standard errors taken from the interval, D - L = q s, with q the 97.5 % point
of Student's t: p = 2 P(T > q (D - t) / (D - L)).

**Required examples.** With z = z(1 - 0.025 / k) + 0.84 (family of k, two-sided 5 %, 80 % power) and
a standard error s that falls with the root of n, D is separated from t at about n (z s / (D - t))^2
examples; s = (high - low) / 3.92. Source: Cohen, Statistical Power Analysis for the Behavioral
Sciences (1988), normal approximation.

**The table of all pairs** in the report has the same families of comparisons, without a `min_gain`:
it shows whether there is any difference.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, log10
from statistics import NormalDist
from typing import Literal

from tunesmith.decision.requirements import (
    MAX_INCONCLUSIVE_P,
    MAX_INTERVAL_HALF_WIDTH,
    MIN_TEST_EXAMPLES,
    get_min_relevant_gain,
)
from tunesmith.errors import RecordError
from tunesmith.records import Comparison, Contender, Evaluation, PairSummary, Requirements

ALPHA = 0.05
"""Two-sided error rate of a family of comparisons."""
POWER = 0.8
"""Statistical power that required numbers of examples are computed for."""

MIN_COST_BUCKET = -1000
"""The bucket of a cost that is zero or unknown: before all others."""

Outcome = Literal["beaten", "short", "open", "blind", "held"]


@dataclass(frozen=True, slots=True)
class CostlierComparison:
    """`costlier` compared with `simpler`. `gain` is costlier - simpler: a positive difference
    favors the costlier one.

    `p_value` is that of `gain` over `min_gain`, Holm-corrected for the `family_size` comparisons of
    its family; `required_n` is the number of test examples that would settle it (None: already
    settled, or not computable).
    """

    simpler: Contender
    costlier: Contender
    gain: Comparison
    p_value: float
    family_size: int = 1
    outcome: Outcome = "held"
    required_n: int | None = None

    @property
    def is_between_verdicts(self) -> bool:
        """Whether the two contenders lead to different verdicts."""
        return self.simpler.traits.verdict != self.costlier.traits.verdict


def compare_all_pairs(
    evaluation: Evaluation,
    pool: Sequence[Contender],
    requirements: Requirements,
    undertuned: frozenset[str] = frozenset(),
) -> list[CostlierComparison]:
    """Every pair of the pool with its outcome; `pool` is ordered simplest first, `undertuned` names
    the contenders that were tuned too little.

    Errors: `RecordError` if a pair was not compared in the evaluation.
    """
    gains = _index_comparisons(evaluation)
    comparisons: list[CostlierComparison] = []
    for at, simpler in enumerate(pool):
        against = [
            _build_comparison(gains, evaluation, simpler, costlier, requirements)
            for costlier in pool[at + 1 :]
        ]
        comparisons += [comparison for comparison in against if not comparison.is_between_verdicts]
        comparisons += _correct_p_values(
            [comparison for comparison in against if comparison.is_between_verdicts]
        )
    return [
        _classify_outcome(comparison, requirements, evaluation.metric, undertuned)
        for comparison in comparisons
    ]


def compute_cost_bucket(contender: Contender) -> int:
    """Running cost in half powers of ten; costs in one bucket count as equal
    (docs/decisions/015).
    """
    cost = contender.usd_per_1000_or_none
    return round(2 * log10(cost)) if cost else MIN_COST_BUCKET


def compute_p_value(gain: Comparison, threshold: float) -> float:
    """Two-sided p-value of a gain over a threshold, by the formula at the top of this module; 1 if
    it does not exceed it.
    """
    distance, below = gain.difference - threshold, gain.difference - gain.low
    if distance <= 0:
        return 1.0
    if threshold == 0 or below <= 0:
        return gain.p
    from scipy import special  # scipy is slow to import; reading a stored verdict does not need it

    freedom = max((gain.clusters or gain.n) - 1, 1)
    errors = float(special.stdtrit(freedom, 1 - ALPHA / 2)) * distance / below
    # The t approximation may fall below the exact or bootstrap p of the stored comparison; a gain
    # over t > 0 cannot be more significant than one over 0.
    return max(gain.p, 2 * float(special.stdtr(freedom, -errors)))


def is_underpowered(gain: Comparison) -> bool:
    """Whether the test examples are too few for anything but a very large difference.

    Both limits are needed: graded scores that differ by almost the same amount on three examples
    have a narrow interval.
    """
    return gain.n < MIN_TEST_EXAMPLES or (gain.high - gain.low) / 2 > MAX_INTERVAL_HALF_WIDTH


def compute_required_standard_errors(rivals: int = 1) -> float:
    """The distance, in standard errors, at which a difference is significant with 80 % power in a
    family of `rivals`.
    """
    normal = NormalDist()
    return normal.inv_cdf(1 - ALPHA / (2 * rivals)) + normal.inv_cdf(POWER)


def estimate_required_examples(
    distance: float, low: float, high: float, n: int, rivals: int = 1
) -> int | None:
    """The number of examples at which a value `distance` from its threshold is significantly
    different from it; always more than `n`.

    None if the value lies exactly on its threshold or there is no data: no number can be promised.
    """
    if distance == 0 or n == 0:
        return None
    standard_error = (high - low) / (2 * NormalDist().inv_cdf(1 - ALPHA / 2))
    return max(
        n + 1, ceil(n * (compute_required_standard_errors(rivals) * standard_error / distance) ** 2)
    )


def _index_comparisons(evaluation: Evaluation) -> dict[tuple[str, str], Comparison]:
    """The comparisons of the deciding metric by (a, b)."""
    return {
        (one.a, one.b): one for one in evaluation.comparisons if one.metric == evaluation.metric
    }


def _build_comparison(
    gains: Mapping[tuple[str, str], Comparison],
    evaluation: Evaluation,
    simpler: Contender,
    costlier: Contender,
    requirements: Requirements,
) -> CostlierComparison:
    """The comparison costlier - simpler, in whichever order it was stored."""
    gain = gains.get((costlier.name, simpler.name))
    if gain is None:
        other = gains.get((simpler.name, costlier.name))
        if other is None:
            raise RecordError(
                "not-compared",
                "contenders were not all compared on the primary metric",
                at=f"evaluation of {evaluation.task}",
                got=f"no {evaluation.metric} comparison of {costlier.name} with {simpler.name}",
                hint="evaluate the contenders together",
            )
        turned = {"difference": -other.difference, "low": -other.high, "high": -other.low}
        gain = other.replace(a=costlier.name, b=simpler.name, **turned)
    return CostlierComparison(simpler, costlier, gain, compute_p_value(gain, requirements.min_gain))


def _correct_p_values(family: Sequence[CostlierComparison]) -> list[CostlierComparison]:
    if len(family) < 2:
        return list(family)
    from tunesmith.evaluation.stats.multiple_testing import (
        # numpy and scipy are slow to import; reading a stored verdict does not need them
        holm_adjust,
    )

    adjusted = holm_adjust([comparison.p_value for comparison in family])
    return [
        replace(comparison, p_value=p_values, family_size=len(family))
        for comparison, p_values in zip(family, adjusted, strict=True)
    ]


def _classify_outcome(
    comparison: CostlierComparison,
    requirements: Requirements,
    metric: str,
    undertuned: frozenset[str],
) -> CostlierComparison:
    """The comparison with its outcome, by the second table of `verdict.py`; the order of the tests
    matters.
    """
    gain, worthwhile = comparison.gain, get_min_relevant_gain(requirements)
    if gain.low > requirements.min_gain and comparison.p_value <= ALPHA:
        return replace(comparison, outcome="beaten")
    could_gain = 1 - comparison.simpler.metrics[metric].value > worthwhile
    if (
        comparison.costlier.name in undertuned
        and not comparison.simpler.traits.is_trained
        and could_gain
    ):
        return replace(comparison, outcome="short")
    if gain.difference > worthwhile and comparison.p_value <= MAX_INCONCLUSIVE_P:
        return replace(
            comparison, outcome="open", required_n=_estimate_n_to_prove(comparison, requirements)
        )
    if gain.high > worthwhile and is_underpowered(gain):
        return replace(
            comparison, outcome="blind", required_n=_estimate_n_to_detect(comparison, requirements)
        )
    return replace(
        comparison,
        required_n=(
            _estimate_n_to_prove(comparison, requirements)
            if gain.difference > requirements.min_gain
            else None
        ),
    )


def _estimate_n_to_prove(comparison: CostlierComparison, requirements: Requirements) -> int | None:
    """The number of examples at which this gain would be significantly above `min_gain`."""
    gain = comparison.gain
    # The stored n comes from the test that produced p (McNemar, t); it holds for a single
    # comparison and grows with the squared ratio of standard errors in a family.
    if requirements.min_gain == 0 and gain.required_n is not None:
        return max(
            ceil(
                gain.required_n
                * (
                    compute_required_standard_errors(comparison.family_size)
                    / compute_required_standard_errors()
                )
                ** 2
            ),
            gain.n + 1,
        )
    return estimate_required_examples(
        gain.difference - requirements.min_gain, gain.low, gain.high, gain.n, comparison.family_size
    )


def _estimate_n_to_detect(comparison: CostlierComparison, requirements: Requirements) -> int | None:
    """The number of examples at which the smallest relevant gain would be separated from the
    measured difference, or from 0 if that is negative.
    """
    gain = comparison.gain
    distance = get_min_relevant_gain(requirements) - min(gain.difference, 0.0)
    needed = estimate_required_examples(
        distance, gain.low, gain.high, gain.n, comparison.family_size
    )
    return needed and max(needed, MIN_TEST_EXAMPLES)


def compute_simplicity_key(contender: Contender) -> tuple[int, int, float, str]:
    """Sort key from simple to complex: kind, cost bucket, tokens per request, name.

    Wall time varies by 10 to 20 % from run to run, and two contenders of equal cost must not change
    places because of it. Tokens do not depend on the load of the machine.

    Errors: `RecordError` for an unknown kind.
    """
    tokens = contender.tokens_in_per_request + contender.tokens_out_per_request
    return contender.traits.rank, compute_cost_bucket(contender), tokens, contender.name


def build_pair_table(evaluation: Evaluation) -> tuple[PairSummary, ...]:
    """One row per pair of contenders that were both compared with all others; `b` is the simpler
    one.
    """
    metric = evaluation.metric
    compared = {frozenset((one.a, one.b)) for one in evaluation.comparisons if one.metric == metric}
    pool = [
        one
        for one in sorted(evaluation.contenders, key=compute_simplicity_key)
        if metric in one.metrics
    ]
    # `compare_all_pairs` raises for a pair that was not compared; imported records may lack some.
    pool = [
        one
        for one in pool
        if all(o is one or frozenset((o.name, one.name)) in compared for o in pool)
    ]
    return tuple(
        PairSummary(
            a=comparison.costlier.name,
            b=comparison.simpler.name,
            p=comparison.p_value,
            required_n=None if comparison.p_value <= ALPHA else comparison.required_n,
        )
        for comparison in compare_all_pairs(evaluation, pool, Requirements())
    )
