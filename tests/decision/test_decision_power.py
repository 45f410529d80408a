"""What a test set can show, before anything is spent and after it was measured."""

import numpy as np
import pytest

from tunesmith.decision import build_power_statement
from tunesmith.decision.costlier_comparison import compute_required_standard_errors
from tunesmith.decision.power_statement import (
    DEFAULT_DISCORDANT_RATE,
    DEFAULT_GROUP_CORRELATION,
    Disagreement,
    measure_disagreement,
)
from tunesmith.evaluation.stats.paired_difference import rate_difference
from tunesmith.evaluation.stats.power_analysis import (
    compute_power,
    compute_required_n,
    compute_required_n_for_means,
    minimum_detectable_difference,
    minimum_detectable_mean_difference,
)
from tunesmith.records import Answer, Contender, Evaluation, Quantity, Requirements


def test_it_says_what_was_asked_what_can_be_shown_and_what_is_needed() -> None:
    told = build_power_statement(80, Requirements(min_gain=0.03), Disagreement(0.12))
    assert (
        told.sentence
        == "With 80 test examples, only gains of 13.6 points or more can be shown to exceed your "
        "minimum gain of 3 points (80 % power). Detecting 6 points needs about 1,050 test "
        "examples. (Measured: the best two contenders of different verdicts disagree on 12.0 "
        "% of the examples.)"
    )
    assert not told.is_enough and not told.is_assumed
    assert told.options == (
        "Label 970 more test examples.",
        (
            "Continue as it is: true gains below 13.6 points will mostly not be statistically "
            "significant, so the verdict will be the simplest contender or 'cannot tell'."
        ),
    )


def test_its_numbers_are_those_of_the_test_that_will_be_used() -> None:
    told = build_power_statement(200, Requirements())
    assert told.disagreement_rate == DEFAULT_DISCORDANT_RATE and told.is_assumed
    assert told.min_detectable_gain == minimum_detectable_difference(200, DEFAULT_DISCORDANT_RATE)
    assert told.required_n == compute_required_n(0.05, DEFAULT_DISCORDANT_RATE)
    assert compute_power(told.required_n, 0.05, DEFAULT_DISCORDANT_RATE) == pytest.approx(
        0.8, abs=0.01
    )
    assert compute_power(
        200, told.min_detectable_gain or 0, DEFAULT_DISCORDANT_RATE
    ) == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize(
    ("n", "gain"),
    [(build_power_statement(1, Requirements(min_gain=0.08)).required_n, 0.16), (150, None)],
)
def test_what_it_promises_is_what_the_rule_does(n: int, gain: float | None) -> None:
    """The rule: the whole interval above min_gain. Simulated at what is wanted, and at what the
    examples show."""
    told = build_power_statement(n, Requirements(min_gain=0.08))
    gain = gain or told.min_detectable_gain or 0.0
    chances = (
        (DEFAULT_DISCORDANT_RATE + gain) / 2,
        (DEFAULT_DISCORDANT_RATE - gain) / 2,
        1 - DEFAULT_DISCORDANT_RATE,
    )
    tables = np.random.default_rng(1).multinomial(n, np.clip(chances, 0, 1), 500)[:, :2]
    beaten = np.mean([rate_difference(int(a), int(b), n).low > 0.08 for a, b in tables])
    assert 0.75 < beaten < 0.92  # on the safe side: the spread shrinks with the gain


def test_enough_is_enough() -> None:
    told = build_power_statement(5000, Requirements(min_gain=0.05))
    assert told.is_enough and told.options == () and told.target_gain == 0.1
    assert (
        "to exceed your minimum gain of 5 points (80 % power); this is enough to detect 10 points."
        in told.sentence
    )


def test_where_no_gain_was_asked_for_five_points_are_worth_waiting_for() -> None:
    told = build_power_statement(100, Requirements())
    assert told.target_gain == 0.05
    assert "Detecting 5 points (min_gain is not set) needs about" in told.sentence


def test_a_handful_shows_nothing() -> None:
    told = build_power_statement(3, Requirements())
    assert told.min_detectable_gain is None and not told.is_enough
    assert told.sentence.startswith(
        "With 3 test examples, no gain can be detected (80 % power). Detecting 5 points"
    )
    assert told.options[-1].startswith(
        "Continue as it is: true gains will mostly not be statistically significant"
    )


def test_several_comparisons_need_more() -> None:
    one, eight = (
        build_power_statement(400, Requirements()),
        build_power_statement(400, Requirements(), comparisons=8),
    )
    harder = compute_required_standard_errors(8) / compute_required_standard_errors()
    assert one.min_detectable_gain is not None and eight.min_detectable_gain == pytest.approx(
        one.min_detectable_gain * harder
    )
    assert eight.required_n == pytest.approx(one.required_n * harder**2, rel=0.01)


