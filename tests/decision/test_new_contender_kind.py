"""A kind of contender that does not exist, added as one row: every question is answered from the
table."""

from types import SimpleNamespace

import pytest
from cases import contender, evaluation, verdict

from tunesmith.contenders.external_contenders import list_contender_names
from tunesmith.contenders.test_set_power import count_challengers
from tunesmith.costs.contender_forecast import Workload, estimate_evaluation_seconds
from tunesmith.costs.cost_calculation import build_cost_report, estimate_months_between_changes
from tunesmith.decision.context_preferences import find_disfavored_verdicts
from tunesmith.decision.costlier_comparison import compute_simplicity_key
from tunesmith.errors import RecipeError
from tunesmith.evaluation.contender_answers import ContenderAnswers
from tunesmith.evaluation.machine_time import is_run_locally
from tunesmith.recipe.validate import check_recipe
from tunesmith.records import (
    Contender,
    ContenderSpec,
    CostRecipe,
    Decision,
    Recipe,
    TrainingCost,
    UsageContext,
)
from tunesmith.records.contender_kinds import CONTENDER_KINDS, ContenderKind, PlannedContender
from tunesmith.report.cost_table import format_cost_basis
from tunesmith.report.report_data import find_best

DISTILLED = ContenderKind(
    "distilled",
    rank=45,
    verdict="fine-tune",
    needs="needs a teacher",
    examples_needed="all",
    is_trained=True,
    pays_hosting=True,
    goes_stale=True,
    contenders=(PlannedContender(("distilled",), has_reference_probability=True),),
)
RENTED = ContenderKind(
    "rented",
    rank=5,
    verdict="stop",
    needs="a subscription",
    examples_needed="test",
    is_external=True,
)
CACHED = ContenderKind(
    "cached",
    rank=25,
    verdict="rag",
    needs="needs a cache",
    examples_needed="shots",
    uses_retrieval=True,
)


@pytest.fixture(autouse=True)
def _three_more_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (DISTILLED, RENTED, CACHED):
        monkeypatch.setitem(CONTENDER_KINDS.builtins, kind.name, kind)


def test_its_rank_is_its_place_on_the_ladder() -> None:
    kinds = ("tuned+rag", "distilled", "tuned", "cached", "few-shot", "rented", "outside")
    ladder = sorted((contender(kind, 0.5) for kind in kinds), key=compute_simplicity_key)
    assert [one.kind for one in ladder] == list(reversed(kinds))


@pytest.mark.parametrize(
    ("kind", "said"), [("distilled", "fine-tune"), ("cached", "rag"), ("rented", "stop")]
)
def test_where_it_wins_the_verdict_is_the_one_of_its_row(kind: str, said: str) -> None:
    decision = verdict({"zero-shot": 0.3, kind: 0.9})
    assert (decision.verdict, decision.winner) == (said, kind)


def test_what_it_needs_stands_in_the_reasons() -> None:
    reasons = " ".join(verdict({"zero-shot": 0.8, "distilled": 0.7}).reasons)
    assert "more complex (needs a teacher)" in reasons


