"""What no data answers: limits rule out, leanings settle only what the data leave open, and
strictness has its list."""

import pytest

from tests.decision.cases import contender, evaluation, verdict
from tunesmith.decision import decide
from tunesmith.records import Contender, Decision, Quantity, Requirements, TokenPrice, UsageContext

PROVEN = {"zero-shot": 0.3, "tuned": 0.8}
OPEN = {"zero-shot": 0.5, "tuned": 0.57}


def remote(usd_per_million: float) -> Contender:
    price = TokenPrice(
        usd_per_million_in=usd_per_million, usd_per_million_out=0.0, source="s", date="2026-11-01"
    )
    return contender("zero-shot", 0.9, name="remote").model_copy(update={"token_price": price})


@pytest.mark.parametrize(
    ("where", "usd", "is_in"),
    [
        (None, 1.0, True),
        ("anywhere", 1.0, True),
        ("own cloud", 1.0, False),
        ("own cloud", 0.0, True),  # nobody charges for it, so it is the user's own
        ("this machine", 0.0, False),
    ],
)
def test_data_that_may_not_go_rule_a_provider_out(
    where: str | None, usd: float, is_in: bool
) -> None:
    said = UsageContext.model_validate({"data_residency": where})
    decision = verdict([remote(usd), contender("tuned", 0.5)], circumstances=said)
    assert decision.winner == ("remote" if is_in else "tuned")
    assert (
        any(
            "it sends the data to a provider, but the data may not leave" in one
            for one in decision.reasons
        )
        != is_in
    )


def test_the_longest_wait_is_a_limit_like_that_of_the_bar() -> None:
    said = UsageContext(max_wait_seconds=0.05)
    assert verdict({"zero-shot": 0.8}, circumstances=said).verdict == "stop"
    assert verdict({"zero-shot": 0.8}, Requirements(max_latency_seconds=0.05)).verdict == "stop"
    assert (
        verdict(
            {"zero-shot": 0.8}, Requirements(max_latency_seconds=5.0), circumstances=said
        ).verdict
        == "stop"
    )


@pytest.mark.parametrize(
    ("said", "settled"),
    [
        (UsageContext(), "cannot tell"),
        (
            UsageContext(
                task_change_frequency="monthly",
                fact_change_frequency="monthly",
                recurrence="ongoing",
            ),
            "cannot tell",
        ),
        (UsageContext(task_change_frequency="weekly"), "prompt"),
        (UsageContext(fact_change_frequency="daily"), "prompt"),
        (UsageContext(recurrence="once"), "prompt"),
    ],
)
def test_a_leaning_settles_what_the_data_leave_open(said: UsageContext, settled: str) -> None:
    assert verdict(OPEN, half=0.075, circumstances=said).verdict == settled


@pytest.mark.parametrize(
    "said",
    [
        UsageContext(task_change_frequency="daily"),
        UsageContext(fact_change_frequency="weekly"),
        UsageContext(recurrence="once"),
    ],
)
def test_a_leaning_never_overturns_what_the_data_prove_and_warns(said: UsageContext) -> None:
    decision = verdict(PROVEN, circumstances=said)
    assert decision.verdict == "fine-tune"
    assert len(decision.warnings) == 1
    assert (
        "but the measurements favor another verdict: fine-tune. Which matters more is your choice."
        in decision.warnings[0]
    )


def test_no_leaning_settles_what_too_few_examples_hide() -> None:
    assert (
        verdict(
            {"zero-shot": 0.5, "tuned": 0.5},
            half=0.3,
            circumstances=UsageContext(recurrence="once"),
        ).verdict
        == "cannot tell"
    )


def test_changing_facts_speak_against_tuning_alone_not_against_tuning_with_retrieval() -> None:
    said = UsageContext(fact_change_frequency="daily")
    both = verdict({"zero-shot": 0.3, "tuned": 0.5, "tuned+rag": 0.8}, circumstances=said)
    assert (both.verdict, both.warnings) == ("fine-tune+rag", ())
    assert (
        "Because the facts change daily and a tuned model only knows those it was trained on, "
        "retrieval is preferred." in both.reasons
    )


