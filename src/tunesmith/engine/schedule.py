"""The learning rate during training, as a fraction of its peak.

    progress p in [0, 1], warm-up fraction u:  p < u          p / u
                                               linear         (1 - p) / (1 - u)
                                               cosine         (1 + cos(pi (p - u) / (1 - u))) / 2
                                               constant       1

Progress is counted in steps when the recipe gives epochs, in elapsed time when it gives minutes:
the schedule then adapts to the budget, of which the last validation pass gets the end. A step is
evaluated at its midpoint, so that neither the first nor the last one is wasted at rate zero.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tunesmith.records import ResolvedTrainingRecipe

Decay = Literal["linear", "cosine", "constant"]


def compute_lr_multiplier(progress: float, warmup_ratio: float, decay: Decay) -> float:
    """Learning rate / peak learning rate, in [0, 1], at this progress."""
    if progress < warmup_ratio:
        return progress / warmup_ratio
    rest = min(1.0, (progress - warmup_ratio) / (1 - warmup_ratio))
    if decay == "linear":
        return 1 - rest
    return (1 + math.cos(math.pi * rest)) / 2 if decay == "cosine" else 1.0


STATE_FIELDS = (
    "step",
    "step_seconds",
    "last_validation_seconds",
    "validations",
    "validations_without_gain",
    "lowest_loss",
    "tokens_read",
    "tokens_trained",
    "consecutive_bad_steps",
    "mean_loss",
    "planned_validations",
    "validation_examples",
    "validation_seconds",
)
"""The fields of `TrainingProgress` that a checkpoint stores, in addition to the elapsed seconds."""

OLD_STATE_NAMES = {
    "last_validation_seconds": "look_seconds",
    "validations": "looks",
    "validations_without_gain": "looks_without_gain",
    "consecutive_bad_steps": "bad_in_a_row",
    "mean_loss": "usual_loss",
    "planned_validations": "evaluations",
    "validation_examples": "look_examples",
}
"""Field -> its name in checkpoints of earlier versions."""


@dataclass
class TrainingProgress:
    """How far a training is. Exactly one of `planned_steps` and `budget_seconds` is set.

    `validations`: index of the last validation pass, 0 for the base model's, -1 before it.
    `validations_without_gain`: passes since the last one with the best score or the lowest loss so
    far. `mean_loss`: running mean of the training loss, None before step 1.
    `consecutive_bad_steps`: consecutive failed steps. `planned_validations`: planned passes after
    the base model's, each over the first `validation_examples` of the validation split (None: all
    of it). `last_validation_seconds`: duration of the last pass; `validation_seconds`: of all of
    them so far.
    """

    planned_steps: int | None
    budget_seconds: float | None
    clock: Callable[[], float] = time.monotonic
    step: int = 0
    step_seconds: float = 0.0
    last_validation_seconds: float = 0.0
    validations: int = -1
    validations_without_gain: int = 0
    lowest_loss: float | None = None
    tokens_read: int = 0
    tokens_trained: int = 0
    consecutive_bad_steps: int = 0
    mean_loss: float | None = None
    planned_validations: int = 1
    validation_examples: int | None = None
    validation_seconds: float = 0.0
    start_seconds: float = field(init=False)

    def __post_init__(self) -> None:
        self.start_seconds = self.clock()

    @classmethod
    def from_recipe(
        cls, training: ResolvedTrainingRecipe, steps_per_epoch: int
    ) -> "TrainingProgress":
        """The start of a training of the length that the recipe gives."""
        length, unit = training.length
        return cls(
            planned_steps=max(1, round(length * steps_per_epoch)) if unit == "epochs" else None,
            budget_seconds=length * 60 if unit == "minutes" else None,
            planned_validations=training.num_evals,
        )

    @property
    def seconds(self) -> float:
        """Seconds since the start, including the time before a resume."""
        return self.clock() - self.start_seconds

    def as_state(self) -> dict[str, Any]:
        """All counters as plain numbers, for a checkpoint."""
        return {name: getattr(self, name) for name in STATE_FIELDS} | {"seconds": self.seconds}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint's state: its counters and its elapsed time."""
        for name in STATE_FIELDS:
            # A checkpoint of an older version may lack a counter that was added later.
            earlier = state.get(OLD_STATE_NAMES.get(name, name), getattr(self, name))
            setattr(self, name, state.get(name, earlier))
        self.start_seconds = self.clock() - state["seconds"]

    @property
    def completed_fraction(self) -> float:
        """Completed fraction of the training, in [0, 1]."""
        if self.planned_steps is not None:
            return min(1.0, self.step / self.planned_steps)
        return min(1.0, self.seconds / self._training_seconds)

    def record_validation(self, number: int, seconds: float, loss: float, *, is_best: bool) -> None:
        """Record validation pass `number`; the base model's sets the first lowest loss."""
        self.validations, self.last_validation_seconds = number, seconds
        self.validation_seconds += seconds
        is_lowest = self.lowest_loss is None or loss < self.lowest_loss
        self.lowest_loss = loss if is_lowest else self.lowest_loss
        self.validations_without_gain = (
            0 if is_best or is_lowest else self.validations_without_gain + 1
        )

    def has_exhausted_patience(self, patience: int | None) -> bool:
        """Whether `patience` passes in succession had no best score and no lowest loss."""
        return patience is not None and self.validations_without_gain >= patience

    @property
    def next_step_midpoint(self) -> float:
        """The progress, in [0, 1], at which the step that starts now will be half done."""
        if self.planned_steps is not None:
            return (self.step + 0.5) / self.planned_steps
        return min(1.0, (self.seconds + self.step_seconds / 2) / self._training_seconds)

    @property
    def _training_seconds(self) -> float:
        """The budget minus the time of the last validation pass, but at least a tenth of it, so
        that something is trained."""
        assert self.budget_seconds is not None
        return max(self.budget_seconds - self.last_validation_seconds, self.budget_seconds / 10)
