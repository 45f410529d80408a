"""A tuned model that was hardly tuned proves nothing: the rows of the verdict's tables, and its
sentences."""

import math
import random

import pytest

from tests.decision.cases import contender, tuned_for, verdict
from tunesmith.decision.undertraining import (
    MIN_STEEP_DROP,
    compute_training_length,
    estimate_final_loss_drop,
)
from tunesmith.records import (
    MetricLine,
    Requirements,
    TrainingLength,
    UsageContext,
    format_epochs,
    format_needed_minutes,
)

THREE_STEPS, ONE_PASS = tuned_for(3), tuned_for(23)
LOSER = {"zero-shot": 0.2, "rag": 0.7, "tuned": 0.0, "tuned+rag": 0.6}


def test_a_hardly_tuned_model_that_loses_means_cannot_tell_with_the_minutes_that_would_settle_it() -> (  # noqa: E501
    None
):
    decision = verdict(LOSER, training=THREE_STEPS)
    assert (decision.verdict, decision.winner, decision.required_test_examples) == (
        "cannot tell",
        None,
        None,
    )
    assert decision.reasons[:2] == (
        (
            "It is unclear whether fine-tuning would be better: the model was trained for "
            "0.13 epochs (48 of 359 examples, 3 steps), so its scores reflect the time limit. "
            "3 epochs take about 14 min (--minutes 15)."
        ),
        (
            "The best choice without tuning is rag: it scores 70.0 % (95 % interval 65.0 to "
            "75.0 %, n = 400) in exact match."
        ),
    )
    assert decision.warnings == (
        (
            "No conclusion about fine-tuning: the model was trained for 0.13 epochs (48 of "
            "359 examples, 3 steps). 3 epochs take about 14 min (--minutes 15)."
        ),
    )
    assert not any(
        "is out" in reason or "test examples would settle" in reason for reason in decision.reasons
    )
    assert decision.training_length == THREE_STEPS


def test_the_same_scores_after_one_pass_are_a_verdict_that_says_how_long_the_tuning_was() -> None:
    decision = verdict(LOSER, training=ONE_PASS)
    assert (decision.verdict, decision.winner, decision.warnings) == ("rag", "rag", ())
    assert "The tuned model was trained for 1 epoch (359 examples, 23 steps)." in decision.reasons


def test_a_loss_that_still_falls_steeply_means_cannot_tell_after_whole_passes_too() -> None:
    decision = verdict(LOSER, training=tuned_for(46, fall=0.23))
    assert decision.verdict == "cannot tell"
    assert (
        "and the training loss was still falling: by another 23.0 % over as many steps"
        in decision.warnings[0]
    )


def test_a_hardly_tuned_model_that_wins_anyway_wins() -> None:
    decision = verdict(
        {"zero-shot": 0.2, "rag": 0.5, "tuned": 0.9, "tuned+rag": 0.9}, training=THREE_STEPS
    )
    assert (decision.verdict, decision.winner, decision.warnings) == ("fine-tune", "tuned", ())
    assert any("0.13 epochs" in reason for reason in decision.reasons)


@pytest.mark.parametrize(
    ("scores", "bar", "circumstances", "wanted"),
    [
        ({"zero-shot": 0.5, "tuned": 0.5}, Requirements(), UsageContext(), "cannot tell"),
        ({"zero-shot": 0.94, "tuned": 0.5}, Requirements(), UsageContext(), "cannot tell"),
        (
            {"zero-shot": 0.96, "tuned": 0.5},
            Requirements(),
            UsageContext(),
            "prompt",
        ),  # no gain worth waiting for is possible
        ({"zero-shot": 0.7, "tuned": 0.5}, Requirements(min_gain=0.4), UsageContext(), "prompt"),
        (
            {"zero-shot": 0.5, "tuned": 0.0},
            Requirements(),
            UsageContext(recurrence="once"),
            "prompt",
        ),
        (
            {"zero-shot": 0.0, "tuned": 0.0},
            Requirements(),
            UsageContext(),
            "cannot tell",
        ),  # not stop
        (
            {"zero-shot": 0.2, "tuned": 0.2},
            Requirements(min_score=0.8),
            UsageContext(),
            "cannot tell",
        ),
        (
            {"zero-shot": 0.2, "tuned": 0.2},
            Requirements(min_score=0.8, max_latency_seconds=0.01),
            UsageContext(),
            "stop",
        ),
        ({"zero-shot": 0.5}, Requirements(), UsageContext(), "prompt"),
    ],
)
def test_each_row_for_a_model_that_was_tuned_too_little(
    scores: dict[str, float], bar: Requirements, circumstances: UsageContext, wanted: str
) -> None:
    assert verdict(scores, bar, circumstances=circumstances, training=THREE_STEPS).verdict == wanted


def test_where_the_circumstances_settle_it_the_warning_stays() -> None:
    decision = verdict(
        LOSER, circumstances=UsageContext(task_change_frequency="daily"), training=THREE_STEPS
    )
    assert (decision.verdict, len(decision.warnings)) == ("rag", 1)
    assert any(
        "tuned+rag was trained too little to be compared" in reason for reason in decision.reasons
    )


