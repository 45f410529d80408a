"""How much of a time budget validation may take: a fifth (docs/decisions/111).

With a time budget B all validation passes together get A = B / 5. The time per example is measured
on 2 examples, then, if the remaining time allows, on 8 times as many, because larger batches are
faster per example. The number of validation examples is chosen so that two passes fit into A: the
base model's and the last one. The measured time of the base model's pass then gives the number of
further passes; a pass that would leave too little time for the last one is skipped. The base
model's answers are the longest, so later passes take less than that.

Answers are cut short where they would exceed the allowance: a trial at a third of it, a pass at
what is left. If not even one example fits, no pass is made, the weights of the last step are used,
and the report says so.
"""

import math
from collections.abc import Callable
from typing import Protocol

from tunesmith.engine.schedule import TrainingProgress
from tunesmith.records.training_length import MAX_VALIDATION_FRACTION

MIN_TRIAL_EXAMPLES = 2
TRIAL_GROWTH_FACTOR = 8
TRIAL_SHARE = 1 / 3
"""Fraction of the allowance for trials, so that two passes of that duration fit after them."""


CUT_NOTICE = (
    "a validation pass was stopped early because validation would have exceeded a "
    "fifth of the time budget; the best checkpoint so far is used, or the last "
    "weights if there was no validation"
)


class TooLong(Exception):
    """Answers took longer than validation may take; they were cut short and are not scored."""


class ScoreFunction(Protocol):
    """Generates answers to the first `examples` validation examples and scores them.

    With `is_trial` the pass is only timed and its score is ignored.
    """

    def __call__(
        self, examples: int, *, is_trial: bool = False, seconds: float = math.inf
    ) -> tuple[str, float] | None:
        """(name of the metric, value; higher is better); None if the pass was interrupted.

        Errors: `TooLong` when it takes more than `seconds`.
        """


def get_validation_allowance(progress: TrainingProgress) -> float | None:
    """Seconds for all validation passes together; None for a length in epochs."""
    return (
        None
        if progress.budget_seconds is None
        else progress.budget_seconds * MAX_VALIDATION_FRACTION
    )


def get_seconds_left(progress: TrainingProgress) -> float:
    """Seconds that validation may still take; infinite for a length in epochs."""
    allowance = get_validation_allowance(progress)
    return math.inf if allowance is None else allowance - progress.validation_seconds


def count_examples_that_fit(
    examples: int, allowance: float, time_pass: Callable[[int], float | None]
) -> int:
    """Number of validation examples of which two passes fit into `allowance` seconds; may be 0.

    `time_pass` makes a trial pass over the first so many examples and returns its seconds, or None
    if it was cut short because it took too long. The trials' time is deducted from the allowance.
    """
    tried = min(MIN_TRIAL_EXAMPLES, examples)
    while tried < examples:
        took = time_pass(tried)
        if took is None:
            # The trial was cut short: fall back to the size of the last trial that fitted.
            return 0 if tried == MIN_TRIAL_EXAMPLES else tried // TRIAL_GROWTH_FACTOR
        allowance -= took
        following = min(examples, TRIAL_GROWTH_FACTOR * tried)
        fits = int(tried * max(0.0, allowance) / 2 / max(took, 1e-9))
        # A larger trial is faster per example, but it must be worth its own time.
        if fits >= examples or fits < 2 * following:
            return min(fits, examples)
        tried = following
    return examples


def count_passes_that_fit(planned: int, progress: TrainingProgress) -> int:
    """Number of passes after the base model's that fit, at most `planned`, at least 1 (the
    last).
    """
    allowance = get_validation_allowance(progress)
    if allowance is None:
        return planned
    left = allowance - progress.validation_seconds
    return max(1, min(planned, int(left / max(progress.last_validation_seconds, 1e-9))))


def is_last_pass_at_risk(progress: TrainingProgress) -> bool:
    """Whether a pass as long as the previous one would leave too little time for the last."""
    allowance = get_validation_allowance(progress)
    return (
        allowance is not None
        and progress.validation_seconds + 2 * progress.last_validation_seconds > allowance
    )


def describe_thinning(progress: TrainingProgress, planned: int, examples: int) -> str | None:
    """A sentence on skipped passes or unused validation examples, else None."""
    fewer_passes = progress.planned_validations < planned
    fewer_examples = (
        progress.validation_examples is not None and progress.validation_examples < examples
    )
    if not (fewer_passes or fewer_examples) or progress.budget_seconds is None:
        return None
    count = (
        f"{progress.planned_validations:,} validation"
        f" pass{'es' * (progress.planned_validations != 1)} after step 0"
    )
    parts = [f"{count} instead of {planned:,}"] if fewer_passes else []
    if fewer_examples:
        parts.append(f"{progress.validation_examples:,} of {examples:,} validation examples")
    return (
        f"{', on '.join(parts)}: otherwise validation would exceed a fifth of the "
        f"{progress.budget_seconds:,.0f} s"
    )


def describe_unvalidated(progress: TrainingProgress) -> str:
    """The sentence that there is no validation pass, with the reason."""
    return (
        "no validation: two passes over a single example would exceed a fifth of the "
        f"{progress.budget_seconds or 0.0:,.0f} s; the weights of the last step are used"
    )
