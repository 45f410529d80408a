"""What a training will need, estimated before anything is spent."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from tunesmith.records.record import Record
from tunesmith.records.training_length import TrainingLength


class MemoryPlan(Record):
    """How a step is cut into micro-batches of at most `max_tokens` tokens and `max_examples`
    examples.

    The defaults hold until one is found by trial (`engine/memory_plan.py`). `checkpointing`:
    activations are recomputed in the backward pass. `bytes_per_token` was measured; `budget_bytes`
    was available for it.
    """

    max_tokens: int = 2048
    max_examples: int = 1 << 30
    checkpointing: bool = False
    bytes_per_token: int = 0
    budget_bytes: int = 0


class EstimateInterval(Record):
    """The `expected` value, and a likely range around it."""

    low: float
    expected: float
    high: float


def make_point_interval(value: float) -> EstimateInterval:
    """An interval without uncertainty."""
    return EstimateInterval(low=value, expected=value, high=value)


def scale_interval(interval: EstimateInterval, factor: float) -> EstimateInterval:
    """All three values, multiplied by `factor`."""
    return EstimateInterval(
        low=interval.low * factor, expected=interval.expected * factor, high=interval.high * factor
    )


def sum_intervals(ranges: Sequence[EstimateInterval]) -> EstimateInterval:
    """The sums of the bounds: all parts are at their low or high end together (fully
    correlated).
    """
    return EstimateInterval(
        low=sum(one.low for one in ranges),
        expected=sum(one.expected for one in ranges),
        high=sum(one.high for one in ranges),
    )


class Estimate(Record):
    """Time, memory and cost of one training; `evaluation_seconds` is what `decide` adds for running
    all contenders.

    `seconds` covers the steps and validation passes, as in `TrainingResult`; `breakdown` are its
    expected components. `tokens_computed` is what remains of `tokens_read` when shared prefixes are
    computed once and nothing after the last trained token is computed. `method`: "quick" from a few
    layers of the model, "measured" from the whole model. `corrections` are the corrections learned
    from past runs on this machine; `expected` includes them. `training_length` is the planned
    length of the tuning; `load` is the number of processes per core during the measurement,
    `waiting` the fraction of the time that this program waited for a core, and `estimating_seconds`
    the duration of the measurement.
    """

    method: Literal["quick", "measured"]
    steps: int
    tokens_read: int
    tokens_trained: int
    tokens_computed: int
    plan: MemoryPlan
    seconds: EstimateInterval
    breakdown: dict[str, float]
    evaluation_seconds: EstimateInterval
    memory_bytes: EstimateInterval
    usd: EstimateInterval
    decide_usd: EstimateInterval
    corrections: dict[str, float] = Field(default_factory=dict)
    training_length: TrainingLength | None = None
    load: float | None = None
    waiting: float | None = None
    estimating_seconds: float = 0.0
    assumptions: tuple[str, ...] = ()
