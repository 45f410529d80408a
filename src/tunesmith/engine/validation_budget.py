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

from tunesmith.engine.schedule import Progress
from tunesmith.records.extent import VALIDATION_SHARE

FIRST_EXAMPLES = 2
GROWTH = 8
TRIAL_SHARE = 1 / 3
"""Of the allowance, for trials: two passes that take as long fit behind them."""


CUT_TOLD = (
    "a validation pass was cut short: it would have taken validation past a fifth of the time; the best weights so far "
    "are taken, or the last ones where no pass was made"
)


class TooLong(Exception):
    """Answers took more time than validation has: they were cut short and say nothing."""


def allowance_of(progress: Progress) -> float | None:
    """Seconds that all validation passes together may take; None where the recipe counts passes over the data."""
    return None if progress.budget_seconds is None else progress.budget_seconds * VALIDATION_SHARE


def seconds_left(progress: Progress) -> float:
    """Seconds that validation may take from now on; without end where epochs are counted."""
    allowance = allowance_of(progress)
    return math.inf if allowance is None else allowance - progress.validation_seconds


def examples_that_fit(examples: int, allowance: float, seconds_of: Callable[[int], float | None]) -> int:
    """How many validation examples two passes can hold within `allowance`; 0 where not even one.

    `seconds_of` makes a trial pass over the first so many examples, and says None where it was cut short because it
    took too long; what it took is taken off the allowance.
    """
    tried = min(FIRST_EXAMPLES, examples)
    while tried < examples:
        took = seconds_of(tried)
        if took is None:
            return 0 if tried == FIRST_EXAMPLES else tried // GROWTH
        allowance -= took
        following = min(examples, GROWTH * tried)
        fits = int(tried * max(0.0, allowance) / 2 / max(took, 1e-9))
        if fits >= examples or fits < 2 * following:  # more at once take less each; to try it must be worth its time
            return min(fits, examples)
        tried = following
    return examples


def passes_that_fit(planned: int, progress: Progress) -> int:
    """How many passes after the base model's there is room for, at least one: the last."""
    allowance = allowance_of(progress)
    if allowance is None:
        return planned
    left = allowance - progress.validation_seconds
    return max(1, min(planned, int(left / max(progress.look_seconds, 1e-9))))


def leaves_no_room(progress: Progress) -> bool:
    """Whether a pass now, as long as the one before it, would leave too little time for the last one."""
    allowance = allowance_of(progress)
    return allowance is not None and progress.validation_seconds + 2 * progress.look_seconds > allowance


def thinned_told(progress: Progress, planned: int, examples: int) -> str | None:
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


def unvalidated_told(progress: Progress) -> str:
    """That there is no validation pass, and why, in words."""
    return (
        "no validation pass is made: two passes over a single example would take more than a fifth of the "
        f"{progress.budget_seconds or 0.0:,.0f} s; the weights of the last step are taken"
    )
