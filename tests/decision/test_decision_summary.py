"""The three lines for a manager, the short table, and the pairs of a report."""

from cases import contender, evaluation, verdict

from tunesmith.decision.costlier_comparison import build_pair_table
from tunesmith.decision.verdict_summary import find_reference_gain, list_summary_contenders
from tunesmith.records import Requirements, format_verdict


def test_the_verdict_begins_with_what_how_sure_and_what_it_costs() -> None:
    made = [
        contender("zero-shot", 0.5),
        contender("rag", 0.8, seconds=0.2, usd=0.04),
        contender("tuned", 0.81),
    ]
    assert verdict(made).summary == (
        "Retrieve: rag scores 80.0 % in exact match.",
        (
            "The true score lies between 75.0 and 85.0 % (95 % interval, 400 test examples); rag"
            " scores 30.0 points more than zero-shot (95 % interval 25.0 to 35.0)."
        ),
        "1,000 requests with rag cost $0.040, 0.20 s each in batches.",
    )


def test_what_the_user_has_is_what_a_gain_is_counted_from() -> None:
    made = [
        contender("outside", 0.6, name="mine"),
        contender("zero-shot", 0.1),
        contender("rag", 0.8),
    ]
    decision = verdict(made)
    assert decision.gain is not None and (decision.gain.b, round(decision.gain.difference, 2)) == (
        "mine",
        0.2,
    )
    assert decision.key_contenders == (
        ("verdict", "rag"),
        ("current system", "mine"),
        ("runner-up", "zero-shot"),
    )


def test_where_what_the_user_has_wins_nothing_is_gained_over_itself() -> None:
    made = [
        contender("outside", 0.9, name="mine"),
        contender("zero-shot", 0.1),
        contender("rag", 0.3),
    ]
    decision = verdict(made)
    assert (decision.verdict, format_verdict(decision.verdict)) == ("stop", "keep what you have")
    assert decision.gain is None and decision.key_contenders == (
        ("verdict", "mine"),
        ("runner-up", "rag"),
    )
    assert decision.summary[0] == "Keep what you have: mine scores 90.0 % in exact match."


def test_no_verdict_names_the_one_to_beat_and_what_is_missing() -> None:
    decision = verdict({"zero-shot": 0.5, "rag": 0.56}, Requirements(min_gain=0.02), half=0.05)
    assert decision.verdict == "cannot tell"
    assert (
        decision.summary[0]
        == "No verdict yet. The contender to beat is zero-shot with 50.0 % in exact match."
    )
    assert (
        decision.summary[1]
        == f"400 test examples are too few: about {decision.required_test_examples:,} are needed."
    )
    assert decision.key_contenders[0][0] == "best so far"


def test_the_listed_order_changes_neither_gain_nor_runner_up() -> None:
    made = [contender("rag", 0.8), contender("tuned", 0.5), contender("zero-shot", 0.5)]
    turned = evaluation(made[::-1])
    assert find_reference_gain(turned, "rag") == find_reference_gain(evaluation(made), "rag")
    assert list_summary_contenders(turned, made[0]) == list_summary_contenders(
        evaluation(made), made[0]
    )


def test_pairs_of_one_verdict_are_not_corrected_and_others_are_by_their_family() -> None:
    made = [
        contender("zero-shot", 0.50),
        contender("few-shot", 0.53),
        contender("rag", 0.56),
        contender("tuned", 0.56),
    ]
    told = {(one.a, one.b): one for one in build_pair_table(evaluation(made))}
    compared = {(one.b, one.a): one.p for one in evaluation(made).comparisons}
    assert told["few-shot", "zero-shot"].p == compared["few-shot", "zero-shot"]
    assert told["rag", "zero-shot"].p > compared["rag", "zero-shot"]
    assert told["rag", "zero-shot"].required_n is None or told["rag", "zero-shot"].p > 0.05
