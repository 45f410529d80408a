"""Metric lines of a training -> how much it was, and whether its loss still fell when it ended.

**Still falling.** Over the last quarter of the applied steps (w of them, at least `MIN_WINDOW_STEPS`) a line is fitted
to
the losses by least squares: loss = a + b step, with the standard error s of b. The fall is

    f = -b w / loss at the end of the line,      told where  f > STEEP  and  -b > t(95 %, w - 2) s

so: what another stretch of w steps would take off, as a share of the loss, where that is beyond the noise of the steps.
It counts only where the held-out loss was the lowest at the last validation pass (a loss that falls on the train
examples alone is overfitting, and longer would be worse), and where the training had fewer passes than the recipe's
defaults give: at their end the learning rate has gone to zero on purpose. docs/decisions/110 has the simulation.
"""

from collections.abc import Sequence
from statistics import fmean

from tunesmith.records import MetricLine, TrainingLength

MIN_STEEP_DROP = 0.1
"""A tenth of the loss in another quarter of the training."""

MIN_WINDOW_STEPS = 8
"""Steps; a line through fewer says nothing."""


def compute_training_length(
    lines: Sequence[MetricLine],
    *,
    train_examples: int,
    batch_size: int,
    wanted_passes: float,
    seconds: float,
    validation_seconds: float = 0.0,
) -> TrainingLength:
    """How much a training was, from the lines that it wrote; `seconds` is how long all of it took, and
    `validation_seconds` how long its validation passes."""
    steps = [line for line in lines if line.kind == "step"]
    held_out = [line.loss for line in lines if line.kind == "validation" and line.loss is not None]
    per_pass = -(-train_examples // batch_size)
    whole, rest = divmod(len(steps), per_pass)
    examples = whole * train_examples + min(rest * batch_size, train_examples)
    falls = None
    is_unfinished = examples < wanted_passes * train_examples
    if is_unfinished and len(held_out) > 1 and held_out[-1] <= min(held_out):
        falls = estimate_final_loss_drop([line.loss for line in steps if line.loss is not None])
    return TrainingLength(
        steps=len(steps), examples=examples, train_examples=train_examples, seconds=seconds,
        step_seconds=_compute_mean_step_seconds(lines), wanted_passes=wanted_passes, steps_per_pass=per_pass,
        validation_seconds=validation_seconds, fall=falls,
    )  # fmt: skip


def estimate_final_loss_drop(losses: Sequence[float]) -> float | None:
    """The share of the loss that another stretch like the last quarter would take off; None where that is not steep.

    See the head of this file.
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
    from scipy import special  # here, so that the rules can be read without loading scipy

    is_beyond_noise = -slope > float(special.stdtrit(window - 2, 0.95)) * error
    return min(fall, 1.0) if fall > MIN_STEEP_DROP and is_beyond_noise else None


def _compute_mean_step_seconds(lines: Sequence[MetricLine]) -> float:
    """The mean of the applied steps; 0 without one. Each line is written when its work is done."""
    took, before = [], 0.0
    for line in lines:
        if line.kind == "step":
            took.append(max(0.0, line.seconds - before))
        before = line.seconds
    return fmean(took) if took else 0.0
