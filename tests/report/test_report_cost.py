"""The cost section: chart, table and sentences from one record, the same numbers in each."""

import plotly.graph_objects as go
import pytest
from jinja2 import Environment, PackageLoader, StrictUndefined

from tunesmith.decision.cost import cost_report
from tunesmith.records import (
    Circumstances,
    ContenderCost,
    CostPrediction,
    CostRecipe,
    CostReport,
    Range,
    Recipe,
    TuningSpent,
)
from tunesmith.report import ReportInput
from tunesmith.report.charts_cost import POINTS, break_even_chart, volumes_of
from tunesmith.report.cost import cost_head, cost_markdown, cost_parts, cost_rows, cost_sentences


def costs_of(report: ReportInput, **said: object) -> CostReport:
    recipe = Recipe(
        cost=CostRecipe(usd_per_example=0.01, hosting_usd_per_month=0),
        circumstances=Circumstances.model_validate({"task_changes": "yearly", **said}),
    )
    return cost_report(
        report.evaluation, recipe, data_examples=4281, tuning=TuningSpent(seconds=214), evaluation_seconds=500
    )


@pytest.fixture(scope="module")
def costs(report: ReportInput) -> CostReport:
    return costs_of(report, requests_per_month=50_000)


def test_a_row_for_each_contender_with_what_the_record_says(costs: CostReport) -> None:
    rows = {row.name: dict(zip(cost_head(costs), row.cells, strict=True)) for row in cost_rows(costs)}
    assert list(rows) == [one.name for one in costs.contenders]
    tuned = costs.contender("tuned")
    assert rows["tuned"]["1,000 requests"][0] == f"${1000 * tuned.usd('request').expected:.4f}"
    assert rows["tuned"]["once"][0] == f"${tuned.usd('once').expected:.2f}"
    monthly = tuned.usd_a_month(50_000, 12)
    assert rows["tuned"]["a month, at your volume"][0].startswith(f"${monthly.expected:.2f}")
    first = costs.cheapest[0].name
    assert rows[first]["cheapest from"] == ("the first request", "")
    assert sum(cells["cheapest from"] == ("never", "") for cells in rows.values()) == 5 - len(costs.cheapest)


def test_what_nobody_said_is_asked_for_and_what_nobody_knows_is_no_zero(report: ReportInput) -> None:
    costs = costs_of(report)
    unknown = ContenderCost(
        name="old",
        kind="outside",
        parts=(),
        correct=Range(low=0.4, expected=0.5, high=0.6),
        usd_per_1000_correct=None,
        excluded="nobody said",
    )
    costs = costs.model_copy(update={"contenders": (*costs.contenders, unknown)})
    *rows, old = cost_rows(costs)
    assert {row.cells[3] for row in rows} == {("say how many", "")}
    assert [number for number, _ in old.cells[:4]] == ["not known"] * 4


def test_the_figure_is_one_that_plotly_draws_with_bands_for_the_winner_and_the_cheapest(costs: CostReport) -> None:
    figure = break_even_chart(costs, "tuned")
    assert figure is not None
    go.Figure(_undressed(figure))
    curves = {trace["name"]: trace["y"] for trace in figure["data"] if trace.get("name")}
    assert list(curves) == [*(one.name for one in costs.contenders), "the cheapest"]
    edges = [trace for trace in figure["data"] if "name" not in trace]
    banded = {edge["legendgroup"] for edge in edges}
    assert banded == {"tuned", *(step.name for step in costs.cheapest)} and edges[-1]["legendgroup"] == "tuned"
    for low, high in zip(edges[::2], edges[1::2], strict=True):
        middle = curves[low["legendgroup"]]
        assert high["fill"] == "tonexty" and len(middle) == POINTS
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
    volumes = volumes_of(costs)
    seen = [50_000, *(step.requests.expected for step in costs.cheapest if step.before)]
    assert volumes == sorted(volumes) and len(volumes) == POINTS
    assert all(volumes[0] < at < volumes[-1] for at in seen if at)
    alone = costs.model_copy(update={"cheapest": costs.cheapest[:1], "requests_per_month": None})
    assert (volumes_of(alone)[0], volumes_of(alone)[-1]) == pytest.approx((100, 1e6))


def test_nothing_to_draw_where_everything_is_free(costs: CostReport) -> None:
    free = [one.model_copy(update={"parts": ()}) for one in costs.contenders]
    assert break_even_chart(costs.model_copy(update={"contenders": tuple(free)}), None) is None


def test_markdown_and_page_say_the_same_and_names_stay_inert(costs: CostReport, report: ReportInput) -> None:
    evil = '<img src=x onerror="alert(1)">'
    renamed = costs.contenders[0].model_copy(update={"name": evil})
    costs = costs.model_copy(update={"contenders": (renamed, *costs.contenders[1:])})
    environment = Environment(
        loader=PackageLoader("tunesmith.report"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["tight"] = str
    page = environment.get_template("cost.html").render(
        cost=costs, cost_head=cost_head(costs), cost_rows=cost_rows(costs), cost_sentences=cost_sentences(costs),
        cost_parts=cost_parts(costs), decision=report.decision, chart=lambda name, words: f"[{name}]",
    )  # fmt: skip
    text = cost_markdown(costs, report.decision.winner)
    assert "[break_even]" in page and evil not in page
    assert f"**{report.decision.winner}**" in text
    for row in cost_rows(costs):
        for number, _ in row.cells:
            assert number in page and number in text
    figure = break_even_chart(costs, None)
    assert figure is not None and evil not in str(figure)


def test_the_prediction_stands_beside_the_actual_cost(costs: CostReport) -> None:
    foreseen = Range(low=0.4, expected=0.8, high=1.1)
    prediction = CostPrediction(what="tuning_usd", foreseen=foreseen, actual_usd=1.0, ratio=1.25)
    told = cost_sentences(costs.model_copy(update={"predictions": (prediction,)}))
    assert told[-1] == "The tuning was to cost $0.80 ($0.40 to $1.10) and cost $1.00, 1.2 times that."
    assert not any("was to cost" in sentence for sentence in cost_sentences(costs))