def test_what_was_settled_by_a_leaning_is_said() -> None:
    decision = verdict(OPEN, half=0.075, circumstances=UsageContext(task_change_frequency="weekly"))
    assert (
        "Because the task changes weekly and each change requires retraining, prompting is "
        "preferred, which settles the inconclusive comparison with tuned." in decision.reasons
    )


def test_what_nobody_said_is_named_once() -> None:
    unsaid = [reason for reason in verdict(PROVEN).reasons if reason.startswith("Not specified")]
    assert unsaid == [
        "Not specified: how often the task itself changes, how often the facts behind it "
        "change, whether it is used once or continuously, the number of requests per month, "
        "where the data may be sent, the maximum wait that users accept (set with tunesmith "
        "init)."
    ]
    said = UsageContext(
        task_change_frequency="never",
        fact_change_frequency="never",
        recurrence="ongoing",
        requests_per_month=5000,
        data_residency="any",
    )
    told = verdict(PROVEN, Requirements(max_latency_seconds=9.0), circumstances=said).reasons
    assert not any(reason.startswith("Not specified") for reason in told)
    assert "5,000 requests per month cost $0.050 with tuned." in told


def test_cannot_tell_names_the_answers_that_would_settle_it() -> None:
    decision = verdict(OPEN, half=0.075)
    assert decision.reasons[1:6] == (
        "About 939 test examples would settle this, 539 more than the current 400.",
        (
            "If a gain of 7.0 points is not worth it to you (requirements.min_gain=0.07), the"
            " verdict "
            "is: prompt."
        ),
        (
            "If the task changes every week (usage.task_change_frequency=weekly), the verdict "
            "is: prompt."
        ),
        (
            "If the facts change every day (usage.fact_change_frequency=daily), the verdict "
            "is: prompt."
        ),
        "If it is used only once (usage.recurrence=once), the verdict is: prompt.",
    )
    unsure = verdict({"zero-shot": 0.8}, Requirements(min_score=0.78))
    assert (
        "If 75.0 % is good enough for you (requirements.min_score=0.75), the verdict is: prompt."
        in unsure.reasons
    )


DROP = Quantity(value=0.07, low=0.01, high=0.13, n=200)


def test_too_much_forgotten_is_a_warning_and_leaves_the_verdict() -> None:
    decision = decide(evaluation(PROVEN), Requirements(), forgetting=DROP)
    assert decision.verdict == "fine-tune"
    assert decision.warnings == (
        (
            "Tuning reduces general ability by 7.0 points (95 % interval 1.0 to 13.0, n = "
            "200), more than the allowed 5.0 points (requirements.max_forgetting); the excess is"
            " not "
            "significant, but the limit applies to the point estimate."
        ),
    )
    assert (
        "General ability after tuning falls by 7.0 points (95 % interval 1.0 to 13.0, n = 200)."
        in decision.reasons
    )


@pytest.mark.parametrize(
    ("scores", "limit", "drop"),
    [
        (PROVEN, 0.07, DROP),  # as much as allowed
        (PROVEN, None, DROP),
        (PROVEN, 0.05, None),
        ({"zero-shot": 0.8, "tuned": 0.5}, 0.05, DROP),  # nobody is going to use the tuned model
    ],
)
def test_no_warning_where_nothing_is_exceeded(
    scores: dict[str, float], limit: float | None, drop: Quantity | None
) -> None:
    assert (
        decide(evaluation(scores), Requirements(max_forgetting=limit), forgetting=drop).warnings
        == ()
    )


def test_beyond_noise_is_said_without_a_doubt() -> None:
    sure = Quantity(value=0.2, low=0.1, high=0.3, n=200)
    (warning,) = decide(evaluation(PROVEN), Requirements(), forgetting=sure).warnings
    assert warning.endswith("more than the allowed 5.0 points (requirements.max_forgetting).")


def test_a_decision_can_be_made_again_from_what_it_holds() -> None:
    judged = evaluation(PROVEN)
    said = UsageContext(task_change_frequency="weekly", requests_per_month=10)
    once = decide(judged, Requirements(min_gain=0.02), said, DROP)
    read = Decision.model_validate_json(once.model_dump_json(), strict=False)
    assert read == once
    assert decide(judged, read.requirements, read.usage_context, read.forgetting) == once
