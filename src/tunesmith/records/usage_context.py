"""What no data answer, asked once: it enters costs, upkeep and the reasons of the verdict."""

from typing import Literal

from pydantic import Field

from tunesmith.records.record import Record

Frequency = Literal["never", "yearly", "monthly", "weekly", "daily"]


class UsageContext(Record):
    """How the task is used. Null: not specified; the report lists what is unknown."""

    task_change_frequency: Frequency | None = Field(
        None, description="How often the task itself changes (labels, format, rules)."
    )
    fact_change_frequency: Frequency | None = Field(
        None, description="How often the facts behind the answers change."
    )
    recurrence: Literal["once", "ongoing"] | None = Field(
        None, description="Whether the task is done once or recurs."
    )
    requests_per_month: float | None = Field(
        None, ge=0, description="Requests a month (in total, if it is done once)."
    )
    data_residency: Literal["local", "private_cloud", "any"] | None = Field(
        None, description="Where the data may be sent: this machine, your own cloud, anywhere."
    )
    max_wait_seconds: float | None = Field(
        None, gt=0, description="Longest wait for one answer that users accept."
    )
