"""What a training will need, told before anything is spent."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from tunesmith.records.record import Record
from tunesmith.records.training_length import TrainingLength


class MemoryPlan(Record):
    """How a step is cut into micro-batches of at most `most_tokens` tokens and `max_examples` examples.

    The defaults hold until one is found by trial (`engine/memory_plan.py`). `checkpointing`: layers are computed again
    in
    the backward pass. `bytes_per_token` was measured; `budget_bytes` was free for it.
    """

    most_tokens: int = 2048
    most_examples: int = 1 << 30
    checkpointing: bool = False
    bytes_per_token: int = 0
    budget_bytes: int = 0


class EstimateInterval(Record):
    """`expected`, and between what it will most likely be."""

    low: float
    expected: float
    high: float


def make_point_interval(value: float) -> EstimateInterval:
    """No doubt about it."""
    return EstimateInterval(low=value, expected=value, high=value)


def scale_interval(interval: EstimateInterval, factor: float) -> EstimateInterval:
    """All three, multiplied."""
    return EstimateInterval(low=interval.low * factor, expected=interval.expected * factor, high=interval.high * factor)


def sum_intervals(ranges: Sequence[EstimateInterval]) -> EstimateInterval:
    """As if all went wrong together."""
    return EstimateInterval(
        low=sum(one.low for one in ranges),
        expected=sum(one.expected for one in ranges),
        high=sum(one.high for one in ranges),
    )


class Estimate(Record):
    """Time, memory and money of one training; `evaluation_seconds` is what `decide` adds for asking all contenders.

    `seconds` is for the steps and the looks at the validation split, as in `TrainingResult`; `parts` are its expected
    pieces. `tokens_computed` is what is left of `tokens_read` when shared beginnings are computed once and nothing is
    behind the last trained token. `how`: "quick" from a few layers of the model, "measured" from the whole model.
    `factors` are the corrections that were learned from past runs on this machine and are contained in `expected`.
    `extent` is how much the tuning will be; `load` is how many processes wanted each core when this was measured,
    `waiting` the share of the time that this program waited for one, and `estimating_seconds` what measuring took.
    """

    how: Literal["quick", "measured"]
    steps: int
    tokens_read: int
    tokens_trained: int
    tokens_computed: int
    plan: MemoryPlan
    seconds: EstimateInterval
    parts: dict[str, float]
    asking_seconds: EstimateInterval
    memory_bytes: EstimateInterval
    usd: EstimateInterval
    decide_usd: EstimateInterval
    factors: dict[str, float] = Field(default_factory=dict)
    extent: TrainingLength | None = None
    load: float | None = None
    waiting: float | None = None
    estimating_seconds: float = 0.0
    assumptions: tuple[str, ...] = ()
