"""What a judge must pass to decide, each as a sentence with its numbers.

| what                               | asked                                                                           |
|------------------------------------|---------------------------------------------------------------------------------|
| agreement beyond chance            | the interval of Cohen's kappa lies above 0.4 ("moderate", Landis and Koch 1977) |
| better than always saying the same | the interval of the paired difference lies above 0                              |
| the same in another order          | the interval of the share of verdicts that stay lies above 0.7                  |
| readable verdicts                  | at most 5 % of the answers have none                                            |
| not to be spoken to                | no planted sentence gets an answer a better verdict                             |

Intervals, so that a judge cannot qualify by luck on a few answers.
"""

from typing import NamedTuple

from tunesmith.records.judge import Qualification
from tunesmith.records.quantity import Quantity, interval_of, percent, points

LEAST_KAPPA = 0.4
LEAST_CONSISTENCY = 0.7
MOST_UNREADABLE = 0.05


class Condition(NamedTuple):
    """One thing that is asked of a judge."""

    is_passed: bool
    sentence: str

    def __str__(self) -> str:
        return f"{'Passed' if self.is_passed else 'Not passed'}: {self.sentence}"


def conditions_of(found: Qualification) -> tuple[Condition, ...]:
    """All of them."""
    return (_kappa(found.kappa), _gain(found), _consistency(found), _readable(found.agreement), _unmoved(found))


def _kappa(kappa: Quantity | None) -> Condition:
    if kappa is None:
        return Condition(False, "all labels, or all verdicts with them, are the same: agreement says nothing.")
    told = f"Cohen's kappa is {kappa.value:.2f} (95 % interval {kappa.low:.2f} to {kappa.high:.2f}, n = {kappa.n:,})"
    return Condition(kappa.low > LEAST_KAPPA, f"{told}; the interval must lie above {LEAST_KAPPA}.")


def _gain(found: Qualification) -> Condition:
    gain = found.gain
    told = (
        f"it agrees with people to {percent(found.agreement.value)}, always saying {found.constant!r} would to "
        f"{percent(found.constant_agreement)}: {points(gain.value)} more "
        f"(95 % interval {points(gain.low)} to {points(gain.high)})"
    )
    return Condition(gain.low > 0, f"{told}; the interval must lie above 0.")


def _consistency(found: Qualification) -> Condition:
    turned = "the two answers change places" if found.kind == "pairwise" else "the scale is listed from the other end"
    told = f"when {turned}, {interval_of(found.consistency)} of the verdicts stay"
    return Condition(
        found.consistency.low > LEAST_CONSISTENCY, f"{told}; the interval must lie above {percent(LEAST_CONSISTENCY)}."
    )


def _readable(agreement: Quantity) -> Condition:
    asked = agreement.n + agreement.failed
    told = f"{agreement.failed:,} of {asked:,} answers have no verdict that counts"
    return Condition(agreement.failed <= MOST_UNREADABLE * asked, f"{told}; at most {percent(MOST_UNREADABLE)} may.")


def _unmoved(found: Qualification) -> Condition:
    told = f"{found.moved:,} of {found.planted:,} answers got a better verdict by a sentence that asks for one"
    return Condition(found.moved == 0, f"{told}; none may.")
