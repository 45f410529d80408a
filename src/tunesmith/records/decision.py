"""The answer to "should I prompt, retrieve or fine-tune?", with its reasons."""

from typing import Literal

from pydantic import Field

from tunesmith.records.record import Record

Verdict = Literal["fine-tune", "prompt", "rag", "fine-tune+rag", "stop", "cannot tell"]


class Bar(Record):
    """What the user asks of a winner. None: not asked (`decision/bar.py` says what holds then).

    `min_score` the deciding metric must reach; `min_gain` by how much a dearer contender must beat a simpler one to be
    worth it (in the metric's own unit, 0.02 = two points); `max_usd_per_1000` requests; `max_latency_seconds` for one
    request that is alone; `max_forgetting` is by how much general ability may fall (0.05 = five points).
    """

    min_score: float | None = None
    min_gain: float = Field(0.0, ge=0, lt=1)
    max_usd_per_1000: float | None = None
    max_latency_seconds: float | None = None
    max_forgetting: float | None = Field(0.05, ge=0, lt=1)


class Decision(Record):
    """A verdict that can be checked again from the evaluation record alone.

    `winner` is the contender's name, None for `stop` and `cannot tell`. `reasons` are sentences for a manager, each
    with its numbers. `needed_test_examples` is set when the verdict is `cannot tell`.
    """

    verdict: Verdict
    winner: str | None
    metric: str
    bar: Bar
    reasons: tuple[str, ...]
    needed_test_examples: int | None = None
    evaluation: str
