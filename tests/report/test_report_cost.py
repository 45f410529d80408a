"""The cost section: chart, table and sentences from one record, the same numbers in each."""

import plotly.graph_objects as go
import pytest
from jinja2 import Environment, PackageLoader, StrictUndefined

from tunesmith.costs.cost_calculation import build_cost_report
from tunesmith.records import (
    ContenderCost,
    CostPrediction,
    CostRecipe,
    CostReport,
    EstimateInterval,
    Recipe,
    TrainingCost,
    UsageContext,
)
from tunesmith.report import ReportInput
from tunesmith.report.break_even_chart import CURVE_POINTS, build_break_even_chart, choose_volumes
from tunesmith.report.cost_table import (
    build_cost_rows,
    format_cost_sentences,
    list_cost_columns,
    list_cost_parts,
    render_cost_markdown,
)


def costs_of(report: ReportInput, **said: object) -> CostReport:
    recipe = Recipe(
        cost=CostRecipe(usd_per_example=0.01, hosting_usd_per_month=0),
        usage=UsageContext.model_validate({"task_change_frequency": "yearly", **said}),
    )
    return build_cost_report(
        report.evaluation,
        recipe,
        data_examples=4281,
        tuning=TrainingCost(seconds=214),
        evaluation_seconds=500,
    )


@pytest.fixture(scope="module")
def costs(report: ReportInput) -> CostReport:
    return costs_of(report, requests_per_month=50_000)


def test_a_row_for_each_contender_with_what_the_record_says(costs: CostReport) -> None:
    rows = {
        row.name: dict(zip(list_cost_columns(costs), row.cells, strict=True))
        for row in build_cost_rows(costs)
    }
    assert list(rows) == [one.name for one in costs.contenders]
    tuned = costs.get_contender("tuned")
    assert (
        rows["tuned"]["1,000 requests"][0] == f"${1000 * tuned.compute_usd('request').expected:.4f}"
    )
    assert rows["tuned"]["one-time"][0] == f"${tuned.compute_usd('once').expected:.2f}"
    monthly = tuned.compute_usd_per_month(50_000, 12)
    assert rows["tuned"]["per month at your volume"][0].startswith(f"${monthly.expected:.2f}")
    first = costs.break_even_points[0].name
    assert rows[first]["cheapest from"] == ("first request", "")
    assert sum(cells["cheapest from"] == ("never", "") for cells in rows.values()) == 5 - len(
        costs.break_even_points
    )


def test_what_nobody_said_is_asked_for_and_what_nobody_knows_is_no_zero(
    report: ReportInput,
) -> None:
    costs = costs_of(report)
    unknown = ContenderCost(
        name="old",
        kind="outside",
        parts=(),
        accuracy=EstimateInterval(low=0.4, expected=0.5, high=0.6),
        usd_per_1000_correct=None,
        exclusion_reason="nobody said",
    )
    costs = costs.model_copy(update={"contenders": (*costs.contenders, unknown)})
    *rows, old = build_cost_rows(costs)
    assert {row.cells[3] for row in rows} == {("volume not specified", "")}
    assert [number for number, _ in old.cells[:4]] == ["unknown"] * 4


def test_the_figure_is_one_that_plotly_draws_with_bands_for_the_winner_and_the_cheapest(
    costs: CostReport,
) -> None:
    figure = build_break_even_chart(costs, "tuned")
    assert figure is not None
    go.Figure(_undressed(figure))
    curves = {trace["name"]: trace["y"] for trace in figure["data"] if trace.get("name")}
    assert list(curves) == [*(one.name for one in costs.contenders), "cheapest"]
    edges = [trace for trace in figure["data"] if "name" not in trace]
    banded = {edge["legendgroup"] for edge in edges}
    assert (
        banded == {"tuned", *(step.name for step in costs.break_even_points)}
        and edges[-1]["legendgroup"] == "tuned"
    )
    for low, high in zip(edges[::2], edges[1::2], strict=True):
        middle = curves[low["legendgroup"]]
        assert high["fill"] == "tonexty" and len(middle) == CURVE_POINTS
        assert all(a <= b <= c for a, b, c in zip(low["y"], middle, high["y"], strict=True))
    *all_curves, cheapest = curves.values()
    assert cheapest == pytest.approx([min(values) for values in zip(*all_curves, strict=True)])
    assert figure["layout"]["shapes"][-1]["x0"] == 50_000


def _undressed(part: object) -> object:
    """Plotly's own checks know no "@accent"."""
    if isinstance(part, dict):
        return {key: _undressed(value) for key, value in part.items()}
    if isinstance(part, list):
        return [_undressed(value) for value in part]
    return "black" if isinstance(part, str) and part.startswith("@") else part


def test_volumes_reach_beyond_every_crossing_and_the_users_own(costs: CostReport) -> None:
    volumes = choose_volumes(costs)
    seen = [50_000, *(step.requests.expected for step in costs.break_even_points if step.previous)]
    assert volumes == sorted(volumes) and len(volumes) == CURVE_POINTS
    assert all(volumes[0] < at < volumes[-1] for at in seen if at)
    alone = costs.model_copy(
        update={"break_even_points": costs.break_even_points[:1], "requests_per_month": None}
    )
    assert (choose_volumes(alone)[0], choose_volumes(alone)[-1]) == pytest.approx((100, 1e6))


def test_nothing_to_draw_where_everything_is_free(costs: CostReport) -> None:
    free = [one.model_copy(update={"parts": ()}) for one in costs.contenders]
    assert (
        build_break_even_chart(costs.model_copy(update={"contenders": tuple(free)}), None) is None
    )


def test_markdown_and_page_say_the_same_and_names_stay_inert(
    costs: CostReport, report: ReportInput
) -> None:
    evil = '<img src=x onerror="alert(1)">'
    renamed = costs.contenders[0].model_copy(update={"name": evil})
    costs = costs.model_copy(update={"contenders": (renamed, *costs.contenders[1:])})
    environment = Environment(
        loader=PackageLoader("tunesmith.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["tight"] = str
    page = environment.get_template("cost.html").render(
        cost=costs,
        cost_head=list_cost_columns(costs),
        cost_rows=build_cost_rows(costs),
        cost_sentences=format_cost_sentences(costs),
        cost_parts=list_cost_parts(costs),
        decision=report.decision,
        chart=lambda name, words: f"[{name}]",
    )
    text = render_cost_markdown(costs, report.decision.winner)
    assert "[break_even]" in page and evil not in page
    assert f"**{report.decision.winner}**" in text
    for row in build_cost_rows(costs):
        for number, _ in row.cells:
            assert number in page and number in text
    figure = build_break_even_chart(costs, None)
    assert figure is not None and evil not in str(figure)


def test_the_prediction_stands_beside_the_actual_cost(costs: CostReport) -> None:
    foreseen = EstimateInterval(low=0.4, expected=0.8, high=1.1)
    prediction = CostPrediction(
        name="tuning_usd", estimated_usd=foreseen, actual_usd=1.0, ratio=1.25
    )
    told = format_cost_sentences(costs.model_copy(update={"predictions": (prediction,)}))
    assert told[-1] == (
        "Training was estimated at $0.80 ($0.40 to $1.10) and cost $1.00, 1.2 times the estimate."
    )
    assert not any("was estimated at" in sentence for sentence in format_cost_sentences(costs))
