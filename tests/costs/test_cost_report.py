"""What each contender costs, against sums done by hand."""

from math import inf

import pytest

from tunesmith.costs.cost_calculation import (
    HORIZON_MONTHS,
    SPEED_FACTORS,
    build_cost_report,
    estimate_months_between_changes,
)
from tunesmith.records import (
    Answer,
    Comparison,
    Contender,
    ContenderCost,
    CostRecipe,
    CostReport,
    Estimate,
    EstimateInterval,
    Evaluation,
    MachineTime,
    MemoryPlan,
    Quantity,
    Recipe,
    Requirements,
    RetrievalRecipe,
    TokenPrice,
    TrainingCost,
    Usage,
    UsageContext,
)

N = 200
KINDS = ("zero-shot", "few-shot", "rag", "tuned", "tuned+rag")
PRICE = TokenPrice(
    usd_per_million_in=1.0, usd_per_million_out=4.0, source="a contract", date="2026-11-01"
)


def contender(
    name: str,
    score: float = 0.8,
    usd: float = 0.36,
    *,
    kind: str | None = None,
    failed: int = 0,
    setup_usd: float = 0.0,
    latency: float | None = None,
    price: TokenPrice | None = None,
) -> Contender:
    quantity = Quantity(
        value=score, low=score / 2, high=min(1.0, score + 0.1), n=N - failed, n_failed=failed
    )
    return Contender(
        name=name,
        kind=kind or name,
        description="the question",
        metrics={"exact": quantity},
        seconds_per_request=0.36 * 36,
        tokens_in_per_request=100,
        tokens_out_per_request=10,
        usd_per_1000=usd,
        setup_usd=setup_usd,
        token_price=price,
        usage=Usage(requests=N, tokens_in=1, tokens_out=1, seconds=1, latency_seconds=latency),
    )


def evaluation(*contenders: Contender, hourly: float = 0.1) -> Evaluation:
    return Evaluation(
        task="t",
        scorer="exact",
        scorer_reason="short answers",
        metric="exact",
        examples=tuple(map(str, range(N))),
        contenders=contenders,
        comparisons=(),
        machine_usd_per_hour=hourly,
    )


def recipe(cost: CostRecipe | None = None, **said: object) -> Recipe:
    return Recipe(cost=cost or CostRecipe(), usage=UsageContext.model_validate(said))


def report(*contenders: Contender, of: Recipe | None = None, judge_usd: float = 0.0) -> CostReport:
    tuning = TrainingCost(seconds=36_000)  # 1 USD at 0.10 an hour
    return build_cost_report(
        evaluation(*contenders),
        of or recipe(),
        data_examples=1000,
        tuning=tuning,
        evaluation_seconds=3600,
        judge_usd=judge_usd,
    )


def pieces(one: ContenderCost) -> dict[str, float]:
    return {part.name: part.usd.expected for part in one.parts}


def test_once_is_split_into_data_tuning_search_evaluation_and_judge() -> None:
    costs = report(
        contender("zero-shot"),
        contender("tuned", setup_usd=1.25),
        of=recipe(CostRecipe(usd_per_example=0.5), task_changes="never"),
        judge_usd=0.2,
    )
    assert pieces(costs.get_contender("zero-shot")) == pytest.approx(
        {"data": 0.5 * N, "evaluation": 0.1, "judge": 0.2, "inference": 0.36 / 1000}
    )
    assert pieces(costs.get_contender("tuned")) == pytest.approx(
        {
            "data": 500,
            "tuning": 1.0,
            "search": 0.25,
            "evaluation": 0.1,
            "judge": 0.2,
            "inference": 0.36 / 1000,
        }
    )
    assert costs.get_contender("tuned").compute_usd("once").expected == pytest.approx(501.55)


@pytest.mark.parametrize(
    ("kind", "documents", "examples"),
    [
        ("zero-shot", None, (N, N)),
        ("few-shot", None, (N, 1000)),
        ("rag", None, (1000, 1000)),
        ("rag", "docs", (N, N)),
        ("tuned", "docs", (1000, 1000)),
    ],
)
def test_examples_are_paid_by_what_needs_them(
    kind: str, documents: str | None, examples: tuple[int, int]
) -> None:
    of = recipe(CostRecipe(usd_per_example=1.0), task_changes="never")
    costs = report(
        contender(kind),
        of=of.model_copy(update={"retrieval": RetrievalRecipe(documents=documents)}),
    )
    (data,) = [part.usd for part in costs.contenders[0].parts if part.name == "data"]
    assert (data.expected, data.high) == examples