def test_a_use_that_speaks_against_training_speaks_against_its_verdict(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert find_disfavored_verdicts(UsageContext(fact_change_frequency="daily")) == {"fine-tune"}
    assert find_disfavored_verdicts(UsageContext(recurrence="once")) == {
        "rag",
        "fine-tune",
        "fine-tune+rag",
    }
    monkeypatch.setitem(
        CONTENDER_KINDS.builtins,
        "outside",
        ContenderKind("outside", 0, "stop", "", "test", is_trained=True),
    )
    assert "stop" in find_disfavored_verdicts(UsageContext(task_change_frequency="daily"))


def test_its_costs_follow_from_its_columns() -> None:
    made = [contender(kind, 0.5) for kind in ("zero-shot", "cached", "distilled", "rented")]
    recipe = Recipe(cost=CostRecipe(usd_per_example=1.0, hosting_usd_per_month=7.0))
    tuning = TrainingCost(seconds=3600.0)  # at 0.1 USD an hour
    costs = build_cost_report(
        evaluation(made), recipe, data_examples=1000, tuning=tuning, evaluation_seconds=0
    )
    parts = {one.name: {part.name: part.usd for part in one.parts} for one in costs.contenders}
    assert parts["distilled"]["tuning"].expected == pytest.approx(0.1)
    assert parts["distilled"]["hosting"].expected == 7.0
    assert "tuning" not in parts["cached"] and "hosting" not in parts["cached"]
    assert parts["distilled"]["data"].low == 1000.0  # it needs all of them
    assert (parts["cached"]["data"].low, parts["cached"]["data"].high) == (
        400.0,
        1000.0,
    )  # the test, at most all
    assert parts["zero-shot"]["data"].high == 400.0
    assert parts["rented"] == {}  # nobody said what it costs
    said = Recipe(
        usage=UsageContext(task_change_frequency="yearly", fact_change_frequency="monthly")
    )
    months = {kind: estimate_months_between_changes(kind, said) for kind in ("distilled", "cached")}
    assert months == {"distilled": (12, 12, 1), "cached": (12, 12, 12)}


def test_an_external_kind_costs_what_its_file_says_and_is_not_timed_here() -> None:
    assert contender("rented", 0.5).usd_per_1000_or_none is None
    assert contender("distilled", 0.5).usd_per_1000_or_none == 0.01
    assert (
        format_cost_basis(contender("rented", 0.5), evaluation({"rented": 0.5}))
        == "as given in its file"
    )

    def is_local(kind: str) -> bool:
        return is_run_locally(
            ContenderAnswers(ContenderSpec(name="x", kind=kind, description=""), [], None)
        )

    assert [is_local(kind) for kind in ("rented", "distilled", "cached")] == [False, True, True]


def test_a_report_shows_it_on_the_side_of_the_trained_ones() -> None:
    made = evaluation({"cached": 0.6, "zero-shot": 0.5, "distilled": 0.9, "tuned": 0.8})

    def find(tuned: bool) -> Contender | None:
        decision = Decision.model_construct(winner=None)
        return find_best(SimpleNamespace(evaluation=made, decision=decision), tuned=tuned)  # type: ignore[arg-type]

    trained, baseline = find(True), find(False)
    assert trained and trained.name == "distilled"
    assert baseline and baseline.name == "cached"


def test_its_contenders_are_counted_forecast_and_their_names_are_taken() -> None:
    recipe = Recipe()
    assert list(list_contender_names(recipe))[-3:] == [
        "distilled",
        "tuned+rag",
        "tuned+rag-documents",
    ]
    assert DISTILLED.has_reference_probability(
        "distilled"
    ) and not DISTILLED.has_reference_probability("tuned")
    with_it, seconds_with_it = count_challengers(recipe, False), _forecast(recipe)
    del CONTENDER_KINDS.builtins["distilled"]
    assert with_it == count_challengers(recipe, False) + 1
    assert seconds_with_it > _forecast(recipe)
    CONTENDER_KINDS.builtins["distilled"] = DISTILLED


def test_a_remote_model_may_not_be_called_as_a_trained_kind() -> None:
    remote = [{"name": "distilled", "base_url": "http://localhost", "model": "m"}]
    recipe = Recipe.model_validate({"evaluation": {"remote": remote}})
    with pytest.raises(RecipeError, match="not the word tuned or distilled"):
        check_recipe(recipe)


def _forecast(recipe: Recipe) -> float:
    throughput = SimpleNamespace(
        pass_seconds=0.1,
        pass_sequence_seconds=0.01,
        prompt_seconds=0.02,
        validation_token_seconds=0.002,
        pair_seconds=0.0,
    )
    workload = Workload(
        examples=100,
        tokens_read=1000,
        tokens_trained=500,
        answer_lengths=(3, 4, 5),
        prompt_tokens=10.0,
        test_examples=50,
        max_new_tokens=8,
    )
    profile = SimpleNamespace(throughput=throughput)
    return estimate_evaluation_seconds(profile, workload, recipe).expected  # type: ignore[arg-type]
