"""From the metric lines of a training run: how long it was, and whether its loss was still falling
when it ended.

**Still falling.** Over the last quarter of the applied steps (w of them, at least
`MIN_WINDOW_STEPS`) a line is fitted to the losses by least squares: loss = a + b step, with the
standard error s of b. The drop is

    f = -b w / loss at the end of the line,  reported if  f > MIN_STEEP_DROP  and  -b > t(95 %, w - 2) s

that is, the fraction of the loss that another w steps would remove, if it is significant against
the noise of the steps. It counts only if the validation loss was lowest at the last validation pass
(a loss that falls on the training examples alone is overfitting, and more steps would make it
worse), and if the training had fewer passes than the recipe's default: at the end of those the
learning rate has decayed to zero on purpose. docs/decisions/110 has the simulation.
"""  # noqa: E501

from collections.abc import Sequence
from statistics import fmean

from tunesmith.records import MetricLine, TrainingLength

MIN_STEEP_DROP = 0.1
"""Fraction of the loss that another quarter of the training must remove to count as still falling.
"""

MIN_WINDOW_STEPS = 8
"""Steps; a line fitted through fewer is meaningless."""


def compute_training_length(
    lines: Sequence[MetricLine],
    *,
    train_examples: int,
    batch_size: int,
    wanted_passes: float,
    seconds: float,
    validation_seconds: float = 0.0,
) -> TrainingLength:
    """How long a training was, from its metric lines.

    `seconds` is its total duration, `validation_seconds` the part spent in validation passes;
    `default_epochs` are the epochs of the recipe.
    """
    steps = [line for line in lines if line.kind == "step"]
    held_out = [line.loss for line in lines if line.kind == "validation" and line.loss is not None]
    per_pass = -(-train_examples // batch_size)
    whole, rest = divmod(len(steps), per_pass)
    # The last batch of a pass may be smaller than batch_size.
    examples = whole * train_examples + min(rest * batch_size, train_examples)
    falls = None
    is_unfinished = examples < wanted_passes * train_examples
    # One validation loss alone cannot show that the last one is the lowest.
    if is_unfinished and len(held_out) > 1 and held_out[-1] <= min(held_out):
        falls = estimate_final_loss_drop([line.loss for line in steps if line.loss is not None])
    return TrainingLength(
        steps=len(steps),
        examples=examples,
        train_examples=train_examples,
        seconds=seconds,
        step_seconds=_compute_mean_step_seconds(lines),
        default_epochs=wanted_passes,
        steps_per_epoch=per_pass,
        validation_seconds=validation_seconds,
        remaining_loss_drop=falls,
    )


def estimate_final_loss_drop(losses: Sequence[float]) -> float | None:
    """The fraction of the loss that another stretch like the last quarter would remove; None if not
    steep or not significant.

    The formula is at the top of this module.
    """
    window = max(len(losses) // 4, MIN_WINDOW_STEPS)
    if len(losses) < 2 * MIN_WINDOW_STEPS:
        return None
    last = losses[-window:]
    middle, mean = (window - 1) / 2, fmean(last)
    spread = sum((x - middle) ** 2 for x in range(window))
    slope = sum((x - middle) * (loss - mean) for x, loss in enumerate(last)) / spread
    residuals = [loss - mean - slope * (x - middle) for x, loss in enumerate(last)]
    error = (sum(one * one for one in residuals) / (window - 2) / spread) ** 0.5
    end = mean + slope * (window - 1 - middle)
    fall = -slope * window / max(end, 1e-9)
    from scipy import special  # scipy is slow to import; reading a stored verdict does not need it

    is_beyond_noise = -slope > float(special.stdtrit(window - 2, 0.95)) * error
    return min(fall, 1.0) if fall > MIN_STEEP_DROP and is_beyond_noise else None


def _compute_mean_step_seconds(lines: Sequence[MetricLine]) -> float:
    """Mean seconds of the applied steps; 0 without one. A line is written when its work is done, so
    a duration is the difference to the line before.
    """
    took, before = [], 0.0
    for line in lines:
        if line.kind == "step":
            took.append(max(0.0, line.seconds - before))
        before = line.seconds
    return fmean(took) if took else 0.0
