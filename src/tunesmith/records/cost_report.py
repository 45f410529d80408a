"""What each contender costs: every piece with its doubt, and from which volume which one is cheapest.

    a month = once / horizon + month + request * requests a month

where once, month and request are the sums of the pieces of that kind. `moves_with` names what makes a piece uncertain:
pieces of one cause, of whichever contender, are low together or high together (a busy machine slows them all), and
pieces of different causes are not. "" is a piece without doubt.
"""

from datetime import date
from typing import Literal

from pydantic import Field, field_validator

from tunesmith.records.record import Record
from tunesmith.records.training_estimate import EstimateInterval, scale_interval, sum_intervals

CostUnit = Literal["once", "month", "request"]


class PriceRow(Record):
    """What a provider charges for the models whose names fit `model` (`gpt-6-*`), with who says so and when (ISO date).

    `host` is the provider's: a row counts only for URLs there; None: for any. `source_kind`: whether the source is the
    vendor's own page or a third party (None: not said); `vendor_page` is where the vendor itself says its prices.
    """

    model: str = Field(min_length=1)
    provider: str = Field(min_length=1)
    host: str | None = None
    usd_per_million_in: float = Field(ge=0)
    usd_per_million_out: float = Field(ge=0)
    tuning_usd_per_million: float | None = Field(None, ge=0)
    source: str = Field(min_length=1)
    source_kind: Literal["vendor", "third party"] | None = None
    vendor_page: str | None = None
    date: str
    note: str = ""

    @field_validator("date")
    @classmethod
    def _is_iso(cls, text: str) -> str:
        return date.fromisoformat(text).isoformat()


class TrainingCost(Record):
    """What a tuning took: `seconds` of this machine, and what a provider charged."""

    seconds: float = Field(ge=0)
    usd_charged: float = Field(0.0, ge=0)


class OpenInterval(Record):
    """Like `EstimateInterval`, for what may have no end: None is beyond every number."""

    low: float
    expected: float | None
    high: float | None


class CostPart(Record):
    """One piece: data, tuning, search, evaluation, judge, inference, hosting or upkeep."""

    what: str
    per: CostUnit
    usd: EstimateInterval
    moves_with: str = ""


class ContenderCost(Record):
    """The pieces of one contender; without a piece per request nobody knows what it costs.

    `correct` is the share of requests answered right, failed ones counted as not, in the interval of the score;
    `usd_per_1000_correct` follows from it. `excluded` says why it is not compared with the others: the bar forbids it,
    or its cost is not known.
    """

    name: str
    kind: str
    parts: tuple[CostPart, ...]
    correct: EstimateInterval
    usd_per_1000_correct: OpenInterval | None
    excluded: str | None = None

    @property
    def has_request_cost(self) -> bool:
        """Whether anything tells what a request costs."""
        return any(part.per == "request" for part in self.parts)

    def compute_usd(self, per: CostUnit) -> EstimateInterval:
        """All pieces of that kind together, as if all went wrong together."""
        return sum_intervals([part.usd for part in self.parts if part.per == per])

    def compute_usd_per_month(self, requests: float, horizon_months: float) -> EstimateInterval:
        """At this many requests a month, with what is paid once spread over the horizon."""
        once, month, request = self.compute_usd("once"), self.compute_usd("month"), self.compute_usd("request")
        return sum_intervals([scale_interval(once, 1 / horizon_months), month, scale_interval(request, requests)])


class BreakEvenPoint(Record):
    """From `requests` a month on `name` is the cheapest, in place of `before` (None: from the first request on)."""

    name: str
    requests: OpenInterval
    before: str | None
    sentence: str


class CostPrediction(Record):
    """What was foreseen before anything was spent, and what came. `ratio` is actual / expected."""

    what: str
    foreseen: EstimateInterval
    actual_usd: float
    ratio: float | None

    @property
    def is_within_range(self) -> bool:
        """Whether the actual cost lies between the low and the high one."""
        return self.foreseen.low <= self.actual_usd <= self.foreseen.high


class CostReport(Record):
    """The costs of all contenders. `requests_per_month` is None where nobody said; then nothing is told a month.

    `cheapest` compares those that are not excluded by what they cost, `cheapest_correct` by what a right answer costs.
    With a task that is done once, `horizon_months` is 1 and "a month" means "in all" (`is_once`).
    """

    metric: str
    contenders: tuple[ContenderCost, ...]
    requests_per_month: float | None
    horizon_months: float
    is_once: bool
    cheapest: tuple[BreakEvenPoint, ...]
    cheapest_correct: tuple[BreakEvenPoint, ...]
    predictions: tuple[CostPrediction, ...] = ()
    assumptions: tuple[str, ...] = ()

    def get_contender(self, name: str) -> ContenderCost:
        """The contender of that name. Errors: KeyError."""
        return {contender.name: contender for contender in self.contenders}[name]

    @property
    def prediction_errors(self) -> dict[str, float]:
        """Actual / expected by what was foreseen, as in `Run.estimate_error`."""
        return {one.what: one.ratio for one in self.predictions if one.ratio is not None}


def format_volume(requests: float) -> str:
    """Requests to two digits, as nobody knows more: `0`, `840`, `12,000`."""
    whole = max(round(requests), 1) if requests > 0 else 0
    return f"{float(f'{whole:.2g}'):,.0f}"
