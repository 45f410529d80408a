"""The rules of the verdict: a hand-made evaluation for each row of its tables, and what must hold
for all of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.decision.cases import KINDS, PAIRS, Halves, N, contender, evaluation, small, verdict
from tunesmith.decision import decide
from tunesmith.decision.costlier_comparison import compute_required_standard_errors
from tunesmith.decision.rule_result import VerdictInput
from tunesmith.decision.verdict import apply_rules
from tunesmith.errors import RecordError
from tunesmith.records import Contender, Quantity, Requirements
from tunesmith.records.contender_kinds import list_contender_kinds


@pytest.mark.parametrize(
    ("scores", "wanted"),
    [
        (
            {"zero-shot": 0.8, "few-shot": 0.5, "rag": 0.5, "tuned": 0.5, "tuned+rag": 0.5},
            ("prompt", "zero-shot"),
        ),
        (
            {"zero-shot": 0.2, "few-shot": 0.8, "rag": 0.5, "tuned": 0.8, "tuned+rag": 0.8},
            ("prompt", "few-shot"),
        ),
        (
            {"zero-shot": 0.2, "few-shot": 0.3, "rag": 0.8, "tuned": 0.81, "tuned+rag": 0.7},
            ("rag", "rag"),
        ),
        (
            {"zero-shot": 0.0, "few-shot": 0.1, "rag": 0.2, "tuned": 0.8, "tuned+rag": 0.8},
            ("fine-tune", "tuned"),
        ),
        (
            {"zero-shot": 0.0, "few-shot": 0.1, "rag": 0.2, "tuned": 0.5, "tuned+rag": 0.8},
            ("fine-tune+rag", "tuned+rag"),
        ),
    ],
)
def test_the_simplest_that_nothing_more_elaborate_beats_wins(
    scores: dict[str, float], wanted: tuple[str, str]
) -> None:
    decision = verdict(scores)
    assert (decision.verdict, decision.winner) == wanted


@pytest.mark.parametrize(
    ("gain", "half", "bar", "wanted"),
    [
        (0.06, 0.05, Requirements(), "fine-tune"),  # beaten: the interval lies above zero
        (0.06, 0.05, Requirements(min_gain=0.005), "fine-tune"),
        (
            0.06,
            0.05,
            Requirements(min_gain=0.02),
            "cannot tell",
        ),  # open: above what was asked, and may be noise
        (
            0.06,
            0.05,
            Requirements(min_gain=0.03),
            "prompt",
        ),  # held: luck shows as much one time in four
        (0.06, 0.10, Requirements(), "prompt"),
        (0.06, 0.07, Requirements(), "cannot tell"),
        (
            0.04,
            0.05,
            Requirements(),
            "prompt",
        ),  # held: not shown better, a worthwhile gain not excluded
        (0.01, 0.005, Requirements(min_gain=0.02), "prompt"),  # held: a worthwhile gain is excluded
        (0.06, 0.05, Requirements(min_gain=0.2), "prompt"),
        (-0.3, 0.05, Requirements(), "prompt"),
    ],
)
def test_a_dearer_contender_against_a_simpler_one(
    gain: float, half: float, bar: Requirements, wanted: str
) -> None:
    assert verdict({"zero-shot": 0.5, "tuned": 0.5 + gain}, bar, half=half).verdict == wanted


def test_a_gain_that_is_excluded_is_said_to_be_excluded() -> None:
    decision = verdict({"zero-shot": 0.5, "tuned": 0.505}, Requirements(), half=0.01)
    assert any("a gain of 5.0 points or more is ruled out" in reason for reason in decision.reasons)


def test_stop_when_nothing_reaches_the_score() -> None:
    decision = verdict({"zero-shot": 0.2, "tuned": 0.5}, Requirements(min_score=0.8))
    assert (decision.verdict, decision.winner) == ("stop", None)
    assert any(
        "tuned is disqualified: it scores 50.0 % (95 % interval 45.0 to 55.0 %, n = 400) in "
        "exact match, below your minimum of 80.0 %" in one
        for one in decision.reasons
    )


def test_stop_when_nothing_gets_anything_right() -> None:
    decision = verdict(dict.fromkeys(KINDS, 0.0))
    assert decision.verdict == "stop"
    assert (
        decision.reasons[0]
        == "Keep what you have: no contender answers any of 400 test examples correctly in exact "
        "match."
    )


def test_stop_when_the_simplest_gets_nothing_right_and_the_dearer_next_to_nothing() -> None:
    scores = {"zero-shot": 0.0, "tuned": 0.01}
    assert (
        verdict(
            [contender(kind, score, half=0.0) for kind, score in scores.items()],
            Requirements(min_score=0.0),
        ).verdict
        == "stop"
    )


@pytest.mark.parametrize(
    ("score", "wanted"), [(0.03, "stop"), (0.12, "cannot tell"), (0.2, "fine-tune")]
)
def test_next_to_nothing_is_no_victory_where_no_score_was_asked(score: float, wanted: str) -> None:
    """A tuned model that gets 3 % right beats one that gets nothing right, beyond noise, and is of
    no use."""
    scores = {"zero-shot": 0.0, "few-shot": 0.0, "tuned": score}
    assert verdict(scores, half=0.001).verdict == wanted
    assert verdict(scores, Requirements(min_score=-1.0), half=0.001).verdict == "fine-tune"


def test_stop_when_everything_costs_too_much() -> None:
    assert verdict({"zero-shot": 0.5}, Requirements(max_usd_per_1000=0.001)).verdict == "stop"
    assert verdict({"zero-shot": 0.5}, Requirements(max_latency_seconds=0.01)).verdict == "stop"


def test_a_contender_over_the_price_neither_wins_nor_beats() -> None:
    dear = [contender("zero-shot", 0.5), contender("tuned", 0.9, usd=9.0)]
    decision = verdict(dear, Requirements(max_usd_per_1000=1.0))
    assert decision.winner == "zero-shot"
    assert any(
        "tuned is disqualified: it costs $9.00 per 1,000 requests, above the limit of $1.00"
        in reason
        for reason in decision.reasons
    )


def test_the_bar_excludes_a_simple_one_for_sure_and_tuning_wins() -> None:
    assert verdict({"zero-shot": 0.5, "tuned": 0.9}, Requirements(min_score=0.8)).winner == "tuned"


def test_an_unsure_simple_contender_that_nothing_beats_means_cannot_tell() -> None:
    decision = verdict({"zero-shot": 0.8, "tuned": 0.81}, Requirements(min_score=0.78))
    assert decision.verdict == "cannot tell"
    assert decision.required_test_examples is not None and decision.required_test_examples > N


def test_an_unsure_simple_contender_that_is_beaten_does_not_stand_in_the_way() -> None:
    assert (
        verdict({"zero-shot": 0.8, "tuned": 0.95}, Requirements(min_score=0.78)).winner == "tuned"
    )


def test_a_sure_one_of_the_same_verdict_takes_the_place_of_an_unsure_one() -> None:
    decision = verdict(
        {"zero-shot": 0.80, "few-shot": 0.84, "tuned": 0.84}, Requirements(min_score=0.78)
    )
    assert (decision.verdict, decision.winner) == ("prompt", "few-shot")
    assert any(
        "It is unclear whether zero-shot reaches your minimum of 78.0 %" in reason
        for reason in decision.reasons
    )


def test_noise_between_two_prompts_stops_no_verdict() -> None:
    decision = verdict({"zero-shot": 0.50, "few-shot": 0.56, "tuned": 0.4}, half=0.07)
    assert (decision.verdict, decision.winner) == ("prompt", "zero-shot")
    assert any(
        "few-shot scores higher" in reason and "not significant" in reason
        for reason in decision.reasons
    )


@pytest.mark.parametrize(("right", "n"), [(1, 1), (10, 10), (5, 10), (0, 1), (0, 10)])
def test_equal_scores_on_a_handful_of_examples_are_no_verdict(right: int, n: int) -> None:
    decision = decide(small(dict.fromkeys(KINDS, right), n), Requirements())
    assert (decision.verdict, decision.winner) == ("cannot tell", None)
    assert decision.required_test_examples is not None and decision.required_test_examples >= 20


def test_too_few_examples_are_said_to_be_too_few_with_the_number_that_would_do() -> None:
    decision = decide(small({"zero-shot": 10, "tuned": 10}, 10), Requirements())
    assert decision.reasons[:2] == (
        (
            "10 test examples are too few to compare tuned with zero-shot: "
            "0.0 points (95 % interval −27.8 to 27.8, n = 10) in exact match."
        ),
        "About 630 test examples would settle this, 620 more than the current 10.",
    )


def test_a_landslide_is_a_verdict_on_few_examples_too() -> None:
    assert decide(small({"zero-shot": 0, "tuned": 10}, 10), Requirements()).verdict == "fine-tune"
    assert decide(small({"zero-shot": 10, "tuned": 0}, 10), Requirements()).verdict == "prompt"


def test_enough_equal_answers_are_a_verdict_again() -> None:
    assert decide(small({"zero-shot": 22, "tuned": 22}, 22), Requirements()).verdict == "prompt"
    assert decide(small({"zero-shot": 0, "tuned": 0}, 20), Requirements()).verdict == "stop"


def test_a_difference_known_to_no_better_than_15_points_shows_nothing() -> None:
    assert verdict({"zero-shot": 0.5, "tuned": 0.5}, half=0.16).verdict == "cannot tell"
    assert verdict({"zero-shot": 0.5, "tuned": 0.5}, half=0.14).verdict == "prompt"
    assert (
        verdict({"zero-shot": 0.5, "few-shot": 0.5}, half=0.16).verdict == "prompt"
    )  # the same verdict either way


def test_a_proven_gain_below_the_one_asked_for_is_not_called_no_gain() -> None:
    decision = verdict({"zero-shot": 0.5, "tuned": 0.7}, Requirements(min_gain=0.3), half=0.13)
    assert (
        "tuned is more complex (needs training) and better, but not shown to exceed your "
        "minimum gain of 30.0 points: 20.0 points (95 % interval 7.0 to 33.0, n = 400) in "
        "exact match." in decision.reasons
    )
    assert not any("not significantly better:" in reason for reason in decision.reasons)


def test_small_steps_add_up() -> None:
    """No step of four points is worth five, but two steps are: the first two are passed over, the
    third is enough."""
    scores = {"zero-shot": 0.50, "few-shot": 0.54, "rag": 0.58, "tuned": 0.62}
    assert verdict(scores, Requirements(min_gain=0.05), half=0.005).winner == "rag"


def test_nobody_pays_more_for_less() -> None:
    """few-shot is worse than zero-shot, and only its wide interval keeps tuned from beating it
    too."""
    halves = {frozenset(("few-shot", "tuned")): 0.3, frozenset(("zero-shot", "tuned")): 0.002}
    scores = {"zero-shot": 0.500, "few-shot": 0.495, "tuned": 0.505}
    assert decide(evaluation(scores, halves=halves), Requirements()).winner == "tuned"


def test_the_needed_examples_come_from_the_comparison() -> None:
    open_one = evaluation({"zero-shot": 0.5, "tuned": 0.56}, half=0.07)
    told = open_one.comparisons[0].model_copy(update={"required_n": 1234})
    decision = decide(open_one.model_copy(update={"comparisons": (told,)}), Requirements())
    assert decision.required_test_examples == 1234
    assert any(
        "About 1,234 test examples would settle this, 834 more than the current 400." in one
        for one in decision.reasons
    )


def test_the_needed_examples_grow_when_a_gain_is_asked_for() -> None:
    scores = {"zero-shot": 0.5, "tuned": 0.57}
    asked, more = (
        verdict(scores, Requirements(min_gain=gain)).required_test_examples
        for gain in (0.03, 0.032)
    )
    # half 0.05 means a standard error of 0.02551 at 400; (1.96 + 0.8416)^2 * (se / 0.04)^2 * 400 =
    # 1277.03
    assert (asked, more) == (1278, 1415)


def test_a_contender_without_a_score_is_out_and_said_to_be() -> None:
    silent = contender("tuned", 0.9).model_copy(update={"metrics": {}})
    only = evaluation({"zero-shot": 0.5})
    decision = decide(
        only.model_copy(update={"contenders": (*only.contenders, silent)}), Requirements()
    )
    assert decision.winner == "zero-shot"
    assert (
        "tuned is disqualified: none of its answers could be scored for exact match."
        in decision.reasons
    )


def test_a_verdict_without_a_tuned_contender_says_so() -> None:
    sentence = "No tuned model was evaluated."
    assert sentence in verdict({"zero-shot": 0.5, "rag": 0.9}).reasons
    assert sentence not in verdict({"zero-shot": 0.5, "tuned": 0.9}).reasons


def test_failed_answers_are_told() -> None:
    score = Quantity(value=0.5, low=0.4, high=0.6, n=390, n_failed=10)
    shaky = contender("zero-shot", 0.5).model_copy(update={"metrics": {"exact": score}})
    assert (
        "zero-shot has no score for 10 of 400 requests (failed or could not be judged); if "
        "all of them counted as wrong, it would score 48.8 %." in verdict([shaky]).reasons
    )


def test_missing_comparison_and_unknown_kind_are_refused() -> None:
    whole = evaluation({"zero-shot": 0.5, "tuned": 0.6})
    with pytest.raises(RecordError, match="no exact comparison of tuned with zero-shot"):
        decide(whole.model_copy(update={"comparisons": ()}), Requirements())
    with pytest.raises(RecordError, match="unknown-kind"):
        decide(evaluation([contender("oracle", 0.5)]), Requirements())


def test_an_evaluation_of_nobody_is_a_stop() -> None:
    assert verdict([]).verdict == "stop"


SCORES = st.lists(st.integers(0, 100), min_size=1, max_size=5).map(
    lambda scores: {kind: score / 100 for kind, score in zip(KINDS, scores, strict=False)}
)
WIDTHS = st.lists(
    st.sampled_from((0.004, 0.02, 0.05, 0.2)), min_size=len(PAIRS), max_size=len(PAIRS)
).map(lambda widths: dict(zip(PAIRS, widths, strict=True)))
"""How wide the interval of each paired difference is; the answers of two contenders may agree much
or little."""
BARS = st.builds(
    Requirements,
    min_score=st.none() | st.integers(0, 100).map(lambda score: score / 100),
    min_gain=st.sampled_from((0.0, 0.01, 0.05, 0.3)),
)


@given(SCORES, WIDTHS, BARS)
def test_a_verdict_agrees_with_its_own_numbers(
    scores: dict[str, float], halves: Halves, bar: Requirements
) -> None:
    judged = evaluation(scores, halves=halves)
    decision = decide(judged, bar)
    assert (decision.winner is None) == (decision.verdict in ("stop", "cannot tell"))
    assert decision.evaluation == judged.fingerprint
    assert decision.reasons
    if decision.verdict != "cannot tell":
        assert decision.required_test_examples is None
    if decision.winner is None:
        return
    winner = judged.get_contender(decision.winner)
    assert winner.traits.verdict == decision.verdict
    assert winner.metrics["exact"].value > 0
    assert winner.metrics["exact"].low >= (0.1 if bar.min_score is None else bar.min_score)
    for other in judged.contenders:
        gain = other.metrics["exact"].value - winner.metrics["exact"].value
        if KINDS.index(other.kind) > KINDS.index(winner.kind):
            half = halves[frozenset((other.name, winner.name))]
            corrected = (
                1.02
                * half
                * compute_required_standard_errors(len(KINDS))
                / compute_required_standard_errors()
            )  # no family is larger
            assert gain - corrected <= bar.min_gain
        elif other is not winner and bar.min_score is None:
            assert gain < 0


@given(SCORES, WIDTHS, BARS, st.randoms(use_true_random=False))
def test_the_order_in_which_contenders_and_comparisons_are_listed_changes_nothing(
    scores, halves, bar, random
) -> None:
    judged = evaluation(scores, halves=halves)
    contenders, comparisons = list(judged.contenders), []
    for pair in judged.comparisons:
        swapped = {
            "a": pair.b,
            "b": pair.a,
            "difference": -pair.difference,
            "low": -pair.high,
            "high": -pair.low,
        }
        comparisons.append(pair.model_copy(update=swapped) if random.random() < 0.5 else pair)
    random.shuffle(contenders)
    random.shuffle(comparisons)
    shuffled = judged.model_copy(
        update={"contenders": tuple(contenders), "comparisons": tuple(comparisons)}
    )
    once, again = decide(judged, bar), decide(shuffled, bar)
    assert once.model_dump(exclude={"evaluation"}) == again.model_dump(exclude={"evaluation"})


@given(SCORES, WIDTHS, BARS, st.integers(1, 40))
def test_a_better_score_never_makes_the_winner_lose(
    scores: dict[str, float], halves: Halves, bar: Requirements, more: int
) -> None:
    winner = verdict(scores, bar, halves=halves).winner
    if winner is not None:
        better = scores | {winner: scores[winner] + more / 100}
        assert verdict(better, bar, halves=halves).winner == winner


@given(SCORES, WIDTHS, BARS)
def test_a_contender_that_is_out_changes_no_verdict_when_it_joins(
    scores: dict[str, float], halves: Halves, bar: Requirements
) -> None:
    """A sixth contender, dearer than all and right about nothing, takes nothing from anybody."""
    made = [contender(kind, score) for kind, score in scores.items()]
    useless = contender("tuned+rag", 0.0, usd=99.0, half=0.0).model_copy(update={"name": "useless"})
    before, after = verdict(made, bar, halves=halves), verdict([*made, useless], bar, halves=halves)
    if bar.min_score != 0:
        assert (before.verdict, before.winner) == (after.verdict, after.winner)


@given(SCORES, WIDTHS, BARS, st.sampled_from((0.004, 0.05, 0.2)), st.integers(1, 6))
def test_useless_contenders_that_join_never_make_a_dearer_verdict_win(
    scores: dict[str, float], halves: Halves, bar: Requirements, half: float, number: int
) -> None:
    """One that is in counts as one more chance to be lucky: it may make the verdict more careful,
    never bolder."""
    made = [contender(kind, score) for kind, score in scores.items()]
    least = min(scores.values())
    joining = [
        contender("tuned+rag", least - 0.01, name=f"useless {i}", usd=99.0 + i)
        for i in range(number)
    ]
    before = apply_rules(VerdictInput(evaluation(made, half, halves), bar))
    after = apply_rules(VerdictInput(evaluation([*made, *joining], half, halves), bar))
    if before.best is None:
        assert after.winner is None
    elif after.best is not None and after.best not in joining:
        order = list(dict.fromkeys(kind.verdict for kind in list_contender_kinds()))
        assert order.index(after.best.traits.verdict) <= order.index(before.best.traits.verdict)
    assert after.winner not in joining


def failing(one: Contender, failed: int, asked: int = 400) -> Contender:
    """The same score, on what it answered."""
    score = one.metrics["exact"].model_copy(update={"n": asked - failed, "n_failed": failed})
    return one.model_copy(update={"metrics": {"exact": score}})


def test_nobody_wins_by_not_answering() -> None:
    """97 % of the 100 that it answered, and 300 without an answer, against 60 % of all."""
    made = [contender("zero-shot", 0.6), failing(contender("tuned", 0.97), 300)]
    decision = verdict(made)
    assert (decision.verdict, decision.winner) == ("prompt", "zero-shot")
    assert (
        "tuned is disqualified: 300 of 400 requests have no answer that could be scored, more "
        "than the allowed 5.0 %." in decision.reasons
    )


def test_up_to_one_answer_in_twenty_may_fail_and_it_is_told() -> None:
    few, many = (
        verdict([contender("zero-shot", 0.6), failing(contender("tuned", 0.9), k)])
        for k in (20, 21)
    )
    assert (few.winner, many.winner) == ("tuned", "zero-shot")
    assert any(
        "if all of them counted as wrong, it would score 85.5 %" in reason for reason in few.reasons
    )


def test_where_all_fail_it_says_so() -> None:
    decision = verdict([failing(contender("zero-shot", 0.9), 100)])
    assert decision.verdict == "stop"
    assert (
        decision.reasons[0]
        == "Keep what you have: every contender failed on too many requests to be judged. Fix "
        "the failures and run it again."
    )


def test_noise_of_the_clock_does_not_choose_between_two_that_cost_the_same() -> None:
    """Within a step of cost the one that reads and writes fewer tokens is the simpler one, then the
    name decides."""

    def winner(*usd: float) -> str | None:
        names = ("long", "short", "twin")
        tokens = {"long": 300.0, "short": 100.0, "twin": 100.0}
        made = [
            contender("few-shot", 0.8, name=name, usd=cost).model_copy(
                update={"tokens_in_per_request": tokens[name]}
            )
            for name, cost in zip(names, usd, strict=True)
        ]
        return verdict(made).winner

    assert (
        winner(0.020, 0.021, 0.022)
        == winner(0.022, 0.021, 0.020)
        == winner(0.021, 0.022, 0.020)
        == "short"
    )
    assert winner(0.020, 0.2, 0.2) == "long"


def test_two_that_need_the_same_are_not_called_more_elaborate() -> None:
    made = [
        contender("few-shot", 0.8, name="a", usd=0.021),
        contender("few-shot", 0.7, name="b", usd=0.020),
    ]
    assert any(
        reason.startswith("b is about as complex and significantly worse")
        for reason in verdict(made).reasons
    )
