"""Simulated worlds whose truth is known: how often the verdict is right, and how often it costs
somebody a tuning.

A short form of `benchmarks/calibrate_worlds.py`, which `make calibrate` runs at length: the same
worlds, fewer of them. Seeds are fixed, so nothing here is flaky; the bars leave room for what 150
worlds measure.
"""

from collections.abc import Mapping

import numpy as np
import pytest

from benchmarks.calibrate_worlds import FIVE, MANY, TRUTHS, Truth, effect_of, rows, shares, world
from tunesmith.decision import decide
from tunesmith.decision.rule_result import VerdictInput
from tunesmith.decision.verdict import apply_rules
from tunesmith.evaluation.stats.paired_difference import paired_difference
from tunesmith.records import Requirements

WORLDS = 150
N = 200


def found(truth: Truth, kinds: tuple[str, ...], effect: float) -> Mapping[str, float]:
    asked = ("outside", *kinds) if "outside" in truth.good else kinds
    return shares(asked, [0.4 + effect * (kind in truth.good) for kind in asked], N, WORLDS)


@pytest.mark.parametrize("kinds", [FIVE, MANY], ids=["five", "many"])
@pytest.mark.parametrize("truth", TRUTHS, ids=lambda truth: truth.name)
def test_at_twice_the_detectable_effect_the_verdict_is_the_truth(
    truth: Truth, kinds: tuple[str, ...]
) -> None:
    share = found(truth, kinds, effect_of(N))
    assert share[truth.verdict] >= 0.85
    if not truth.verdict.startswith("fine-tune"):
        assert share["fine-tune"] + share["fine-tune+rag"] <= 0.05


def test_the_best_of_many_tuned_ones_does_not_win_by_luck() -> None:
    """Eight tuned variants that are no better than the prompt: without correction one world in ten
    would tune."""
    kinds = ("zero-shot", *["tuned"] * 8)
    share = shares(kinds, [0.5] * 9, N, 400)
    assert share["fine-tune"] <= 0.04
    random = np.random.default_rng(1)
    worlds = [world(kinds, [0.5] * 9, N, random) for _ in range(400)]
    lucky = [
        any(pair.a == "zero-shot 0" and pair.high < 0 for pair in one.comparisons) for one in worlds
    ]
    assert sum(lucky) / 400 > 0.07


@pytest.mark.parametrize("kinds", [FIVE, MANY], ids=["five", "many"])
def test_a_model_too_small_for_the_task_wins_nothing(kinds: tuple[str, ...]) -> None:
    """gsm8k with the embedded model: 0 to 3 % right of 200."""
    share = shares(kinds, list(np.linspace(0.0, 0.03, len(kinds))), N, WORLDS)
    assert share["stop"] + share["cannot tell"] == pytest.approx(1.0)


def test_with_too_few_examples_it_cannot_tell_rather_than_guess() -> None:
    share = shares(FIVE, (0.60, 0.60, 0.60, 0.72, 0.72), 40, WORLDS)
    assert share["cannot tell"] >= 0.5
    assert share["fine-tune+rag"] <= 0.05


@pytest.mark.parametrize("kinds", [FIVE, MANY], ids=["five", "many"])
def test_on_ten_examples_it_never_tells_equals_apart(kinds: tuple[str, ...]) -> None:
    assert shares(kinds, [0.6] * len(kinds), 10, WORLDS)["cannot tell"] >= 0.97


@pytest.mark.parametrize("n", [60, 150])
def test_with_enough_examples_sensible_cases_are_not_turned_into_cannot_tell(n: int) -> None:
    assert shares(FIVE, (0.4, 0.5, 0.8, 0.8, 0.8), n, WORLDS)["cannot tell"] <= 0.1


def test_a_world_holds_what_the_program_would_have_measured() -> None:
    """Counts stand for answers: its comparison is that of two arrays with these answers."""
    made = world(("zero-shot", "tuned"), (0.4, 0.7), 50, np.random.default_rng(3))
    zero, tuned = (round(50 * one.metrics["exact"].value) for one in made.contenders)
    pair = made.comparisons[0]
    both = next(
        both
        for both in range(51)
        if _difference(zero, tuned, both) == (pair.low, pair.high, pair.p)
    )
    assert pair.difference == pytest.approx((zero - tuned) / 50)
    assert 0 <= both <= min(zero, tuned)


def _difference(zero: int, tuned: int, both: int) -> tuple[float, float, float] | None:
    if both > min(zero, tuned) or zero + tuned - both > 50:
        return None
    zero_N = np.arange(50) < zero
    tuned_N = (np.arange(50) < both) | (
        (np.arange(50) >= zero) & (np.arange(50) < zero + tuned - both)
    )
    one = paired_difference(zero_N.astype(float), tuned_N.astype(float))
    return one.low, one.high, one.p


def test_what_is_judged_is_what_is_decided() -> None:
    random = np.random.default_rng(2)
    for _ in range(20):
        made = world(("outside", *MANY), [0.4] * 7 + [0.55] * 7, 100, random)
        judged, decided = (
            apply_rules(VerdictInput(made, Requirements())),
            decide(made, Requirements()),
        )
        assert judged.verdict == decided.verdict
        assert (judged.winner.name if judged.winner else None) == decided.winner


def test_rows_are_what_calibration_wants() -> None:
    found = rows(quick=True, ns=(100,))
    assert all(set(row) == {"name", "value", "low_bar", "high_bar", "holds"} for row in found)
    assert len({row["name"] for row in found}) == len(found)
    assert {row["low_bar"] for row in found} == {None, 0.9, 0.99}
