"""What a test set can show, before anything is spent."""

import pytest

from tunesmith.decision import what_can_be_shown
from tunesmith.decision.duel import standard_errors
from tunesmith.decision.power import ASSUMED_DISCORDANT
from tunesmith.evaluation.stats.power import minimum_detectable, needed_for, power_at
from tunesmith.records import Bar


def test_it_says_what_was_asked_what_can_be_shown_and_what_is_needed() -> None:
    told = what_can_be_shown(80, Bar(min_gain=0.03), 0.12)
    assert told.sentence == (
        "80 test examples can show 10.1 points, you asked for 3: about 1,050 are needed. "
        "(Measured: two contenders disagree on 12.0 % of the examples.)"
    )
    assert not told.is_enough and not told.is_assumed
    assert told.options == (
        "Label 970 more test examples.",
        "Care only about larger gains: bar.min_gain=0.11 is what these examples can show.",
        "Go on as it is: only a larger difference will be told from noise, and smaller ones end in the simplest "
        "contender or in 'cannot tell'.",
    )


def test_its_numbers_are_those_of_the_test_that_will_be_used() -> None:
    told = what_can_be_shown(200, Bar(min_gain=0.04))
    assert told.discordant == ASSUMED_DISCORDANT and told.is_assumed
    assert told.shows == minimum_detectable(200, ASSUMED_DISCORDANT)
    assert told.needed == needed_for(0.04, ASSUMED_DISCORDANT)
    assert power_at(told.needed, 0.04, ASSUMED_DISCORDANT) == pytest.approx(0.8, abs=0.01)
    assert power_at(200, told.shows or 0, ASSUMED_DISCORDANT) == pytest.approx(0.8, abs=0.01)


def test_enough_is_enough() -> None:
    told = what_can_be_shown(5000, Bar(min_gain=0.05))
    assert told.is_enough and told.options == ()
    assert "that is enough" in told.sentence


def test_where_no_gain_was_asked_for_five_points_are_worth_waiting_for() -> None:
    told = what_can_be_shown(100, Bar())
    assert told.wanted == 0.05
    assert "5 are worth waiting for (you named no min_gain)" in told.sentence


def test_a_handful_shows_nothing() -> None:
    told = what_can_be_shown(3, Bar())
    assert told.shows is None and not told.is_enough
    assert told.sentence.startswith("3 test examples can show no difference, 5 are worth waiting for")
    assert not any("min_gain" in option for option in told.options)


def test_several_comparisons_need_more() -> None:
    one, eight = what_can_be_shown(400, Bar()), what_can_be_shown(400, Bar(), comparisons=8)
    harder = standard_errors(8) / standard_errors()
    assert one.shows is not None and eight.shows == pytest.approx(one.shows * harder)
    assert eight.needed == pytest.approx(one.needed * harder**2, rel=0.01)


def test_what_is_there_already_comes_before_what_must_be_made() -> None:
    options = what_can_be_shown(80, Bar(), train=5000, unused=300).options
    assert [option.split()[0] for option in options] == ["Use", "Move", "Label", "Care", "Go"]
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
    assert what_can_be_shown(80, Bar(min_gain=0.5), 0.1).discordant == 0.5
