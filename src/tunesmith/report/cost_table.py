"""The costs as shown in the report: one table for the page and for Markdown, with the same words;
an unknown value is never shown as zero.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tunesmith.records import (
    Contender,
    ContenderCost,
    CostReport,
    EstimateInterval,
    Evaluation,
    OpenInterval,
)
from tunesmith.records.cost_report import format_volume
from tunesmith.records.quantity import format_duration, format_usd
from tunesmith.report.text_escaping import render_table, reveal_hidden_characters

UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class CostRow:
    """One contender: the expected number of each column, and its range ("": none)."""

    name: str
    cells: tuple[tuple[str, str], ...]


def list_cost_columns(report: CostReport) -> tuple[str, ...]:
    """The columns after the contender's name."""
    running = "in total at your volume" if report.is_once else "per month at your volume"
    return ("1,000 requests", "1,000 correct answers", "one-time", running, "cheapest from")


def build_cost_rows(report: CostReport) -> list[CostRow]:
    """Every contender, in the order of the evaluation."""
    return [CostRow(one.name, _build_cells(one, report)) for one in report.contenders]


def _build_cells(one: ContenderCost, report: CostReport) -> tuple[tuple[str, str], ...]:
    if not one.has_request_cost:
        return ((UNKNOWN, ""), (UNKNOWN, ""), (UNKNOWN, ""), (UNKNOWN, ""), ("", ""))
    request, requests = one.compute_usd("request"), report.requests_per_month
    monthly = (
        None if requests is None else one.compute_usd_per_month(requests, report.horizon_months)
    )
    return (
        _format_amount(
            EstimateInterval(
                low=1000 * request.low, expected=1000 * request.expected, high=1000 * request.high
            )
        ),
        (
            _format_amount(one.usd_per_1000_correct)
            if one.usd_per_1000_correct
            else ("none correct", "")
        ),
        _format_amount(one.compute_usd("once")),
        _format_amount(monthly) if monthly else ("volume not specified", ""),
        _format_cheapest(one, report),
    )


def _format_amount(amount: EstimateInterval | OpenInterval) -> tuple[str, str]:
    low, middle, high = amount.low, amount.expected, amount.high
    # All numbers of a cell get the decimals that its smallest one needs.
    amounts = [number for number in (low, middle, high) if number is not None]
    if middle is None:
        return f"at least {format_usd(low)}", ""
    doubt = "no upper bound" if high is None else format_usd(high, amounts)
    return format_usd(middle, amounts), (
        "" if low == middle == high else f"{format_usd(low, amounts)} to {doubt}"
    )


def _format_cheapest(one: ContenderCost, report: CostReport) -> tuple[str, str]:
    if one.exclusion_reason is not None:
        return "excluded", ""
    step = next((step for step in report.break_even_points if step.name == one.name), None)
    if step is None or step.requests.expected is None:
        return "never", ""
    if step.previous is None:
        return "first request", ""
    high = "never" if step.requests.high is None else format_volume(step.requests.high)
    return format_volume(step.requests.expected), f"{format_volume(step.requests.low)} to {high}"


def format_cost_sentences(report: CostReport) -> tuple[str, ...]:
    """Which contender is cheapest from which volume on, by cost and by correct answer, and how
    accurate the estimate was.
    """
    is_same = [step.name for step in report.break_even_points_per_correct] == [
        step.name for step in report.break_even_points
    ]
    by_correct = () if is_same else report.break_even_points_per_correct
    steps = [step.sentence for step in (*report.break_even_points, *by_correct)]
    words = {"tuning_usd": "Training", "decide_usd": "The whole decision run"}
    for one in report.predictions:
        amounts = [one.actual_usd, one.estimated_usd.expected]
        steps.append(
            f"{words.get(one.name, one.name)} was estimated at "
            f"{format_usd(one.estimated_usd.expected, amounts)} "
            f"({format_usd(one.estimated_usd.low, amounts)} to "
            f"{format_usd(one.estimated_usd.high, amounts)}) and cost "
            f"{format_usd(one.actual_usd, amounts)}"
            + (f", {one.ratio:.2g} times the estimate." if one.ratio is not None else ".")
        )
    return tuple(steps)


def list_cost_parts(report: CostReport) -> list[tuple[str, str, str, str]]:
    """Every cost part: contender, what, per, amount."""
    return [
        (one.name, part.name, part.unit, " ".join(_bracket_range(_format_amount(part.usd))))
        for one in report.contenders
        for part in one.parts
    ]


def _bracket_range(money: tuple[str, str]) -> tuple[str, ...]:
    number, doubt = money
    return (number, f"({doubt})") if doubt else (number,)


def render_cost_markdown(report: CostReport, winner: str | None) -> str:
    """The cost section of the Markdown report."""
    rows = [
        [
            f"**{row.name}**" if row.name == winner else row.name,
            *(" ".join(_bracket_range(cell)) for cell in row.cells),
        ]
        for row in build_cost_rows(report)
    ]
    sentences = "\n".join(
        f"- {reveal_hidden_characters(sentence)}" for sentence in format_cost_sentences(report)
    )
    return (
        f"## Cost\n\n{render_table(['contender', *list_cost_columns(report)], rows)}\n\n{sentences}"
    )


def format_time(contender: Contender, requests: int = 1) -> str:
    """The time for this many requests."""
    seconds = contender.seconds_per_request_or_none
    return UNKNOWN if seconds is None else format_duration(requests * seconds)


def format_cost(contender: Contender, shown: Sequence[Contender] = ()) -> str:
    """Cost of 1,000 requests, with the digits that the cheapest of the contenders shown `beside` it
    needs.
    """
    cost = contender.usd_per_1000_or_none
    return (
        UNKNOWN
        if cost is None
        else format_usd(cost, [one.usd_per_1000_or_none or 0.0 for one in shown])
    )


def format_cost_basis(contender: Contender, evaluation: Evaluation) -> str:
    """The origin of a contender's cost."""
    if contender.token_price is not None:
        return "charged per token"
    if contender.traits.is_external:
        return "as given in its file"
    return f"at {format_usd(evaluation.machine_usd_per_hour)} per hour"


def format_cost_bases(evaluation: Evaluation) -> str:
    """The origin of all costs, as a sentence."""
    charged = [one.name for one in evaluation.contenders if one.token_price is not None]
    external = [one.name for one in evaluation.contenders if one.traits.is_external]
    sentence = (
        f"Costs are based on {format_usd(evaluation.machine_usd_per_hour)} per hour for this "
        "machine"
    )
    sentence += f", for {', '.join(charged)} on token prices" if charged else ""
    sentence += f", for {', '.join(external)} on the values in its file, if any" if external else ""
    return f"{sentence}."