def test_a_right_answer_costs_more_by_the_score_and_its_interval() -> None:
    (one,) = report(contender("zero-shot", 0.8)).contenders
    assert one.usd_per_1000_correct is not None
    assert one.usd_per_1000_correct.expected == pytest.approx(0.36 / 0.8)
    assert one.usd_per_1000_correct.low == pytest.approx(0.36 / 0.9)
    assert one.usd_per_1000_correct.high == pytest.approx(0.36 / 0.4)


def test_failed_answers_are_paid_for_and_not_right() -> None:
    (one,) = report(contender("zero-shot", 0.8, failed=50)).contenders
    assert (one.accuracy.low, one.accuracy.high) == pytest.approx((0.4 * 0.75, 0.9 * 0.75))
    assert "50 of 200 requests have no answer that could be scored" in str(one.exclusion_reason)
    assert (
        one.accuracy.expected == pytest.approx(0.8 * 150 / 200)
        and one.usd_per_1000_correct is not None
    )
    assert one.usd_per_1000_correct.expected == pytest.approx(0.36 / 0.6)


def test_where_nothing_may_be_right_a_right_answer_has_no_highest_price() -> None:
    (one,) = report(contender("zero-shot", 0.0)).contenders
    assert one.usd_per_1000_correct is not None
    assert (one.usd_per_1000_correct.expected, one.usd_per_1000_correct.high) == (None, None)
    assert one.usd_per_1000_correct.low == pytest.approx(3.6)


@pytest.mark.parametrize(
    ("latency", "high"), [(None, 1.4 * 0.36), (1.0, 1.4 * 0.36), (100.0, 100 * 100 / 3600)]
)
def test_machine_time_may_be_that_of_single_requests(latency: float | None, high: float) -> None:
    (one,) = report(contender("zero-shot", latency=latency)).contenders
    request = one.compute_usd("request")
    assert 1000 * request.low == pytest.approx(SPEED_FACTORS[0] * 0.36)
    assert 1000 * request.high == pytest.approx(high)


def test_a_provider_is_as_sure_as_its_tokens_and_its_charges_are_in_the_evaluation() -> None:
    answers = [
        Answer(
            example=str(i),
            text="x",
            scores={"exact": 1.0},
            tokens_in=100 + (i % 2) * 100,
            tokens_out=25,
            seconds=1,
            is_complete=True,
        )
        for i in range(N)
    ]
    usd = 1000 * (150 * 1.0 + 25 * 4.0) / 1e6
    costs = build_cost_report(
        evaluation(contender("far", kind="zero-shot", usd=usd, price=PRICE)),
        recipe(),
        data_examples=N,
        tuning=None,
        evaluation_seconds=0,
        answers={"far": answers},
    )
    request = costs.contenders[0].compute_usd("request")
    assert 1000 * request.expected == pytest.approx(usd)
    half = 1.972 * 50.125 / N**0.5 / 1e6  # t of 199 degrees times the standard error of 50 tokens
    assert request.high - request.expected == pytest.approx(half, rel=1e-3)
    assert pieces(costs.contenders[0])["evaluation"] == pytest.approx(usd * N / 1000)
    assert any("output tokens (a contract, 2026-11-01)" in line for line in costs.assumptions)


def test_single_requests_by_which_the_wait_was_measured_are_charged_too() -> None:
    far = contender("far", kind="zero-shot", usd=2.0, price=PRICE)
    far = far.model_copy(
        update={"usage": Usage(requests=N + 5, tokens_in=1, tokens_out=1, seconds=1)}
    )
    costs = build_cost_report(
        evaluation(far), recipe(), data_examples=N, tuning=None, evaluation_seconds=0
    )
    assert pieces(costs.contenders[0])["evaluation"] == pytest.approx(2.0 * (N + 5) / 1000)


@pytest.mark.parametrize(
    ("cost", "said", "kind", "months"),
    [
        (CostRecipe(), {}, "tuned", (inf, 12, 3)),
        (CostRecipe(), {"task_changes": "never"}, "tuned", (inf, inf, inf)),
        (CostRecipe(), {"task_changes": "weekly"}, "tuned", (0.25, 0.25, 0.25)),
        (CostRecipe(), {"task_changes": "yearly", "facts_change": "monthly"}, "tuned", (12, 12, 1)),
        (
            CostRecipe(),
            {"task_changes": "yearly", "facts_change": "monthly"},
            "zero-shot",
            (12, 12, 12),
        ),
        (CostRecipe(retune_months=2), {"task_changes": "daily"}, "tuned", (2, 2, 2)),
        (CostRecipe(retune_months=2), {"used": "once"}, "tuned", (inf, inf, inf)),
    ],
)
def test_months_between_two_settings_up(
    cost: CostRecipe, said: dict[str, str], kind: str, months: tuple[float, float, float]
) -> None:
    assert estimate_months_between_changes(kind, recipe(cost, **said)) == months


