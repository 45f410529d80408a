"""The costs of each contender: every part with its interval, and which contender is cheapest from
which volume on.

    a month = once / horizon + month + request * requests a month

where once, month and request are the sums of the parts of that kind. `uncertainty_source` names the
uncertain factor behind a part: parts with the same factor, of any contender, are at their low or
high bound together (a busy machine slows all of them), parts with different factors vary
independently. "" is a part without uncertainty.
"""

from datetime import date
from typing import Literal

from pydantic import Field, field_validator

from tunesmith.records.record import Record
from tunesmith.records.training_estimate import EstimateInterval, scale_interval, sum_intervals

CostUnit = Literal["once", "month", "request"]


class PriceRow(Record):
    """A provider's price for the models whose names match `model` (`gpt-6-*`), with source and ISO
    date.

    `host` is the provider's: the row applies only to URLs there; None: to any. `source_kind`:
    whether the source is the vendor's own page or a third party (None: not stated); `vendor_page`
    is the vendor's own price page.
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
        # Parsed and written back, so that only one spelling of a date is stored.
        return date.fromisoformat(text).isoformat()


class TrainingCost(Record):
    """The cost of a tuning: `seconds` of this machine, and what a provider charged."""

    seconds: float = Field(ge=0)
    usd_charged: float = Field(0.0, ge=0)


class OpenInterval(Record):
    """Like `EstimateInterval`, but a bound may be infinite: None."""

    low: float
    expected: float | None
    high: float | None


class CostPart(Record):
    """One part: data, tuning, search, evaluation, judge, inference, hosting or upkeep."""

    name: str
    unit: CostUnit
    usd: EstimateInterval
    uncertainty_source: str = ""


class ContenderCost(Record):
    """The cost parts of one contender; without a part per request its cost is unknown.

    `accuracy` is the fraction of requests answered correctly, failed ones counted as wrong, with
    the interval of the score; `usd_per_1000_correct` follows from it. `exclusion_reason` says why
    it is not compared with the others: a requirement excludes it, or its cost is unknown.
    """

    name: str
    kind: str
    parts: tuple[CostPart, ...]
    accuracy: EstimateInterval
    usd_per_1000_correct: OpenInterval | None
    exclusion_reason: str | None = None

    @property
    def has_request_cost(self) -> bool:
        """Whether the cost of a request is known."""
        return any(part.unit == "request" for part in self.parts)

    def compute_usd(self, per: CostUnit) -> EstimateInterval:
        """The sum of all parts of that kind, with all bounds added up (fully correlated)."""
        return sum_intervals([part.usd for part in self.parts if part.unit == per])

    def compute_usd_per_month(self, requests: float, horizon_months: float) -> EstimateInterval:
        """USD per month at this volume, with one-time costs spread over the horizon."""
        once, month, request = (
            self.compute_usd("once"),
            self.compute_usd("month"),
            self.compute_usd("request"),
        )
        return sum_intervals(
            [scale_interval(once, 1 / horizon_months), month, scale_interval(request, requests)]
        )


class BreakEvenPoint(Record):
    """From `requests` a month on `name` is the cheapest, after `previous` (None: from the first
    request on).
    """

    name: str
    requests: OpenInterval
    previous: str | None
    sentence: str


class CostPrediction(Record):
    """An estimate made before any money was spent, and the actual cost. `ratio` is actual /
    expected.
    """

    name: str
    estimated_usd: EstimateInterval
    actual_usd: float
    ratio: float | None

    @property
    def is_within_range(self) -> bool:
        """Whether the actual cost lies within the estimated interval."""
        return self.estimated_usd.low <= self.actual_usd <= self.estimated_usd.high


class CostReport(Record):
    """The costs of all contenders.

    `requests_per_month` is None if the user did not state it; then no monthly cost is shown.
    `break_even_points` compares the contenders that are not excluded by cost,
    `break_even_points_per_correct` by the cost of a correct answer. For a task that is done once,
    `horizon_months` is 1 and "a month" means "in total" (`is_once`).
    """

    metric: str
    contenders: tuple[ContenderCost, ...]
    requests_per_month: float | None
    horizon_months: float
    is_once: bool
    break_even_points: tuple[BreakEvenPoint, ...]
    break_even_points_per_correct: tuple[BreakEvenPoint, ...]
    predictions: tuple[CostPrediction, ...] = ()
    assumptions: tuple[str, ...] = ()

    def get_contender(self, name: str) -> ContenderCost:
        """The contender of that name. Errors: KeyError."""
        return {contender.name: contender for contender in self.contenders}[name]

    @property
    def prediction_errors(self) -> dict[str, float]:
        """Actual / expected by what was estimated, as in `Run.estimate_error`."""
        return {one.name: one.ratio for one in self.predictions if one.ratio is not None}


def format_volume(requests: float) -> str:
    """Requests rounded to two digits, the precision of such an estimate: `0`, `840`, `12,000`."""
    whole = max(round(requests), 1) if requests > 0 else 0
    return f"{float(f'{whole:.2g}'):,.0f}"