def test_groups_show_less_and_it_says_so() -> None:
    alone, grouped = (
        build_power_statement(400, Requirements()),
        build_power_statement(400, Requirements(), groups=40),
    )
    effect = 1 + 9 * DEFAULT_GROUP_CORRELATION
    assert (
        alone.min_detectable_gain
        and grouped.min_detectable_gain
        and effect**0.5
        < grouped.min_detectable_gain / alone.min_detectable_gain
        < 1.1 * effect**0.5
    )
    assert effect * alone.required_n < grouped.required_n < 1.1 * effect * alone.required_n
    assert grouped.sentence.startswith("With 400 test examples in 40 groups, only gains of ")
    assert grouped.sentence.endswith(
        "Assumed: the correlation within a group is 0.1, so 400 examples carry as much "
        "information as 210 independent ones.)"
    )
    few, one = (
        build_power_statement(400, Requirements(), groups=3),
        build_power_statement(400, Requirements(), groups=1),
    )
    assert (
        few.min_detectable_gain is None or few.min_detectable_gain > 2 * grouped.min_detectable_gain
    )
    assert one.min_detectable_gain is None and not one.is_enough and one.required_n > 400


def test_needed_and_shown_are_one_question_with_groups_too() -> None:
    """At the needed number, in groups of the same size, what is wanted is just shown."""
    plan = build_power_statement(300, Requirements(), groups=60)
    there = build_power_statement(plan.required_n, Requirements(), groups=plan.required_n // 5)
    assert there.min_detectable_gain == pytest.approx(0.05, rel=0.01)


def test_graded_scores_go_by_their_measured_spread() -> None:
    told = build_power_statement(200, Requirements(), Disagreement(0.9, 0.2))
    assert told.min_detectable_gain == minimum_detectable_mean_difference(
        200, 0.2
    ) and told.required_n == compute_required_n_for_means(0.05, 0.2)
    assert told.standard_deviation == 0.2 and "by 20 points (standard deviation)" in told.sentence


def evaluation_of(
    scores: dict[str, tuple[str, list[float | None]]],
) -> tuple[Evaluation, dict[str, list[Answer]]]:
    """Contenders of these kinds with these scores; None failed."""
    contenders, answers = [], {}
    for name, (kind, found) in scores.items():
        known = [score for score in found if score is not None]
        quantity = Quantity(
            value=float(np.mean(known)) if known else 0.0, low=0, high=1, n=len(known)
        )
        contenders.append(
            Contender(
                name=name,
                kind=kind,
                description="",
                metrics={"m": quantity},
                seconds_per_request=1,
                tokens_in_per_request=1,
                tokens_out_per_request=1,
                usd_per_1000=1,
            )
        )
        answers[name] = [
            Answer(
                example=str(i),
                text="",
                scores={} if score is None else {"m": score},
                tokens_in=1,
                tokens_out=1,
                seconds=1,
                is_complete=True,
            )
            for i, score in enumerate(found)
        ]
    n = max(len(found) for _, found in scores.values())
    evaluation = Evaluation(
        task="t",
        scorer="s",
        scorer_reason="",
        metric="m",
        examples=tuple(map(str, range(n))),
        contenders=tuple(contenders),
        comparisons=(),
        machine_usd_per_hour=0.1,
    )
    return evaluation, answers


def test_the_spread_is_that_of_the_best_two_of_different_verdicts() -> None:
    right = {
        "bare": ("zero-shot", [0.0, 0.0, 0.0, 0.0]),
        "shown": ("few-shot", [1.0, 0.0, 1.0, 0.0]),
        "tuned": ("tuned", [1.0, 1.0, 1.0, None]),
        "also": ("tuned", [1.0, 1.0, 0.0, 1.0]),
    }
    assert measure_disagreement(*evaluation_of(right)) == Disagreement(1 / 3)
    graded = {
        "shown": ("few-shot", [0.5, 0.25, 0.5, 0.75]),
        "tuned": ("tuned", [0.5, 0.75, 0.75, 1.0]),
    }
    assert measure_disagreement(*evaluation_of(graded)) == Disagreement(
        0.75, pytest.approx(np.std([0, 0.5, 0.25, 0.25], ddof=1))
    )
    assert (
        measure_disagreement(*evaluation_of({"bare": right["bare"], "shown": right["shown"]}))
        is None
    )
    assert (
        measure_disagreement(*evaluation_of({"bare": right["bare"], "none": ("tuned", [None] * 4)}))
        is None
    )


def test_what_is_there_already_comes_before_what_must_be_made() -> None:
    options = build_power_statement(80, Requirements(), train=5000, unused=300).options
    assert [option.split()[0] for option in options] == ["Use", "Move", "Label", "Continue"]
    assert (
        options[0]
        == "Use the 300 test examples that evaluation.max_test_examples leaves out: 399 more would "
        "still be needed."
    )
    assert (
        options[1]
        == "Move 399 of the 5,000 training examples to the test split (data.test_fraction=0.15 of "
        "train and test together)."
    )
    assert (
        build_power_statement(80, Requirements(), unused=2000)
        .options[0]
        .endswith("that is enough.")
    )
    assert not any(
        "Move" in option for option in build_power_statement(80, Requirements(), train=900).options
    )


def test_contenders_disagree_at_least_where_they_differ() -> None:
    assert (
        build_power_statement(80, Requirements(min_gain=0.3), Disagreement(0.1)).disagreement_rate
        == 0.6
    )
    assert build_power_statement(80, Requirements(min_gain=0.9)).target_gain == pytest.approx(0.95)