def test_upkeep_is_what_comes_after_the_first_time() -> None:
    """Every two months in a year: six settings up, of which the first is paid once."""
    costs = report(contender("tuned", setup_usd=1.0), of=recipe(CostRecipe(retune_months=2)))
    again = 1.0 + 0.36 * N / 1000
    assert HORIZON_MONTHS * pieces(costs.contenders[0])["upkeep"] == pytest.approx(5 * again)


def test_what_is_used_once_counts_once() -> None:
    costs = report(
        contender("tuned", setup_usd=1.0), of=recipe(used="once", requests_per_month=5000)
    )
    assert costs.is_once and costs.horizon_months == 1
    assert costs.contenders[0].compute_usd_per_month(5000, 1).expected == pytest.approx(
        1.0 + 0.1 + 5 * 0.36
    )
    assert (
        costs.break_even_points[0].sentence == "With few requests in total, tuned is the cheapest."
    )


def test_hosting_is_a_tuned_models() -> None:
    costs = report(
        *map(contender, KINDS),
        of=recipe(CostRecipe(hosting_usd_per_month=30), task_changes="never"),
    )
    assert {one.name for one in costs.contenders if one.compute_usd("month").expected == 30} == {
        "tuned",
        "tuned+rag",
    }


def test_what_the_bar_forbids_and_what_nobody_knows_is_not_compared() -> None:
    costs = report(
        contender("few-shot", 0.3, usd=0.001),
        contender("old", kind="outside", usd=0.0),
        contender("tuned"),
        of=recipe().model_copy(update={"requirements": Requirements(min_score=0.5)}),
    )
    assert "below your minimum of 50.0 %" in str(costs.get_contender("few-shot").exclusion_reason)
    assert (
        not costs.get_contender("old").has_request_cost
        and costs.get_contender("old").usd_per_1000_correct is None
    )
    assert [step.name for step in costs.break_even_points] == ["tuned"]


def foreseen(*, high: float) -> Estimate:
    """Tuning at about 0.8 USD, the whole decision at 1 USD and `high` at most."""
    none = EstimateInterval(low=0, expected=0, high=0)
    return Estimate(
        method="quick",
        steps=1,
        tokens_read=1,
        tokens_trained=1,
        tokens_computed=1,
        plan=MemoryPlan(),
        seconds=none,
        breakdown={},
        evaluation_seconds=none,
        memory_bytes=none,
        usd=EstimateInterval(low=0.4, expected=0.8, high=1.1),
        decide_usd=EstimateInterval(low=0.5, expected=1.0, high=high),
    )


def test_what_was_foreseen_stands_beside_what_came() -> None:
    costs = build_cost_report(
        evaluation(contender("tuned")),
        recipe(),
        data_examples=N,
        tuning=TrainingCost(seconds=36_000),
        evaluation_seconds=3600,
        estimate=foreseen(high=1.05),
    )
    assert costs.prediction_errors == {"tuning_usd": 1.25}
    assert [one.is_within_range for one in costs.predictions] == [True]


def test_the_whole_decision_costs_its_wall_time_and_all_that_was_charged() -> None:
    """An hour of it beyond tuning and asking (choices, general ability) counts, and so does every
    provider."""
    far = contender(
        "far", kind="few-shot", usd=0.5, price=PRICE, setup_usd=0.25
    )  # 0.25 USD for choosing its prompt
    told = Usage(
        requests=N, tokens_in=0, tokens_out=0, seconds=9, usd_charged=7.0
    )  # paid long ago, not for this
    old = contender("old", kind="outside").model_copy(update={"usage": told})
    costs = build_cost_report(
        evaluation(far, old, contender("tuned")),
        recipe(),
        data_examples=N,
        tuning=TrainingCost(seconds=36_000),
        evaluation_seconds=3600,
        decision_seconds=43_200,
        judge_usd=9.0,
        judge_usd_charged=0.15,
        estimate=foreseen(high=3.0),
    )
    assert costs.predictions[1].actual_usd == pytest.approx(12 * 0.1 + 0.5 * N / 1000 + 0.25 + 0.15)
    assert costs.prediction_errors["decide_usd"] == pytest.approx(1.7)


