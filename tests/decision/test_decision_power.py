"""What a test set can show, before anything is spent and after it was measured."""

import numpy as np
import pytest

from tunesmith.decision import what_can_be_shown
from tunesmith.decision.duel import standard_errors
from tunesmith.decision.power import ASSUMED_ALIKE, ASSUMED_DISCORDANT, Spread, spread_seen
from tunesmith.evaluation.stats.paired import rate_difference
from tunesmith.evaluation.stats.power import (
    minimum_detectable,
    minimum_detectable_mean,
    needed_for,
    needed_for_mean,
    power_at,
)
from tunesmith.records import Answer, Bar, Contender, Evaluation, Quantity


def test_it_says_what_was_asked_what_can_be_shown_and_what_is_needed() -> None:
    told = what_can_be_shown(80, Bar(min_gain=0.03), Spread(0.12))
    assert told.sentence == (
        "With 80 test examples only gains of 13.6 points or more can be proven to exceed the 3 that you asked for. To "
        "prove 6 points you need about 1,050. (Measured: the best two of different verdicts disagree on 12.0 % of the "
        "examples.)"
    )
    assert not told.is_enough and not told.is_assumed
    assert told.options == (
        "Label 970 more test examples.",
        "Go on as it is: true gains below 13.6 points will mostly not be told from chance, and end in the simplest "
        "contender or in 'cannot tell'.",
    )


def test_its_numbers_are_those_of_the_test_that_will_be_used() -> None:
    told = what_can_be_shown(200, Bar())
    assert told.discordant == ASSUMED_DISCORDANT and told.is_assumed
    assert told.shows == minimum_detectable(200, ASSUMED_DISCORDANT)
    assert told.needed == needed_for(0.05, ASSUMED_DISCORDANT)
    assert power_at(told.needed, 0.05, ASSUMED_DISCORDANT) == pytest.approx(0.8, abs=0.01)
    assert power_at(200, told.shows or 0, ASSUMED_DISCORDANT) == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize(("n", "gain"), [(what_can_be_shown(1, Bar(min_gain=0.08)).needed, 0.16), (150, None)])
def test_what_it_promises_is_what_the_rule_does(n: int, gain: float | None) -> None:
    """The rule: the whole interval above min_gain. Simulated at what is wanted, and at what the examples show."""
    told = what_can_be_shown(n, Bar(min_gain=0.08))
    gain = gain or told.shows or 0.0
    chances = ((ASSUMED_DISCORDANT + gain) / 2, (ASSUMED_DISCORDANT - gain) / 2, 1 - ASSUMED_DISCORDANT)
    tables = np.random.default_rng(1).multinomial(n, np.clip(chances, 0, 1), 500)[:, :2]
    beaten = np.mean([rate_difference(int(a), int(b), n).low > 0.08 for a, b in tables])
    assert 0.75 < beaten < 0.92  # on the safe side: the spread shrinks with the gain


def test_enough_is_enough() -> None:
    told = what_can_be_shown(5000, Bar(min_gain=0.05))
    assert told.is_enough and told.options == () and told.wanted == 0.1
    assert "to exceed the 5 that you asked for: that is enough to prove 10." in told.sentence


def test_where_no_gain_was_asked_for_five_points_are_worth_waiting_for() -> None:
    told = what_can_be_shown(100, Bar())
    assert told.wanted == 0.05
    assert "To prove 5 points (you named no min_gain) you need about" in told.sentence


def test_a_handful_shows_nothing() -> None:
    told = what_can_be_shown(3, Bar())
    assert told.shows is None and not told.is_enough
    assert told.sentence.startswith("With 3 test examples no gain can be proven. To prove 5 points")
    assert told.options[-1].startswith("Go on as it is: true gains will mostly not be told")


def test_several_comparisons_need_more() -> None:
    one, eight = what_can_be_shown(400, Bar()), what_can_be_shown(400, Bar(), comparisons=8)
    harder = standard_errors(8) / standard_errors()
    assert one.shows is not None and eight.shows == pytest.approx(one.shows * harder)
    assert eight.needed == pytest.approx(one.needed * harder**2, rel=0.01)


