"""The learning rate over a training, as a share of its peak.

    progress p in [0, 1], warm-up share u:   p < u          p / u
                                             linear         (1 - p) / (1 - u)
                                             cosine         (1 + cos(pi (p - u) / (1 - u))) / 2
                                             constant       1

Progress is counted in steps when the recipe says epochs, in elapsed time when it says minutes: the schedule then fits
itself to the budget, and what is left after it is the last validation. A step is placed at its middle, so neither the
first nor the last one is wasted at rate zero.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tunesmith.records import TrainingRecipe

Decay = Literal["linear", "cosine", "constant"]


def compute_lr_multiplier(progress: float, warmup_share: float, decay: Decay) -> float:
    """Learning rate / peak learning rate at this progress."""
    if progress < warmup_share:
        return progress / warmup_share
    rest = min(1.0, (progress - warmup_share) / (1 - warmup_share))
    if decay == "linear":
        return 1 - rest
    return (1 + math.cos(math.pi * rest)) / 2 if decay == "cosine" else 1.0


STATE_FIELDS = (
    "step", "step_seconds", "look_seconds", "looks", "looks_without_gain", "lowest_loss", "tokens_read",
    "tokens_trained", "bad_in_a_row", "usual_loss", "evaluations", "look_examples", "validation_seconds",
)  # fmt: skip
"""What of a progress is kept in a checkpoint, beside the seconds."""


@dataclass
class TrainingProgress:
    """How far a training is. Exactly one of `planned_steps` and `budget_seconds` is set.

    `looks` counts finished looks at the validation split, the one at the base model as number 0; `looks_without_gain`
    those since the last that had the best score or the lowest loss so far. `usual_loss` is a running mean, None
    before step 1. `evaluations` are the looks after the base model's that are planned, each at the first
    `look_examples` of the validation split (None: at all of it); `validation_seconds` is what they took so far.
    """

    planned_steps: int | None
    budget_seconds: float | None
    clock: Callable[[], float] = time.monotonic
    step: int = 0
    step_seconds: float = 0.0
    look_seconds: float = 0.0
    looks: int = -1
    looks_without_gain: int = 0
    lowest_loss: float | None = None
    tokens_read: int = 0
    tokens_trained: int = 0
    bad_in_a_row: int = 0
    usual_loss: float | None = None
    evaluations: int = 1
    look_examples: int | None = None
    validation_seconds: float = 0.0
    start_seconds: float = field(init=False)

    def __post_init__(self) -> None:
        self.start_seconds = self.clock()

    @classmethod
    def from_recipe(cls, training: TrainingRecipe, steps_per_epoch: int) -> "TrainingProgress":
        """At the beginning of what the recipe asks for."""
        epochs, minutes = training.epochs, training.minutes
        steps = None if epochs is None else max(1, round(epochs * steps_per_epoch))
        budget = None if minutes is None else minutes * 60
        return cls(planned_steps=steps, budget_seconds=budget, evaluations=training.evaluations)

    @property
    def seconds(self) -> float:
        """Seconds since the beginning."""
        return self.clock() - self.start_seconds

    def as_state(self) -> dict[str, Any]:
        """Everything that was counted, for a checkpoint."""
        return {name: getattr(self, name) for name in STATE_FIELDS} | {"seconds": self.seconds}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint: what was counted there is counted, and its time is used."""
        for name in STATE_FIELDS:
            setattr(self, name, state.get(name, getattr(self, name)))  # a checkpoint may be older than a count
        self.start_seconds = self.clock() - state["seconds"]

    @property
    def completed_fraction(self) -> float:
        """The share of the training that lies behind, in [0, 1]."""
        if self.planned_steps is not None:
            return min(1.0, self.step / self.planned_steps)
        return min(1.0, self.seconds / self._training_seconds)

    def record_validation(self, number: int, seconds: float, loss: float, *, is_best: bool) -> None:
        """Count a look at the validation split; the base model's is where the lowest loss begins."""
        self.looks, self.look_seconds = number, seconds
        self.validation_seconds += seconds
        is_lowest = self.lowest_loss is None or loss < self.lowest_loss
        self.lowest_loss = loss if is_lowest else self.lowest_loss
        self.looks_without_gain = 0 if is_best or is_lowest else self.looks_without_gain + 1

    def has_exhausted_patience(self, patience: int | None) -> bool:
        """Whether so many looks in a row had neither the best score nor the lowest loss so far."""
        return patience is not None and self.looks_without_gain >= patience

    @property
    def next_step_midpoint(self) -> float:
        """Where the step that begins now will be half done."""
        if self.planned_steps is not None:
            return (self.step + 0.5) / self.planned_steps
        return min(1.0, (self.seconds + self.step_seconds / 2) / self._training_seconds)

    @property
    def _training_seconds(self) -> float:
        """The budget without the last look at the validation split; at least a tenth of it, so something is trained."""
        assert self.budget_seconds is not None
        return max(self.budget_seconds - self.look_seconds, self.budget_seconds / 10)
