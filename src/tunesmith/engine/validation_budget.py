"""How much of a time budget validation may take: a fifth, however slow the model answers.

With a time budget B the passes over the validation split share A = B / 5. What an example takes is tried on 2 of them,
then, where that leaves room for it, on 8 times as many, which are faster each: so many are looked at as leave room in A
for two passes, the base model's and the last. What the base model's pass then took says how many further passes
fit; a pass that would leave no room for the last one is left out. The base model's answers are the longest, so later
passes take less than that.

Answers are cut short where they would take more than the fifth: a trial at a third of it, a pass at what is left. Where
not even one example fits, there is no pass at all, and the weights of the last step are taken; that is told.
"""

import math
from collections.abc import Callable

from tunesmith.engine.schedule import TrainingProgress
from tunesmith.records.training_length import MAX_VALIDATION_FRACTION

MIN_TRIAL_EXAMPLES = 2
TRIAL_GROWTH_FACTOR = 8
TRIAL_SHARE = 1 / 3
"""Of the allowance, for trials: two passes that take as long fit behind them."""


CUT_NOTICE = (
    "a validation pass was cut short: it would have taken validation past a fifth of the time; the best weights so far "
    "are taken, or the last ones where no pass was made"
)


class TooLong(Exception):
    """Answers took more time than validation has: they were cut short and say nothing."""


def get_validation_allowance(progress: TrainingProgress) -> float | None:
    """Seconds that all validation passes together may take; None where the recipe counts passes over the data."""
    return None if progress.budget_seconds is None else progress.budget_seconds * MAX_VALIDATION_FRACTION


def get_seconds_left(progress: TrainingProgress) -> float:
    """Seconds that validation may take from now on; without end where epochs are counted."""
    allowance = get_validation_allowance(progress)
    return math.inf if allowance is None else allowance - progress.validation_seconds


def count_examples_that_fit(examples: int, allowance: float, time_pass: Callable[[int], float | None]) -> int:
    """How many validation examples two passes can hold within `allowance`; 0 where not even one.

    `seconds_of` makes a trial pass over the first so many examples, and says None where it was cut short because it
    took too long; what it took is taken off the allowance.
    """
    tried = min(MIN_TRIAL_EXAMPLES, examples)
    while tried < examples:
        took = time_pass(tried)
        if took is None:
            return 0 if tried == MIN_TRIAL_EXAMPLES else tried // TRIAL_GROWTH_FACTOR
        allowance -= took
        following = min(examples, TRIAL_GROWTH_FACTOR * tried)
        fits = int(tried * max(0.0, allowance) / 2 / max(took, 1e-9))
        if fits >= examples or fits < 2 * following:  # more at once take less each; to try it must be worth its time
            return min(fits, examples)
        tried = following
    return examples


def count_passes_that_fit(planned: int, progress: TrainingProgress) -> int:
    """How many passes after the base model's there is room for, at least one: the last."""
    allowance = get_validation_allowance(progress)
    if allowance is None:
        return planned
    left = allowance - progress.validation_seconds
    return max(1, min(planned, int(left / max(progress.look_seconds, 1e-9))))


def is_last_pass_at_risk(progress: TrainingProgress) -> bool:
    """Whether a pass now, as long as the one before it, would leave too little time for the last one."""
    allowance = get_validation_allowance(progress)
    return allowance is not None and progress.validation_seconds + 2 * progress.look_seconds > allowance


def describe_thinning(progress: TrainingProgress, planned: int, examples: int) -> str | None:
    """What was thinned out, in words; None where nothing was."""
    fewer_passes = progress.evaluations < planned
    fewer_examples = progress.look_examples is not None and progress.look_examples < examples
    if not (fewer_passes or fewer_examples) or progress.budget_seconds is None:
        return None
    count = f"{progress.evaluations:,} validation pass{'es' * (progress.evaluations != 1)} after step 0"
    parts = [f"{count} in place of {planned:,}"] if fewer_passes else []
    if fewer_examples:
        parts.append(f"{progress.look_examples:,} of {examples:,} validation examples")
    return (
        f"{', on '.join(parts)}: otherwise validation would take more than a fifth of the "
        f"{progress.budget_seconds:,.0f} s"
    )


def describe_unvalidated(progress: TrainingProgress) -> str:
    """That there is no validation pass, and why, in words."""
    return (
        "no validation pass is made: two passes over a single example would take more than a fifth of the "
        f"{progress.budget_seconds or 0.0:,.0f} s; the weights of the last step are taken"
    )
