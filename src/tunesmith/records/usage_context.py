"""What no data answer, asked once: it enters costs, upkeep and the reasons of the verdict."""

from typing import Literal

from pydantic import Field

from tunesmith.records.record import Record

Frequency = Literal["never", "yearly", "monthly", "weekly", "daily"]


class UsageContext(Record):
    """What no data answer. None: not specified; the report lists what is unknown."""

    task_changes: Frequency | None = None
    facts_change: Frequency | None = None
    used: Literal["once", "ongoing"] | None = None
    requests_per_month: float | None = Field(None, ge=0)
    data_may_go: Literal["this machine", "own cloud", "anywhere"] | None = None
    longest_wait_seconds: float | None = Field(None, gt=0)
