"""Anomalous steps: a loss or gradient that is not finite, and a loss far above the usual one.

A non-finite step is detected before the optimizer moves, so it reaches neither weights nor moments
and nothing has to be rolled back (docs/decisions/050). The recipe decides whether the run stops
there or skips the step; several consecutive ones are not an accident, and the run stops. A sudden
high loss is applied, with the gradient clipped, and reported.
"""

from typing import Literal

from tunesmith.engine.schedule import TrainingProgress
from tunesmith.errors import TrainingError

MAX_CONSECUTIVE_BAD_STEPS = 3
SPIKE_FACTOR = 100
# Below this the usual loss is that of a memorized text, and multiples of it mean nothing.
SPIKE_FLOOR_NATS = 0.01
NON_FINITE_CODES = ("training/loss-not-finite", "training/gradient-not-finite")


def should_skip_step(
    error: TrainingError, policy: Literal["stop", "skip"], progress: TrainingProgress
) -> bool:
    """Whether this failed step may be skipped; counts consecutive failed steps in `progress`."""
    progress.consecutive_bad_steps += 1
    return (
        policy == "skip"
        and error.code in NON_FINITE_CODES
        and progress.consecutive_bad_steps <= MAX_CONSECUTIVE_BAD_STEPS
    )


def describe_loss_spike(loss: float, progress: TrainingProgress) -> str | None:
    """A warning if the loss of an applied step is a spike, else None; updates the running mean."""
    progress.consecutive_bad_steps = 0
    usual = loss if progress.mean_loss is None else progress.mean_loss
    progress.mean_loss = 0.9 * usual + 0.1 * loss
    # The mean was updated first, but the spike is compared with the one before it.
    if loss <= SPIKE_FACTOR * max(usual, SPIKE_FLOOR_NATS):
        return None
    return f"loss {loss:.4g} is {loss / max(usual, SPIKE_FLOOR_NATS):,.0f} times its running mean"
