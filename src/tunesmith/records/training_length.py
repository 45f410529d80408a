"""How much a tuning was, in passes over the data, and whether that is enough to judge fine-tuning by.

A tuned model that has not read its train examples once, or whose loss was still falling steeply when the time ran out,
says nothing about fine-tuning: its score is that of the time limit. See docs/decisions/110.
"""

from math import ceil

from tunesmith.records.quantity import format_duration, format_percent
from tunesmith.records.record import Record

MIN_EPOCHS = 1.0
"""Fewer passes over the train examples are no tuning that could be judged."""

MAX_VALIDATION_FRACTION = 0.2
"""The most of a time budget that validation passes during training may take."""


class TrainingLength(Record):
    """`examples` were read in `steps` steps, each as often as it was read; there are `train_examples` different ones.

    `seconds` is the whole training with validation passes, `validation_seconds` those alone, `step_seconds` one step.
    `wanted_passes` is what the recipe's defaults would have given. `fall` is the share of the training loss that
    another stretch as long as the last quarter of the steps would have taken off, where that is beyond its noise and
    the held-out loss fell to the end (`decision/undertraining.py`); None where it is not, or was not measured.
    """

    steps: int
    examples: int
    train_examples: int
    seconds: float
    step_seconds: float
    wanted_passes: float
    steps_per_pass: int
    validation_seconds: float = 0.0
    fall: float | None = None

    @property
    def epochs(self) -> float:
        """How often the train examples were read, on average."""
        return self.examples / max(1, self.train_examples)

    @property
    def is_short(self) -> bool:
        """Whether a model tuned so little says nothing about fine-tuning."""
        return self.epochs < MIN_EPOCHS or self.fall is not None

    @property
    def summary(self) -> str:
        """As a sentence about the tuning ends: `tuned for ...`."""
        return explain_short_training(self)

    @property
    def default_minutes(self) -> float:
        """What `wanted_passes` take, with the validation passes that a time budget leaves room for."""
        steps = ceil(self.wanted_passes * self.steps_per_pass)
        return steps * self.step_seconds / (1 - MAX_VALIDATION_FRACTION) / 60


def format_epochs(extent: TrainingLength) -> str:
    """`0.13 of one pass over the data (48 of 359 examples, 3 steps)`, `3 passes over the data (359 examples, ...)`."""
    steps = f"{extent.steps:,} step{'' if extent.steps == 1 else 's'}"
    if extent.epochs < MIN_EPOCHS:
        share = f"{extent.epochs:.2g}" if extent.epochs < 0.995 else f"{extent.epochs:.3f}"
        return f"{share} of one pass over the data ({extent.examples:,} of {extent.train_examples:,} examples, {steps})"
    count = f"{extent.epochs:.2g}" if extent.epochs < 9.95 else f"{extent.epochs:,.0f}"
    word = "pass" if count == "1" else "passes"
    return f"{count} {word} over the data ({extent.train_examples:,} examples, {steps})"


def explain_short_training(extent: TrainingLength) -> str:
    """What a model tuned so little lacks, as the end of a sentence about it."""
    if extent.epochs < MIN_EPOCHS or extent.fall is None:
        return format_epochs(extent)
    return (
        f"{format_epochs(extent)}, and its training loss was still falling: by another {format_percent(extent.fall)} "
        "in as many steps as its last quarter"
    )


def format_needed_minutes(extent: TrainingLength) -> str:
    """`3 passes need about 12 min (--minutes 12)`; nothing where no step was timed."""
    if extent.step_seconds <= 0:
        return ""
    minutes = extent.default_minutes
    flag = f"{ceil(minutes)}" if minutes > 2 else f"{ceil(10 * minutes) / 10:g}"
    passes = f"{extent.wanted_passes:g} pass{'' if extent.wanted_passes == 1 else 'es'}"
    needs = "needs" if extent.wanted_passes == 1 else "need"
    return f"{passes} {needs} about {format_duration(60 * minutes)} (--minutes {flag})"