def test_an_outside_system_that_tells_its_price_is_compared_by_it() -> None:
    told = Usage(requests=N, tokens_in=0, tokens_out=0, seconds=0, usd_charged=0.004)
    old = contender("old", kind="outside", usd=0.02).model_copy(update={"usage": told})
    costs = report(old, contender("tuned"), of=recipe(task_changes="never"))
    assert costs.get_contender("old").exclusion_reason is None
    assert costs.get_contender("old").compute_usd("request") == EstimateInterval(
        low=0.02 / 1000, expected=0.02 / 1000, high=0.02 / 1000
    )
    assert [step.name for step in costs.break_even_points] == ["old"]
    assert any(
        "old costs as much per request as its file states" in line for line in costs.assumptions
    )


def test_a_service_that_counts_no_tokens_costs_nobody_knows_what() -> None:
    silent = contender("far", kind="few-shot", usd=0.0, price=PRICE).model_copy(
        update={"tokens_in_per_request": 0.0}
    )
    costs = report(silent, contender("tuned"))
    assert "no tokens were counted" in str(costs.get_contender("far").exclusion_reason)
    assert [step.name for step in costs.break_even_points] == ["tuned"]


def test_a_price_says_where_it_comes_from() -> None:
    own = PRICE.model_copy(update={"source": "the recipe", "date": ""})
    lines = report(contender("far", kind="few-shot", price=own)).assumptions
    assert (
        "far costs 1 USD per million input tokens and 4 USD per million output tokens "
        "(source: the recipe)"
    ) in lines


def test_the_default_price_of_a_machine_says_why_and_unknowns_are_named() -> None:
    lines = report(contender("zero-shot")).assumptions
    assert lines[0].startswith(
        "machine time costs $0.10 per hour, the default, because two rented cores"
    )
    assert [
        line.partition(" (")[2].rstrip(")")
        for line in lines
        if line.startswith("the number of requests per month is not specified")
    ] == ["usage.requests_per_month"]


def test_the_record_survives_its_own_json() -> None:
    costs = report(*map(contender, KINDS), of=recipe(task_changes="monthly"))
    assert CostReport.model_validate_json(costs.model_dump_json()) == costs


def test_a_busy_machine_is_named_and_widens_the_range_of_machine_time() -> None:
    busy = MachineTime(seconds={"read": 0.01}, uncertainty=0.3, waiting_fraction=0.4)
    asked = evaluation(contender("zero-shot")).model_copy(update={"machine": busy})
    costs = build_cost_report(
        asked, recipe(), data_examples=N, tuning=None, evaluation_seconds=3600
    )
    request = costs.contenders[0].compute_usd("request")
    assert 1000 * request.low == pytest.approx(SPEED_FACTORS[0] * 0.6 * 0.36)
    assert 1000 * request.high == pytest.approx(SPEED_FACTORS[1] / 0.6 * 0.36)
    said = (
        "the machine was busy: this process waited for a processor core 40% of the time, so "
        "times and costs are uncertain"
    )
    assert said in costs.assumptions
    calm = asked.model_copy(update={"machine": busy.model_copy(update={"waiting_fraction": 0.02})})
    quiet = build_cost_report(calm, recipe(), data_examples=N, tuning=None, evaluation_seconds=3600)
    assert not [one for one in quiet.assumptions if "busy" in one]


def test_what_is_shown_to_be_worse_than_the_winner_is_cheapest_from_nowhere() -> None:
    pair = Comparison(
        a="zero-shot", b="rag", metric="exact", difference=-0.7, low=-0.8, high=-0.6, p=0.0, n=N
    )
    asked = evaluation(contender("zero-shot", 0.1, usd=0.01), contender("rag")).model_copy(
        update={"comparisons": (pair,)}
    )
    costs = build_cost_report(
        asked, recipe(), data_examples=N, tuning=None, evaluation_seconds=0, winner="rag"
    )
    assert costs.get_contender("zero-shot").exclusion_reason == "it is significantly worse than rag"
    assert [one.name for one in costs.break_even_points] == ["rag"]
    even = pair.model_copy(update={"high": 0.01})
    open_ = asked.model_copy(update={"comparisons": (even,)})
    costs = build_cost_report(
        open_, recipe(), data_examples=N, tuning=None, evaluation_seconds=0, winner="rag"
    )
    assert next(one.name for one in costs.break_even_points) == "zero-shot"
