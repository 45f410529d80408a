"""What a contender gets wrong, grouped: planted errors are found and told from noise."""

import random
from dataclasses import replace

import pytest
from worlds import World, answer_to, example, judged, label_examples

from tunesmith.analysis.by_topic import cluster_questions, compute_tfidf
from tunesmith.analysis.error_analysis import analyze_errors
from tunesmith.analysis.scored_examples import build_scored_examples, choose_min_correct_score
from tunesmith.errors import DataError
from tunesmith.records import Analysis, ErrorGroup


def groups(analysis: Analysis, by: str) -> dict[str, ErrorGroup]:
    return {group.name: group for group in analysis.groups if group.by == by}


def test_a_planted_confusion_of_labels_is_beyond_noise_and_a_stray_one_is_not(
    label_world: World,
) -> None:
    analysis = analyze_errors(*label_world, "tuned")
    assert (analysis.n, analysis.n_wrong, analysis.n_unanswered) == (120, 20, 0)
    pairs = groups(analysis, "labels")
    planted, stray = pairs["refund → return"], pairs["login → arrival"]
    assert (planted.errors, planted.n, planted.is_significant) == (18, 30, True)
    assert (
        planted.fraction == pytest.approx(0.9)
        and planted.excess_rate is not None
        and planted.excess_rate.value == 0.6
    )
    assert (stray.errors, stray.n, stray.is_significant) == (1, 30, False)
    assert groups(analysis, "label")["refund"].is_significant
    assert groups(analysis, "form")["no known label"].errors == 1
    assert all(len(group.examples) <= 3 for group in analysis.groups)
    assert Analysis.model_validate_json(analysis.model_dump_json()) == analysis


def test_planted_defects_of_fields_are_found(json_world: World) -> None:
    fields = groups(analysis := analyze_errors(*json_world, "tuned"), "field")
    missing = fields["suffix: missing"]
    assert (missing.errors, missing.n, missing.is_significant) == (15, 30, True)
    assert (fields["surname: wrong"].errors, fields["surname: wrong"].n) == (1, 59)
    assert (fields["title: extra"].errors, fields["title: extra"].n) == (1, 59)
    assert not fields["surname: wrong"].is_significant and not fields["title: extra"].is_significant
    assert groups(analysis, "form")["invalid JSON"].errors == 1


def test_long_questions_that_go_wrong_are_found() -> None:
    draw = random.Random(3)
    test = [
        example(
            i,
            " ".join(draw.choices(["one", "two", "three", "four"], k=4 + (i % 4) * 8)) + f" {i}",
            "yes",
        )
        for i in range(120)
    ]
    train = [example(i, f"question {i}", ("yes", "no")[i % 2]) for i in range(20)]
    texts = ["no" if i % 4 == 3 and i % 8 == 3 else "yes" for i in range(120)]
    lengths = groups(
        analyze_errors(*judged(test, texts, "label", train), test, train, "tuned"), "length"
    )
    (name, group), *others = lengths.items()
    assert others == [] and group.errors == 15 and group.is_significant
    assert name.endswith("characters")


def test_a_topic_that_goes_wrong_is_found_and_named_by_its_words() -> None:
    train, test = label_examples(80, seed=1), label_examples(120, seed=5)
    texts = [
        ("refund" if one.answer == "login" and i % 3 else one.answer) for i, one in enumerate(test)
    ]
    topics = groups(
        analyze_errors(*judged(test, texts, "label", train), test, train, "tuned"), "topic"
    )
    worst = max(topics.values(), key=lambda group: group.errors)
    assert worst.is_significant and worst.errors == 20
    assert set(worst.name.split(", ")) & {"password", "account", "page", "open", "any", "more"}


def test_clusters_are_the_same_every_time_and_follow_the_words() -> None:
    questions = label_examples(100, seed=4)
    weights, words = compute_tfidf([one.question for one in questions])
    first, again = cluster_questions(weights), cluster_questions(weights)
    assert (first == again).all() and "password" in words
    logins = {int(c) for c, one in zip(first, questions, strict=True) if one.answer == "login"}
    arrivals = {int(c) for c, one in zip(first, questions, strict=True) if one.answer == "arrival"}
    assert not logins & arrivals


def test_errors_that_are_spread_evenly_make_no_group_stand_out() -> None:
    """40 worlds in which who is wrong is drawn: at the corrected 5 %, few of them show any
    group."""
    train, false_alarms = label_examples(80, seed=1), 0
    for seed in range(40):
        draw = random.Random(seed)
        test = label_examples(100, seed=100 + seed)
        texts = [
            (
                draw.choice(["refund", "return", "arrival", "login"])
                if draw.random() < 0.3
                else one.answer
            )
            for one in test
        ]
        evaluation, answers = judged(test, texts, "label", train)
        analysis = analyze_errors(evaluation, answers, test, train, "tuned")
        false_alarms += any(group.is_significant for group in analysis.groups)
    assert false_alarms <= 10  # four sorts of groups, each at 5 %: 7.4 expected at most


def test_cut_and_unanswered_are_forms_and_counts() -> None:
    train, test = label_examples(20, seed=1), label_examples(8, seed=2)
    evaluation, answers = judged(test, ["nonsense"] * 8, "label", train)
    answers[0] = answers[0].model_copy(update={"is_complete": False})
    answers[1] = answer_to(test[1], "", {}, error="timed out", is_complete=False)
    answers[2] = answer_to(test[2], "hm", {}, unscored="the judge failed")
    analysis = analyze_errors(evaluation, answers, test, train, "tuned")
    assert (analysis.n, analysis.n_wrong, analysis.n_unanswered) == (6, 6, 2)
    assert {name: group.errors for name, group in groups(analysis, "form").items()} == {
        "no known label": 5,
        "cut at the token limit": 1,
    }
    assert sorted(failure.outcome for failure in analysis.failures) == [
        "no answer",
        "unscored",
        *["wrong"] * 6,
    ]


@pytest.mark.parametrize(
    ("scores", "limit"),
    [([0, 1, 0], 1.0), ([0.2, 0.6, 0.9] * 5, 0.5), ([0.5, 1, 1], 1.0), ([], 1.0)],
)
def test_free_text_is_wrong_below_one_half(scores: list[float], limit: float) -> None:
    assert choose_min_correct_score(scores) == limit


def test_all_right_is_an_analysis_without_groups() -> None:
    train, test = label_examples(40, seed=1), label_examples(40, seed=2)
    evaluation, answers = judged(test, [one.answer for one in test], "label", train)
    analysis = analyze_errors(evaluation, answers, test, train, "tuned")
    assert (analysis.n_wrong, analysis.groups, analysis.failures, analysis.suggestions) == (
        0,
        (),
        (),
        (),
    )


def test_answers_to_other_examples_are_refused(label_world: World) -> None:
    evaluation, answers, test, _ = label_world
    with pytest.raises(DataError, match="do not match the test examples"):
        build_scored_examples(evaluation, answers[1:], test)
    with pytest.raises(DataError, match="119 examples provided"):
        build_scored_examples(evaluation, answers, [replace(one) for one in test[1:]])


def test_a_judge_beside_the_scorer_hides_no_group(label_world: World, json_world: World) -> None:
    for (evaluation, *rest), by in ((label_world, "labels"), (json_world, "field")):
        judged = evaluation.model_copy(update={"scorer": f"{evaluation.scorer} + judge"})
        plain, beside = (
            analyze_errors(evaluation, *rest, "tuned"),
            analyze_errors(judged, *rest, "tuned"),
        )
        assert groups(beside, by) and beside.groups == plain.groups
