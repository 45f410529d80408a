"""The length of a tuning in passes over the data, and whether it suffices to judge fine-tuning by.

A tuned model that has not read its training examples once, or whose loss was still falling steeply
when the time ran out, says nothing about fine-tuning: its score is that of the time limit. See
docs/decisions/110.
"""

from math import ceil

from tunesmith.records.quantity import format_duration, format_percent
from tunesmith.records.record import Record

MIN_EPOCHS = 1.0
"""A tuning with fewer passes over the training examples cannot be judged."""

MAX_VALIDATION_FRACTION = 0.2
"""Maximum fraction of a time budget that validation passes during training may take."""


class TrainingLength(Record):
    """The length of a training: `examples` read in `steps` steps, repeated ones counted each time,
    of `train_examples` distinct ones.

    `seconds` is the whole training with validation passes, `validation_seconds` those alone,
    `step_seconds` one step. `default_epochs` is the recipe's default number of epochs.
    `remaining_loss_drop` is the fraction of the training loss that another stretch like the last
    quarter of the steps would have removed, if that is significant and the validation loss fell to
    the end (`decision/undertraining.py`); None if not, or not measured.
    """

    steps: int
    examples: int
    train_examples: int
    seconds: float
    step_seconds: float
    default_epochs: float
    steps_per_epoch: int
    validation_seconds: float = 0.0
    remaining_loss_drop: float | None = None

    @property
    def epochs(self) -> float:
        """How often the training examples were read, on average."""
        return self.examples / max(1, self.train_examples)

    @property
    def is_short(self) -> bool:
        """Whether the tuning was too short to judge fine-tuning by."""
        return self.epochs < MIN_EPOCHS or self.remaining_loss_drop is not None

    @property
    def summary(self) -> str:
        """The end of a sentence that begins `tuned for`."""
        return explain_short_training(self)

    @property
    def default_minutes(self) -> float:
        """Minutes for `default_epochs`, including the validation passes that a time budget
        allows.
        """
        steps = ceil(self.default_epochs * self.steps_per_epoch)
        return steps * self.step_seconds / (1 - MAX_VALIDATION_FRACTION) / 60


def format_epochs(extent: TrainingLength) -> str:
    """For example `0.13 of one pass over the data (48 of 359 examples, 3 steps)`, `3 passes over
    the data (359 examples, ...)`.
    """
    steps = f"{extent.steps:,} step{'' if extent.steps == 1 else 's'}"
    if extent.epochs < MIN_EPOCHS:
        # Two digits would round 0.996 to "1 of one pass".
        share = f"{extent.epochs:.2g}" if extent.epochs < 0.995 else f"{extent.epochs:.3f}"
        return (
            f"{share} epochs ({extent.examples:,} of {extent.train_examples:,} examples, {steps})"
        )
    count = f"{extent.epochs:.2g}" if extent.epochs < 9.95 else f"{extent.epochs:,.0f}"
    word = "epoch" if count == "1" else "epochs"
    return f"{count} {word} ({extent.train_examples:,} examples, {steps})"


def explain_short_training(extent: TrainingLength) -> str:
    """What so short a tuning lacks, as the end of a sentence."""
    if extent.epochs < MIN_EPOCHS or extent.remaining_loss_drop is None:
        return format_epochs(extent)
    return (
        f"{format_epochs(extent)}, and the training loss was still falling: by another "
        f"{format_percent(extent.remaining_loss_drop)} over as many steps as the last quarter"
    )


def format_needed_minutes(extent: TrainingLength) -> str:
    """For example `3 passes need about 12 min (--minutes 12)`; empty if no step was timed."""
    if extent.step_seconds <= 0:
        return ""
    minutes = extent.default_minutes
    flag = f"{ceil(minutes)}" if minutes > 2 else f"{ceil(10 * minutes) / 10:g}"
    epochs = f"{extent.default_epochs:g} epoch{'' if extent.default_epochs == 1 else 's'}"
    takes = "takes" if extent.default_epochs == 1 else "take"
    return f"{epochs} {takes} about {format_duration(60 * minutes)} (--minutes {flag})"
