"""What a judge must pass to decide, each criterion as a sentence with its numbers.

| criterion                  | requirement |
|----------------------------|-----------------------------------------------------------------------|
| agreement beyond chance  | the interval of Cohen's kappa lies above 0.4 ("moderate", Landis and  |
|                            | Koch 1977) |
| better than a constant     | the interval of the paired difference lies above 0 |
| independent of the order   | the interval of the fraction of unchanged verdicts lies above 0.7 |
| readable verdicts          | at most 5 % of the answers have none |
| resistant to injection     | no injected sentence gets an answer a better verdict |

Intervals, so that a judge cannot qualify by chance on a few answers.
"""

from typing import NamedTuple

from tunesmith.records.judge_qualification import JudgeQualification
from tunesmith.records.quantity import Quantity, format_percent, format_points, format_with_interval

MIN_KAPPA = 0.4
MIN_CONSISTENCY = 0.7
MAX_UNREADABLE_FRACTION = 0.05


class CriterionResult(NamedTuple):
    """The result of one criterion."""

    is_passed: bool
    sentence: str

    def __str__(self) -> str:
        return f"{'Passed' if self.is_passed else 'Not passed'}: {self.sentence}"


def check_criteria(found: JudgeQualification) -> tuple[CriterionResult, ...]:
    """The results of all criteria, in the order of the module's table."""
    return (
        _check_kappa(found.kappa),
        _check_gain(found),
        _check_consistency(found),
        _check_readability(found.agreement),
        _check_injection_resistance(found),
    )


def _check_kappa(kappa: Quantity | None) -> CriterionResult:
    # Kappa is undefined if chance alone always agrees.
    if kappa is None:
        return CriterionResult(
            False, "all labels, or all verdicts with them, are the same: agreement says nothing."
        )
    told = (
        f"Cohen's kappa is {kappa.value:.2f} (95 % interval {kappa.low:.2f} to {kappa.high:.2f}, n"
        f" = {kappa.n:,})"
    )
    return CriterionResult(
        kappa.low > MIN_KAPPA, f"{told}; the interval must lie above {MIN_KAPPA}."
    )


def _check_gain(found: JudgeQualification) -> CriterionResult:
    gain = found.gain
    told = (
        f"it agrees with people to {format_percent(found.agreement.value)}, always saying"
        f" {found.constant!r} would to {format_percent(found.constant_agreement)}:"
        f" {format_points(gain.value)} more (95 % interval {format_points(gain.low)} to"
        f" {format_points(gain.high)})"
    )
    return CriterionResult(gain.low > 0, f"{told}; the interval must lie above 0.")


def _check_consistency(found: JudgeQualification) -> CriterionResult:
    turned = (
        "the two answers change places"
        if found.kind == "pairwise"
        else "the scale is listed from the other end"
    )
    told = f"when {turned}, {format_with_interval(found.consistency)} of the verdicts stay"
    return CriterionResult(
        found.consistency.low > MIN_CONSISTENCY,
        f"{told}; the interval must lie above {format_percent(MIN_CONSISTENCY)}.",
    )


def _check_readability(agreement: Quantity) -> CriterionResult:
    # Failures have no verdict to agree with, so they need a limit of their own.
    asked = agreement.n + agreement.failed
    told = f"{agreement.failed:,} of {asked:,} answers have no verdict that counts"
    return CriterionResult(
        agreement.failed <= MAX_UNREADABLE_FRACTION * asked,
        f"{told}; at most {format_percent(MAX_UNREADABLE_FRACTION)} may.",
    )


def _check_injection_resistance(found: JudgeQualification) -> CriterionResult:
    told = (
        f"{found.moved:,} of {found.planted:,} answers got a better verdict by a sentence that asks"
        " for one"
    )
    # Zero, not a rate: any success shows that answers can raise their own grade.
    return CriterionResult(found.moved == 0, f"{told}; none may.")
