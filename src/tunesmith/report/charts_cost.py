"""The break-even chart: what each contender costs a month over the requests of a month, both axes logarithmic.

Each contender is a curve. The winner and those that are the cheapest somewhere have a band too, from everything at its
low end to everything at its high end; more bands would hide each other. The cheapest one at each volume is drawn
strong, so the lower edge reads as the answer; dotted lines mark the break-even volumes and a solid one the requests
that the user named. The volumes reach ten times beyond the outermost of these, both ways.
"""

from html import escape

from tunesmith.records import ContenderCost, CostReport
from tunesmith.report.charts import Figure

POINTS = 61
USUAL_VOLUMES = (100.0, 1_000_000.0)
"""What is drawn where no crossing and no wish says where to look."""

DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "2px,8px", "12px,3px,2px,3px,2px,3px")
"""Contenders are told apart without colours, in print too."""


def break_even_chart(report: CostReport, winner: str | None) -> Figure | None:
    """The curves of those that are compared; None where there are none, or all of them cost nothing."""
    shown = [one for one in report.contenders if one.excluded is None]
    volumes = volumes_of(report)
    if not any(one.usd_a_month(volumes[-1], report.horizon_months).expected > 0 for one in shown):
        return None
    unit = "in all" if report.is_once else "a month"
    colours = ["@accent" if one.name == winner else "@muted" for one in shown]
    banded = _banded(shown, report, winner)
    traces = [edge for one in banded for edge in _band(one, report, volumes, one.name == winner)]
    traces += [
        _curve(one, report, volumes, colour, DASHES[number % len(DASHES)])
        for number, (one, colour) in enumerate(zip(shown, colours, strict=True))
    ]
    traces.append(_cheapest(shown, report, volumes))
    axis = {"type": "log", "automargin": True, "gridcolor": "@rule", "linecolor": "@rule", "fixedrange": True}
    return {
        "data": traces,
        "layout": {
            "xaxis": {**axis, "title": {"text": f"requests {unit}", "font": {"size": 13}}, "dtick": 1},
            "yaxis": {**axis, "title": {"text": f"USD {unit}", "font": {"size": 13}}, "tickprefix": "$", "dtick": 1},
            "margin": {"l": 8, "r": 16, "t": 24, "b": 8}, "font": {"family": "@font", "size": 14, "color": "@ink"},
            "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)", "showlegend": True, "height": 420,
            "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}, "dragmode": False,
            "shapes": _marks(report),
        },
    }  # fmt: skip


def volumes_of(report: CostReport) -> list[float]:
    """Evenly spaced on a logarithmic axis, around everything that is worth seeing."""
    seen = [step.requests.expected for step in report.cheapest if step.before] + [report.requests_per_month]
    worth = [volume for volume in seen if volume]
    low, high = (min(worth) / 10, max(worth) * 10) if worth else USUAL_VOLUMES
    low = max(1.0, low)
    high = max(high, 100 * low)
    return [float(low * (high / low) ** (i / (POINTS - 1))) for i in range(POINTS)]


def _banded(shown: list[ContenderCost], report: CostReport, winner: str | None) -> list[ContenderCost]:
    """Whose doubt is drawn, the winner's last: it lies on top."""
    names = {step.name for step in report.cheapest} | {winner}
    return sorted((one for one in shown if one.name in names), key=lambda one: one.name == winner)


def _band(one: ContenderCost, report: CostReport, volumes: list[float], is_winner: bool) -> list[Figure]:
    """Its lower and its upper edge, with the area between them in a colour that lines can be read on."""
    costs = [one.usd_a_month(volume, report.horizon_months) for volume in volumes]
    edge = {
        "type": "scatter", "mode": "lines", "x": volumes, "line": {"width": 0}, "hoverinfo": "skip",
        "showlegend": False, "legendgroup": escape(one.name),
    }  # fmt: skip
    low, high = _drawable([cost.low for cost in costs]), _drawable([cost.high for cost in costs])
    return [{**edge, "y": low}, {**edge, "y": high, "fill": "tonexty", "fillcolor": "@tint" if is_winner else "@wash"}]


def _curve(one: ContenderCost, report: CostReport, volumes: list[float], colour: str, dash: str) -> Figure:
    costs = [one.usd_a_month(volume, report.horizon_months).expected for volume in volumes]
    name = escape(one.name)
    return {
        "type": "scatter", "mode": "lines", "name": name, "legendgroup": name, "x": volumes, "y": _drawable(costs),
        "line": {"color": colour, "width": 1.6, "dash": dash},
        "hovertemplate": f"{name} %{{y:$,.2f}} at %{{x:,.0f}} requests<extra></extra>",
    }  # fmt: skip


def _drawable(costs: list[float]) -> list[float | None]:
    """A logarithm has no place for nothing."""
    return [cost if cost > 0 else None for cost in costs]


def _cheapest(shown: list[ContenderCost], report: CostReport, volumes: list[float]) -> Figure:
    """The lower edge."""
    least = [min(one.usd_a_month(volume, report.horizon_months).expected for one in shown) for volume in volumes]
    return {
        "type": "scatter", "mode": "lines", "name": "the cheapest", "x": volumes,
        "y": _drawable(least),
        "line": {"color": "@ink", "width": 3}, "opacity": 0.35, "hoverinfo": "skip",
    }  # fmt: skip


def _marks(report: CostReport) -> list[Figure]:
    """Where the cheapest changes, and what the user named."""
    marks = [_mark(step.requests.expected, escape(step.name), "dot") for step in report.cheapest if step.before]
    return [*marks, _mark(report.requests_per_month, "yours", "solid")] if report.requests_per_month else marks


def _mark(volume: float | None, text: str, dash: str) -> Figure:
    return {
        "type": "line", "x0": volume, "x1": volume, "y0": 0, "y1": 1, "yref": "paper",
        "line": {"color": "@ink", "width": 1, "dash": dash},
        "label": {"text": text, "textposition": "end", "textangle": 0, "xanchor": "left", "padding": 6,
                  "font": {"size": 12, "color": "@ink"}},
    }  # fmt: skip