def test_groups_show_less_and_it_says_so() -> None:
    alone, grouped = what_can_be_shown(400, Bar()), what_can_be_shown(400, Bar(), groups=40)
    effect = 1 + 9 * ASSUMED_ALIKE
    assert alone.shows and grouped.shows and effect**0.5 < grouped.shows / alone.shows < 1.1 * effect**0.5
    assert effect * alone.needed < grouped.needed < 1.1 * effect * alone.needed
    assert grouped.sentence.startswith("With 400 test examples in 40 groups only gains of ")
    assert grouped.sentence.endswith(
        "Assumed: differences inside a group correlate with 0.1, so that 400 tell as much as 210 ungrouped ones.)"
    )
    few, one = what_can_be_shown(400, Bar(), groups=3), what_can_be_shown(400, Bar(), groups=1)
    assert few.shows is None or few.shows > 2 * grouped.shows
    assert one.shows is None and not one.is_enough and one.needed > 400


def test_needed_and_shown_are_one_question_with_groups_too() -> None:
    """At the needed number, in groups of the same size, what is wanted is just shown."""
    plan = what_can_be_shown(300, Bar(), groups=60)
    there = what_can_be_shown(plan.needed, Bar(), groups=plan.needed // 5)
    assert there.shows == pytest.approx(0.05, rel=0.01)


def test_graded_scores_go_by_their_measured_spread() -> None:
    told = what_can_be_shown(200, Bar(), Spread(0.9, 0.2))
    assert told.shows == minimum_detectable_mean(200, 0.2) and told.needed == needed_for_mean(0.05, 0.2)
    assert told.deviation == 0.2 and "by 20 points (standard deviation)" in told.sentence


def evaluation_of(scores: dict[str, tuple[str, list[float | None]]]) -> tuple[Evaluation, dict[str, list[Answer]]]:
    """Contenders of these kinds with these scores; None failed."""
    contenders, answers = [], {}
    for name, (kind, found) in scores.items():
        known = [score for score in found if score is not None]
        quantity = Quantity(value=float(np.mean(known)) if known else 0.0, low=0, high=1, n=len(known))
        contenders.append(
            Contender(
                name=name,
                kind=kind,
                given="",
                metrics={"m": quantity},
                seconds_per_request=1,
                tokens_in_per_request=1,
                tokens_out_per_request=1,
                usd_per_1000=1,
            )
        )
        answers[name] = [
            Answer(example=str(i), text="", scores={} if score is None else {"m": score}, tokens_in=1, tokens_out=1,
                   seconds=1, finished=True)
            for i, score in enumerate(found)
        ]  # fmt: skip
    n = max(len(found) for _, found in scores.values())
    evaluation = Evaluation(
        task="t", scorer="s", scorer_reason="", metric="m", examples=tuple(map(str, range(n))),
        contenders=tuple(contenders), comparisons=(), machine_usd_per_hour=0.1,
    )  # fmt: skip
    return evaluation, answers


def test_the_spread_is_that_of_the_best_two_of_different_verdicts() -> None:
    right = {
        "bare": ("zero-shot", [0.0, 0.0, 0.0, 0.0]),
        "shown": ("few-shot", [1.0, 0.0, 1.0, 0.0]),
        "tuned": ("tuned", [1.0, 1.0, 1.0, None]),
        "also": ("tuned", [1.0, 1.0, 0.0, 1.0]),
    }
    assert spread_seen(*evaluation_of(right)) == Spread(1 / 3)
    graded = {"shown": ("few-shot", [0.5, 0.25, 0.5, 0.75]), "tuned": ("tuned", [0.5, 0.75, 0.75, 1.0])}
    assert spread_seen(*evaluation_of(graded)) == Spread(0.75, pytest.approx(np.std([0, 0.5, 0.25, 0.25], ddof=1)))
    assert spread_seen(*evaluation_of({"bare": right["bare"], "shown": right["shown"]})) is None
    assert spread_seen(*evaluation_of({"bare": right["bare"], "none": ("tuned", [None] * 4)})) is None


def test_what_is_there_already_comes_before_what_must_be_made() -> None:
    options = what_can_be_shown(80, Bar(), train=5000, unused=300).options
    assert [option.split()[0] for option in options] == ["Use", "Move", "Label", "Go"]
    assert options[0] == (
        "Use the 300 test examples that evaluation.test_limit leaves out: 399 would still be missing."
    )
    assert (
        options[1]
        == "Move 399 of the 5,000 train examples to the test side (data.test_share=0.15 of train and test together)."
    )
    assert what_can_be_shown(80, Bar(), unused=2000).options[0].endswith("that is enough.")
    assert not any("Move" in option for option in what_can_be_shown(80, Bar(), train=900).options)


def test_contenders_disagree_at_least_where_they_differ() -> None:
    assert what_can_be_shown(80, Bar(min_gain=0.3), Spread(0.1)).discordant == 0.6
    assert what_can_be_shown(80, Bar(min_gain=0.9)).wanted == pytest.approx(0.95)
