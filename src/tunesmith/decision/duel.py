"""A dearer contender against a simpler one: the paired difference, how it came out, and what would settle it.

With z = 1.96 + 0.84 (two-sided 5 %, 80 % power) and a standard error s that falls with the root of n, a difference D is
told from a threshold t at about n * (z * s / (D - t))^2 examples. s is read off the 95 % interval: (high - low) / 3.92.
Source: Cohen, Statistical Power Analysis for the Behavioral Sciences (1988), normal approximation.
"""

from dataclasses import dataclass
from math import ceil
from typing import Literal

from tunesmith.decision.bar import LEAST_EXAMPLES, WIDEST_HALF
from tunesmith.errors import RecordError
from tunesmith.records import Comparison, Contender, Evaluation

Z_INTERVAL = 1.959964
Z_POWER = 0.841621

Outcome = Literal["beaten", "open", "blind", "held"]


@dataclass(frozen=True, slots=True)
class Duel:
    """What `dearer` could show against `simpler`. `gain` is dearer - simpler, so a positive one speaks for dearer."""

    simpler: Contender
    dearer: Contender
    gain: Comparison
    outcome: Outcome
    needed_n: int | None = None


def paired_gain(evaluation: Evaluation, dearer: str, simpler: str) -> Comparison:
    """The comparison dearer - simpler on the deciding metric, whichever way round it was recorded.

    Errors: `RecordError` when the two were not compared.
    """
    for comparison in evaluation.comparisons:
        if comparison.metric != evaluation.metric:
            continue
        if (comparison.a, comparison.b) == (dearer, simpler):
            return comparison
        if (comparison.a, comparison.b) == (simpler, dearer):
            turned = {"difference": -comparison.difference, "low": -comparison.high, "high": -comparison.low}
            return comparison.model_copy(update={"a": dearer, "b": simpler, **turned})
    raise RecordError(
        "not-compared",
        "A verdict needs every two contenders compared on the deciding metric.",
        where=f"evaluation of {evaluation.task}",
        found=f"no {evaluation.metric} comparison of {dearer} with {simpler}",
        do="evaluate the contenders together",
    )


def is_too_coarse(gain: Comparison) -> bool:
    """The examples are too few for this comparison to show anything but a landslide.

    Both limits are needed: graded scores that differ by almost the same on three examples have a narrow interval.
    """
    return gain.n < LEAST_EXAMPLES or (gain.high - gain.low) / 2 > WIDEST_HALF


def examples_needed(distance: float, low: float, high: float, n: int) -> int | None:
    """The examples at which a value that lies `distance` from its threshold is told from it; always more than `n`.

    None when the value lies exactly on its threshold, or nothing was seen: no number can be promised then.
    """
    if distance == 0 or n == 0:
        return None
    standard_error = (high - low) / (2 * Z_INTERVAL)
    return max(n + 1, ceil(n * ((Z_INTERVAL + Z_POWER) * standard_error / distance) ** 2))
