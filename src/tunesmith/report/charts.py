"""The charts as plotly figures, without colors.

A figure is the dictionary that plotly.js draws. Colors are placeholders such as `"@accent"`,
`"@ink"`, `"@muted"` or `"@rule"`: the page inserts those of its light or dark theme
(`templates/charts.js`). The x axes are never truncated to exaggerate a difference. Names are
escaped because plotly.js interprets some HTML in labels.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from tunesmith.records import Comparison, Contender, Evaluation, MetricLine
from tunesmith.records.quantity import format_metric_name
from tunesmith.report.cost_table import format_cost, format_time

Figure = dict[str, Any]

MIN_AXIS_PERCENT = 25.0
"""Minimum end of a percentage axis: scores that are all 0 must not be drawn as if 4 % were the full
range.
"""
MAX_SIGNIFICANT_P = 0.05
"""Maximum corrected p at which a difference is drawn as significant."""


def build_scores_chart(evaluation: Evaluation, winner: str | None) -> Figure:
    """Dot and whisker: the deciding score of each contender with its 95 % interval, simplest on
    top.
    """
    metric = evaluation.metric
    scored = [
        one for one in evaluation.contenders if metric in one.metrics and one.metrics[metric].n
    ]
    traces = []
    # plotly draws the first row at the bottom.
    for contender in reversed(scored):
        score = contender.metrics[metric]
        colour = "@accent" if contender.name == winner else "@ink"
        traces.append(
            _build_whisker(
                escape(contender.name),
                100 * score.value,
                100 * score.low,
                100 * score.high,
                colour,
                "solid",
            )
        )
    high = max((one.metrics[metric].high for one in scored), default=1.0)
    axis = {
        "title": {"text": f"{format_metric_name(metric)}, %"},
        "range": [-1.5, min(104.0, max(112 * high + 4, MIN_AXIS_PERCENT))],
    }
    return _build_figure(
        traces,
        xaxis=_build_axis(**axis),
        yaxis=_build_row_axis(len(traces)),
        height=96 + 42 * len(traces),
    )


def build_differences_chart(
    evaluation: Evaluation, pairs: Sequence[Comparison], corrected: Mapping[tuple[str, str], float]
) -> Figure:
    """Forest plot: paired differences, the better one first; hollow if the corrected p is not
    significant.
    """
    traces = []
    for pair in reversed(pairs):
        is_significant = corrected[pair.a, pair.b] <= MAX_SIGNIFICANT_P
        label = f"{escape(pair.a)} − {escape(pair.b)}"
        traces.append(
            _build_whisker(
                label,
                100 * pair.difference,
                100 * pair.low,
                100 * pair.high,
                "@accent" if is_significant else "@muted",
                "solid" if is_significant else "hollow",
            )
        )
    # yref "paper": the line spans the whole height, whatever the rows.
    zero = {
        "type": "line",
        "x0": 0,
        "x1": 0,
        "y0": 0,
        "y1": 1,
        "yref": "paper",
        "line": {"color": "@ink", "width": 1},
    }
    title = {"text": f"difference in {format_metric_name(evaluation.metric)}, points"}
    return _build_figure(
        traces,
        xaxis=_build_axis(title=title),
        yaxis=_build_row_axis(len(traces)),
        shapes=[zero],
        height=96 + 30 * len(traces),
    )


def build_loss_chart(metrics: Sequence[MetricLine], best_step: int | None) -> Figure:
    """The method's loss over the steps: training (thin) and validation (dots); the saved step is
    marked.
    """
    steps = [line for line in metrics if line.kind == "step"]
    validations = [line for line in metrics if line.kind == "validation"]
    traces = [
        _build_curve(
            "training",
            [line.step for line in steps],
            [line.loss for line in steps],
            "@muted",
            "lines",
        ),
        _build_curve(
            "validation",
            [line.step for line in validations],
            [line.loss for line in validations],
            "@accent",
            "lines+markers",
        ),
    ]
    is_preference = any(line.reward_accuracy is not None for line in validations)
    title = {"text": "loss" if is_preference else "loss, nats per trained token"}
    return _build_figure(
        traces,
        xaxis=_build_axis(title={"text": "step"}, rangemode="tozero"),
        yaxis=_build_axis(title=title, rangemode="tozero"),
        shapes=_mark_best_step(best_step),
        height=320,
        showlegend=True,
    )


def build_validation_score_chart(
    metrics: Sequence[MetricLine], best_step: int | None
) -> Figure | None:
    """The score of generated answers on the validation split over the steps; None if it was not
    measured.
    """
    validations = [line for line in metrics if line.score is not None]
    if not validations:
        return None
    scores = [100 * (line.score or 0.0) for line in validations]
    trace = _build_curve(
        "validation score", [line.step for line in validations], scores, "@accent", "lines+markers"
    )
    title = {"text": f"{format_metric_name(validations[-1].score_name or 'score')}, %"}
    yaxis = _build_axis(
        title=title, range=[0, min(104.0, max(1.15 * max(scores) + 4, MIN_AXIS_PERCENT))]
    )
    return _build_figure(
        [trace],
        xaxis=_build_axis(title={"text": "step"}, rangemode="tozero"),
        yaxis=yaxis,
        shapes=_mark_best_step(best_step),
        height=320,
    )


def build_cost_chart(contenders: Sequence[Contender], winner: str | None) -> Figure:
    """Bars: cost of 1,000 requests with each contender, and their time at the end of the bar."""
    shown = list(reversed(contenders))
    bar = {
        "type": "bar",
        "orientation": "h",
        "width": 0.42,
        "hoverinfo": "skip",
        "cliponaxis": False,
        "y": [escape(one.name) for one in shown],
        "x": [one.usd_per_1000_or_none or 0.0 for one in shown],
        "marker": {"color": ["@accent" if one.name == winner else "@bar" for one in shown]},
        "text": [_format_cost_and_time(one, shown) for one in shown],
        "textposition": "outside",
        "textfont": {"color": "@ink"},
    }
    most = max((one.usd_per_1000_or_none or 0.0 for one in shown), default=1.0) or 1.0
    axis = _build_axis(title={"text": "USD per 1,000 requests"}, range=[0, 1.55 * most], nticks=5)
    return _build_figure(
        [bar], xaxis=axis, yaxis=_build_row_axis(len(shown)), height=96 + 36 * len(shown)
    )


def _format_cost_and_time(one: Contender, shown: Sequence[Contender]) -> str:
    cost, time = format_cost(one, shown), format_time(one, 1000)
    return cost if cost == time else f"{cost} · {time}"


def _build_whisker(
    label: str, value: float, low: float, high: float, colour: str, fill: str
) -> Figure:
    return {
        "type": "scatter",
        "mode": "markers+text",
        "x": [value],
        "y": [label],
        "hoverinfo": "skip",
        "text": [f"{value:.1f}"],
        "textposition": "top center",
        "textfont": {"color": colour, "size": 12},
        "cliponaxis": False,
        "marker": {
            "size": 9,
            "color": colour if fill == "solid" else "@paper",
            "line": {"color": colour, "width": 1.6},
        },
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [high - value],
            "arrayminus": [value - low],
            "color": colour,
            "thickness": 1.6,
            "width": 4,
        },
    }


def _build_curve(
    name: str, x: list[int], y: Sequence[float | None], colour: str, mode: str
) -> Figure:
    return {
        "type": "scatter",
        "name": name,
        "mode": mode,
        "x": x,
        "y": y,
        "line": {"color": colour, "width": 1.2 if mode == "lines" else 2},
        "marker": {"size": 7, "color": colour},
        "cliponaxis": mode == "lines",
        "hovertemplate": f"{name} %{{y:.3f}}, step %{{x}}<extra></extra>",
    }


def _mark_best_step(step: int | None) -> list[Figure]:
    """A dotted line at the step whose weights were saved."""
    if step is None:
        return []
    line = {"color": "@ink", "width": 1, "dash": "dot"}
    return [
        {
            "type": "line",
            "x0": step,
            "x1": step,
            "y0": 0,
            "y1": 1,
            "yref": "paper",
            "line": line,
            "label": {
                "text": "kept",
                "textposition": "start",
                "textangle": 0,
                "xanchor": "right",
                "padding": 6,
                "font": {"size": 12, "color": "@ink"},
            },
        }
    ]


def _build_axis(**parts: Any) -> Figure:
    return {
        "automargin": True,
        "gridcolor": "@rule",
        "linecolor": "@rule",
        "zeroline": False,
        "ticks": "",
        "fixedrange": True,
        **parts,
        "title": {"font": {"size": 13}, **parts.get("title", {})},
    }


def _build_row_axis(count: int) -> Figure:
    """The y axis of a chart with one named row per item, with space above the first for its
    number.
    """
    return _build_axis(showgrid=False, ticksuffix="  ", range=[-0.55, count - 0.3])


def _build_figure(data: list[Figure], *, xaxis: Figure, yaxis: Figure, **layout: Any) -> Figure:
    return {
        "data": data,
        "layout": {
            "xaxis": xaxis,
            "yaxis": yaxis,
            "margin": {"l": 8, "r": 16, "t": 24, "b": 8},
            "font": {"family": "@font", "size": 14, "color": "@ink"},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "showlegend": False,
            "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
            "dragmode": False,
            **layout,
        },
    }
