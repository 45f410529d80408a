"""The break-even chart: monthly cost of each contender over requests per month, both axes
logarithmic.

Each contender is a curve. The winner and every contender that is cheapest somewhere also have a
band, from the sum of all low bounds to the sum of all high ones; more bands would hide each other.
The lower envelope is drawn strong, so it reads as the answer; dotted lines mark the break-even
volumes and a solid one the volume that the user stated. The x axis extends by a factor of ten
beyond the outermost of these, on both sides.
"""

from html import escape

from tunesmith.records import ContenderCost, CostReport
from tunesmith.report.charts import Figure

CURVE_POINTS = 61
"""Points per curve."""
DEFAULT_VOLUMES = (100.0, 1_000_000.0)
"""Range of requests if there is neither a break-even volume nor a stated one."""

DASH_STYLES = (
    "solid",
    "dash",
    "dot",
    "dashdot",
    "longdash",
    "longdashdot",
    "2px,8px",
    "12px,3px,2px,3px,2px,3px",
)
"""Line styles, so that contenders are distinguishable without colors, also in print."""


def build_break_even_chart(report: CostReport, winner: str | None) -> Figure | None:
    """The curves of the compared contenders; None if there are none, or none of them costs
    anything.
    """
    shown = [one for one in report.contenders if one.exclusion_reason is None]
    volumes = choose_volumes(report)
    if not any(
        one.compute_usd_per_month(volumes[-1], report.horizon_months).expected > 0 for one in shown
    ):
        return None
    unit = "in total" if report.is_once else "per month"
    colours = ["@accent" if one.name == winner else "@muted" for one in shown]
    banded = _select_banded(shown, report, winner)
    traces = [
        edge for one in banded for edge in _build_band(one, report, volumes, one.name == winner)
    ]
    traces += [
        _build_curve(one, report, volumes, colour, DASH_STYLES[number % len(DASH_STYLES)])
        for number, (one, colour) in enumerate(zip(shown, colours, strict=True))
    ]
    traces.append(_build_lower_envelope(shown, report, volumes))
    axis = {
        "type": "log",
        "automargin": True,
        "gridcolor": "@rule",
        "linecolor": "@rule",
        "fixedrange": True,
    }
    return {
        "data": traces,
        "layout": {
            "xaxis": {
                **axis,
                "title": {"text": f"requests {unit}", "font": {"size": 13}},
                "dtick": 1,
            },
            "yaxis": {
                **axis,
                "title": {"text": f"USD {unit}", "font": {"size": 13}},
                "tickprefix": "$",
                "dtick": 1,
            },
            "margin": {"l": 8, "r": 16, "t": 24, "b": 8},
            "font": {"family": "@font", "size": 14, "color": "@ink"},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "showlegend": True,
            "height": 420,
            "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
            "dragmode": False,
            "shapes": _build_marks(report),
        },
    }


def choose_volumes(report: CostReport) -> list[float]:
    """Requests per month, evenly spaced on a logarithmic axis, around all marked volumes."""
    seen = [step.requests.expected for step in report.break_even_points if step.previous] + [
        report.requests_per_month
    ]
    worth = [volume for volume in seen if volume]
    low, high = (min(worth) / 10, max(worth) * 10) if worth else DEFAULT_VOLUMES
    # A logarithmic axis cannot start at 0, and less than two decades would show no shape.
    low = max(1.0, low)
    high = max(high, 100 * low)
    return [float(low * (high / low) ** (i / (CURVE_POINTS - 1))) for i in range(CURVE_POINTS)]


def _select_banded(
    shown: list[ContenderCost], report: CostReport, winner: str | None
) -> list[ContenderCost]:
    """The contenders with a band, the winner last, so that it is drawn on top."""
    names = {step.name for step in report.break_even_points} | {winner}
    return sorted((one for one in shown if one.name in names), key=lambda one: one.name == winner)


def _build_band(
    one: ContenderCost, report: CostReport, volumes: list[float], is_winner: bool
) -> list[Figure]:
    """Lower and upper edge of a band, with a fill color that lines remain readable on."""
    costs = [one.compute_usd_per_month(volume, report.horizon_months) for volume in volumes]
    edge = {
        "type": "scatter",
        "mode": "lines",
        "x": volumes,
        "line": {"width": 0},
        "hoverinfo": "skip",
        "showlegend": False,
        "legendgroup": escape(one.name),
    }
    low, high = (
        _mask_non_positive([cost.low for cost in costs]),
        _mask_non_positive([cost.high for cost in costs]),
    )
    # "tonexty" fills to the trace before, so the lower edge must come first.
    return [
        {**edge, "y": low},
        {**edge, "y": high, "fill": "tonexty", "fillcolor": "@tint" if is_winner else "@wash"},
    ]


def _build_curve(
    one: ContenderCost, report: CostReport, volumes: list[float], colour: str, dash: str
) -> Figure:
    costs = [
        one.compute_usd_per_month(volume, report.horizon_months).expected for volume in volumes
    ]
    name = escape(one.name)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "legendgroup": name,
        "x": volumes,
        "y": _mask_non_positive(costs),
        "line": {"color": colour, "width": 1.6, "dash": dash},
        "hovertemplate": f"{name} %{{y:$,.2f}} at %{{x:,.0f}} requests<extra></extra>",
    }


def _mask_non_positive(costs: list[float]) -> list[float | None]:
    """None in place of values that a logarithmic axis cannot show."""
    return [cost if cost > 0 else None for cost in costs]


def _build_lower_envelope(
    shown: list[ContenderCost], report: CostReport, volumes: list[float]
) -> Figure:
    """The cost of the cheapest contender at each volume."""
    least = [
        min(one.compute_usd_per_month(volume, report.horizon_months).expected for one in shown)
        for volume in volumes
    ]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "cheapest",
        "x": volumes,
        "y": _mask_non_positive(least),
        "line": {"color": "@ink", "width": 3},
        "opacity": 0.35,
        "hoverinfo": "skip",
    }


def _build_marks(report: CostReport) -> list[Figure]:
    """Vertical lines at the break-even volumes and the stated volume."""
    marks = [
        _build_mark(step.requests.expected, escape(step.name), "dot")
        for step in report.break_even_points
        if step.previous
    ]
    return (
        [*marks, _build_mark(report.requests_per_month, "yours", "solid")]
        if report.requests_per_month
        else marks
    )


def _build_mark(volume: float | None, text: str, dash: str) -> Figure:
    return {
        "type": "line",
        "x0": volume,
        "x1": volume,
        "y0": 0,
        "y1": 1,
        "yref": "paper",
        "line": {"color": "@ink", "width": 1, "dash": dash},
        "label": {
            "text": text,
            "textposition": "end",
            "textangle": 0,
            "xanchor": "left",
            "padding": 6,
            "font": {"size": 12, "color": "@ink"},
        },
    }
