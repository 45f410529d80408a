"""Steps that go wrong: a loss or a gradient that is not finite, and a loss far above the usual one.

A step that is not finite is found before the optimizer moves, so no weight and no moment ever sees it: there is nothing
to roll back (docs/decisions/050). The recipe says whether the run stops there or leaves the step out; a few in a row
are no accident, and it stops. A sudden high loss is applied, the gradient being clipped, and is told.
"""

from typing import Literal

from tunesmith.engine.schedule import TrainingProgress
from tunesmith.errors import TrainingError

MAX_CONSECUTIVE_BAD_STEPS = 3
SPIKE_FACTOR = 100
SPIKE_FLOOR_NATS = 0.01  # below this the usual loss is that of a text known by heart, and its multiples mean nothing
NON_FINITE_CODES = ("training/loss-not-finite", "training/gradient-not-finite")


def should_skip_step(error: TrainingError, policy: Literal["stop", "skip"], progress: TrainingProgress) -> bool:
    """Whether this step may be left out; counts those in a row."""
    progress.bad_in_a_row += 1
    return policy == "skip" and error.code in NON_FINITE_CODES and progress.bad_in_a_row <= MAX_CONSECUTIVE_BAD_STEPS


def describe_loss_spike(loss: float, progress: TrainingProgress) -> str | None:
    """What is odd about the loss of a step that was applied; keeps the running mean that it is compared with."""
    progress.bad_in_a_row = 0
    usual = loss if progress.usual_loss is None else progress.usual_loss
    progress.usual_loss = 0.9 * usual + 0.1 * loss
    if loss <= SPIKE_FACTOR * max(usual, SPIKE_FLOOR_NATS):
        return None
    return f"the loss {loss:.4g} is {loss / max(usual, SPIKE_FLOOR_NATS):,.0f} times the usual"