def test_too_high_a_price_rules_out_also_what_was_tuned_too_little() -> None:
    made = [contender("zero-shot", 0.5), contender("tuned", 0.1, usd=9.0)]
    decision = verdict(made, Requirements(max_usd_per_1000=1.0), training=THREE_STEPS)
    assert (decision.verdict, decision.winner) == ("prompt", "zero-shot")
    assert (
        "tuned is disqualified: it costs $9.00 per 1,000 requests, above the limit of $1.00."
        in decision.reasons
    )


def lines_of(losses: list[float], held_out: list[float]) -> list[MetricLine]:
    """A step a second, with validation passes of five seconds at the beginning and spread evenly
    over them."""
    lines, seconds = [], 0.0

    def write(kind: str, step: int, loss: float, took: float) -> None:
        nonlocal seconds
        seconds += took
        lines.append(MetricLine(kind=kind, step=step, epoch=0.0, loss=loss, seconds=seconds))  # type: ignore[arg-type]

    write("validation", 0, held_out[0], 5.0)
    every = len(losses) // (len(held_out) - 1)
    for step, loss in enumerate(losses, start=1):
        write("step", step, loss, 1.0)
        if step % every == 0:
            write("validation", step, held_out[step // every], 5.0)
    return lines


def extent(losses: list[float], held_out: list[float], train_examples: int = 640) -> TrainingLength:
    lines = lines_of(losses, held_out)
    return compute_training_length(
        lines,
        train_examples=train_examples,
        batch_size=16,
        wanted_passes=3.0,
        seconds=lines[-1].seconds,
        validation_seconds=10.0,
    )


STEEP_LOSSES = [3.0 - 0.05 * step for step in range(44)]
FLAT_LOSSES = [1.0 + 0.1 * (step % 2) for step in range(44)]


def test_passes_are_counted_in_examples_and_the_last_batch_of_a_pass_may_be_smaller() -> None:
    found = extent(
        FLAT_LOSSES, [2.0, 1.5, 1.0], train_examples=100
    )  # 7 steps a pass, the seventh of 4 examples
    assert (found.steps, found.steps_per_epoch, found.examples) == (44, 7, 6 * 100 + 2 * 16)
    assert found.step_seconds == pytest.approx(1.0)
    assert extent(FLAT_LOSSES[:3], [2.0, 1.5]).epochs == pytest.approx(48 / 640)


@pytest.mark.parametrize(
    ("losses", "held_out", "train_examples", "is_short"),
    [
        (STEEP_LOSSES, [3.0, 2.0, 1.0], 640, True),
        (
            STEEP_LOSSES,
            [3.0, 1.0, 2.0],
            640,
            False,
        ),  # the held-out loss rises: longer would be worse
        (
            STEEP_LOSSES,
            [3.0, 2.0, 1.0],
            200,
            False,
        ),  # the passes that the defaults give: its end is on purpose
        (FLAT_LOSSES, [3.0, 2.0, 1.0], 640, False),
        (STEEP_LOSSES[:12], [3.0, 2.0], 160, False),  # too few steps for a line through them
        (FLAT_LOSSES[:30], [3.0, 2.0], 640, True),  # less than a pass
    ],
)
def test_when_a_tuning_is_too_short(
    losses: list[float], held_out: list[float], train_examples: int, is_short: bool
) -> None:
    assert extent(losses, held_out, train_examples).is_short is is_short


def test_the_fall_is_what_another_quarter_would_take_off() -> None:
    losses = [2.0 - 0.02 * step for step in range(40)]  # the last ten fall from 1.40 to 1.22
    assert estimate_final_loss_drop(losses) == pytest.approx(0.2 / 1.22)


def test_noise_is_rarely_taken_for_a_fall() -> None:
    """A loss that has settled and scatters by a third: one line in twenty may be called steep, not
    more."""
    chance = random.Random(0)
    settled = [[max(0.05, chance.gauss(1.0, 0.33)) for _ in range(60)] for _ in range(400)]
    assert sum(estimate_final_loss_drop(losses) is not None for losses in settled) <= 0.06 * len(
        settled
    )


def test_a_power_law_is_steep_at_first_and_not_for_long() -> None:
    def losses(steps: int) -> list[float]:
        return [3.0 * (step + 1) ** -0.5 for step in range(steps)]

    assert estimate_final_loss_drop(losses(24)) is not None
    settled = [0.5 + 3.0 * math.exp(-step / 10) for step in range(80)]
    assert estimate_final_loss_drop(settled) is None and MIN_STEEP_DROP == 0.1


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        (1, "0.045 epochs (16 of 359 examples, 1 step)"),
        (3, "0.13 epochs (48 of 359 examples, 3 steps)"),
        (23, "1 epoch (359 examples, 23 steps)"),
        (69, "3 epochs (359 examples, 69 steps)"),
        (300, "13 epochs (359 examples, 300 steps)"),
    ],
)
def test_how_much_a_tuning_was_is_told_in_passes(steps: int, told: str) -> None:
    assert format_epochs(tuned_for(steps)) == told
    assert format_needed_minutes(tuned_for(steps)) == "3 epochs take about 14 min (--minutes 15)"
