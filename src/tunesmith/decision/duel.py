"""A dearer contender against a simpler one: the paired difference, how it came out, and what would settle it.

**Luck among several.** A simpler contender is passed over when any dearer one beats it, so every dearer one is another
chance to be unlucky. The duels of one simpler contender with all contenders of dearer verdicts are therefore one family
and share one 5 % error (Holm 1979). The families of different simpler contenders need no common correction: a verdict
only passes to a dearer one when *all* the simpler ones are passed over, and the intersection of events is no likelier
than the unlikeliest of them (Berger 1982, intersection-union tests). Two contenders of the same verdict are compared
without correction: whichever is taken, the answer is the same.

**Luck of one gain.** p of the comparison where the threshold t is 0. Else the distance D - t is measured in standard
errors read off the interval, D - L = q s, with q the 97.5 % point of Student's t: p = 2 P(T > q (D - t) / (D - L)).

**Examples needed.** With z = z(1 - 0.025 / k) + 0.84 (family of k, two-sided 5 %, 80 % power) and a standard error s
that falls with the root of n, D is told from t at about n (z s / (D - t))^2 examples; s = (high - low) / 3.92.
Source: Cohen, Statistical Power Analysis for the Behavioral Sciences (1988), normal approximation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, log10
from statistics import NormalDist
from typing import Literal

from tunesmith.decision.bar import DOUBTFUL_LUCK, LEAST_EXAMPLES, WIDEST_HALF, worthwhile_gain
from tunesmith.errors import RecordError
from tunesmith.records import Bar, Comparison, Contender, Evaluation, Verdict

ALPHA = 0.05
POWER = 0.8

LEAST_STEP = -1000
"""Of what costs nothing, or nobody knows what: before every number."""

Outcome = Literal["beaten", "short", "open", "blind", "held"]

VERDICTS: Mapping[str, Verdict] = {
    "outside": "stop",
    "zero-shot": "prompt",
    "few-shot": "prompt",
    "rag": "rag",
    "tuned": "fine-tune",
    "tuned+rag": "fine-tune+rag",
}
"""The kinds of contenders, simple to dear, and the verdict that each stands for."""


def is_tuned(contender: Contender) -> bool:
    """Whether its score is one of the tuned model."""
    return contender.kind in ("tuned", "tuned+rag")


@dataclass(frozen=True, slots=True)
class Duel:
    """What `dearer` could show against `simpler`. `gain` is dearer - simpler, so a positive one speaks for dearer.

    `luck` is the chance of so large a gain over `min_gain` where there is none, corrected for the `rivals` of its
    family; `needed_n` the examples that would settle it.
    """

    simpler: Contender
    dearer: Contender
    gain: Comparison
    luck: float
    rivals: int = 1
    outcome: Outcome = "held"
    needed_n: int | None = None

    @property
    def is_between_verdicts(self) -> bool:
        """The answer depends on it."""
        return VERDICTS[self.simpler.kind] != VERDICTS[self.dearer.kind]


def all_duels(
    evaluation: Evaluation, pool: Sequence[Contender], bar: Bar, undertuned: frozenset[str] = frozenset()
) -> list[Duel]:
    """Every two contenders of the pool, which stands from simple to dear, with their outcome; `undertuned` are the
    names of those that were tuned too little.

    Errors: `RecordError` when two of them were not compared.
    """
    gains = _gains(evaluation)
    duels: list[Duel] = []
    for at, simpler in enumerate(pool):
        against = [_duel(gains, evaluation, simpler, dearer, bar) for dearer in pool[at + 1 :]]
        duels += [duel for duel in against if not duel.is_between_verdicts]
        duels += _corrected([duel for duel in against if duel.is_between_verdicts])
    return [_with_outcome(duel, bar, evaluation.metric, undertuned) for duel in duels]


def cost_step(contender: Contender) -> int:
    """The running cost in half powers of ten: within a step nobody is called dearer (docs/decisions/015)."""
    cost = contender.known_usd_per_1000
    return round(2 * log10(cost)) if cost else LEAST_STEP


def luck_of(gain: Comparison, threshold: float) -> float:
    """The two-sided p value of a gain over a threshold; 1 where it does not lie above it. See the head of this file."""
    distance, below = gain.difference - threshold, gain.difference - gain.low
    if distance <= 0:
        return 1.0
    if threshold == 0 or below <= 0:
        return gain.p
    from scipy import special  # here, so that the rules can be read without loading scipy

    freedom = max((gain.clusters or gain.n) - 1, 1)
    errors = float(special.stdtrit(freedom, 1 - ALPHA / 2)) * distance / below
    return max(gain.p, 2 * float(special.stdtr(freedom, -errors)))


def is_too_coarse(gain: Comparison) -> bool:
    """The examples are too few for this comparison to show anything but a landslide.

    Both limits are needed: graded scores that differ by almost the same on three examples have a narrow interval.
    """
    return gain.n < LEAST_EXAMPLES or (gain.high - gain.low) / 2 > WIDEST_HALF


def standard_errors(rivals: int = 1) -> float:
    """How many standard errors a difference must measure to be told from noise (80 % power) in a family of rivals."""
    normal = NormalDist()
    return normal.inv_cdf(1 - ALPHA / (2 * rivals)) + normal.inv_cdf(POWER)


def examples_needed(distance: float, low: float, high: float, n: int, rivals: int = 1) -> int | None:
    """The examples at which a value that lies `distance` from its threshold is told from it; always more than `n`.

    None when the value lies exactly on its threshold, or nothing was seen: no number can be promised then.
    """
    if distance == 0 or n == 0:
        return None
    standard_error = (high - low) / (2 * NormalDist().inv_cdf(1 - ALPHA / 2))
    return max(n + 1, ceil(n * (standard_errors(rivals) * standard_error / distance) ** 2))


def _gains(evaluation: Evaluation) -> dict[tuple[str, str], Comparison]:
    """The comparisons of the deciding metric by (a, b)."""
    return {(one.a, one.b): one for one in evaluation.comparisons if one.metric == evaluation.metric}


def _duel(
    gains: Mapping[tuple[str, str], Comparison], evaluation: Evaluation, simpler: Contender, dearer: Contender, bar: Bar
) -> Duel:
    """The comparison dearer - simpler, whichever way round it was recorded."""
    gain = gains.get((dearer.name, simpler.name))
    if gain is None:
        other = gains.get((simpler.name, dearer.name))
        if other is None:
            raise RecordError(
                "not-compared",
                "A verdict needs every two contenders compared on the deciding metric.",
                where=f"evaluation of {evaluation.task}",
                found=f"no {evaluation.metric} comparison of {dearer.name} with {simpler.name}",
                do="evaluate the contenders together",
            )
        turned = {"difference": -other.difference, "low": -other.high, "high": -other.low}
        gain = other.model_copy(update={"a": dearer.name, "b": simpler.name, **turned})
    return Duel(simpler, dearer, gain, luck_of(gain, bar.min_gain))


def _corrected(family: Sequence[Duel]) -> list[Duel]:
    if len(family) < 2:
        return list(family)
    from tunesmith.evaluation.stats.several import holm  # here, so that the rules can be read without loading numpy

    lucks = holm([duel.luck for duel in family])
    return [replace(duel, luck=luck, rivals=len(family)) for duel, luck in zip(family, lucks, strict=True)]


def _with_outcome(duel: Duel, bar: Bar, metric: str, undertuned: frozenset[str]) -> Duel:
    """By the second table of `verdict.py`."""
    gain, worthwhile = duel.gain, worthwhile_gain(bar)
    if gain.low > bar.min_gain and duel.luck <= ALPHA:
        return replace(duel, outcome="beaten")
    could_gain = 1 - duel.simpler.metrics[metric].value > worthwhile
    if duel.dearer.name in undertuned and not is_tuned(duel.simpler) and could_gain:
        return replace(duel, outcome="short")
    if gain.difference > worthwhile and duel.luck <= DOUBTFUL_LUCK:
        return replace(duel, outcome="open", needed_n=_needed_to_prove(duel, bar))
    if gain.high > worthwhile and is_too_coarse(gain):
        return replace(duel, outcome="blind", needed_n=_needed_to_see(duel, bar))
    return replace(duel, needed_n=_needed_to_prove(duel, bar) if gain.difference > bar.min_gain else None)


def _needed_to_prove(duel: Duel, bar: Bar) -> int | None:
    """The examples at which this gain would be told from `min_gain`: what the comparison says, where that is 0."""
    gain = duel.gain
    if bar.min_gain == 0 and gain.needed_n is not None:
        return max(ceil(gain.needed_n * (standard_errors(duel.rivals) / standard_errors()) ** 2), gain.n + 1)
    return examples_needed(gain.difference - bar.min_gain, gain.low, gain.high, gain.n, duel.rivals)


def _needed_to_see(duel: Duel, bar: Bar) -> int | None:
    """The examples at which a gain worth waiting for would be told from what was measured, or from none."""
    gain = duel.gain
    distance = worthwhile_gain(bar) - min(gain.difference, 0.0)
    needed = examples_needed(distance, gain.low, gain.high, gain.n, duel.rivals)
    return needed and max(needed, LEAST_EXAMPLES)
