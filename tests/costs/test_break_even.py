"""The lower envelope against brute force and a linear program, its doubt against sampling."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq

from tunesmith.costs.break_even import (
    Line,
    build_cost_line,
    compute_lower_envelope,
    find_break_even_points,
    intersect_lines,
)
from tunesmith.records import ContenderCost, CostPart, EstimateInterval
from tunesmith.records.cost_report import format_volume

AMOUNTS = st.floats(0, 1000).map(lambda value: round(value, 3))


def exactly(value: float) -> EstimateInterval:
    return EstimateInterval(low=value, expected=value, high=value)


def cost(
    name: str, once: float, request: float, *, correct: float = 1.0, pace: bool = False
) -> ContenderCost:
    spread = (
        EstimateInterval(low=0.5 * request, expected=request, high=2 * request)
        if pace
        else exactly(request)
    )
    return ContenderCost(
        name=name,
        kind=name,
        accuracy=exactly(correct),
        usd_per_1000_correct=None,
        parts=(
            CostPart(name="tuning", unit="once", usd=exactly(once)),
            CostPart(
                name="inference",
                unit="request",
                usd=spread,
                uncertainty_source="pace" if pace else "",
            ),
        ),
    )


@given(st.lists(st.tuples(AMOUNTS, AMOUNTS), min_size=1, max_size=8), st.floats(0, 1e4))
def test_the_envelope_is_the_minimum_everywhere(pairs: list[tuple[float, float]], x: float) -> None:
    lines = [Line(intercept, slope) for intercept, slope in pairs]
    steps = compute_lower_envelope(lines)
    assert steps[0][1] == 0 and [at for _, at in steps] == sorted(at for _, at in steps)
    assert [lines[i].slope for i, _ in steps] == sorted(
        (lines[i].slope for i, _ in steps), reverse=True
    )
    best = lines[[i for i, at in steps if at <= x][-1]]
    least = min(line.intercept + line.slope * x for line in lines)
    assert best.intercept + best.slope * x == pytest.approx(least, rel=1e-9, abs=1e-6)


def test_the_first_of_equals_stands() -> None:
    assert compute_lower_envelope([Line(1, 1), Line(1, 1), Line(2, 0)]) == [(0, 0.0), (2, 1.0)]
    assert compute_lower_envelope([Line(2, 1), Line(0, 1)]) == [(1, 0.0)]
    assert compute_lower_envelope([Line(0, 2), Line(1, 1), Line(1, 0)]) == [(0, 0.0), (2, 0.5)]


@given(AMOUNTS, AMOUNTS, st.floats(0.001, 10), st.floats(0.001, 10))
def test_two_lines_meet_where_a_root_finder_finds_it(
    a: float, b: float, steep: float, gain: float
) -> None:
    before, after = Line(min(a, b), steep + gain), Line(max(a, b), steep)
    at = intersect_lines(before, after)
    found = brentq(
        lambda x: before.intercept + before.slope * x - after.intercept - after.slope * x,
        -1,
        at + 1,
    )
    assert at == pytest.approx(found, rel=1e-9, abs=1e-6)


def test_dearer_to_set_up_and_cheaper_to_run_wins_from_a_volume_on() -> None:
    zero, tuned = cost("zero-shot", 0, 0.01), cost("tuned", 120, 0.005)
    first, second = find_break_even_points([zero, tuned], 12)
    assert (first.name, second.name, second.previous) == ("zero-shot", "tuned", "zero-shot")
    assert second.requests.expected == pytest.approx(120 / 12 / 0.005)
    assert first.sentence == "With few requests per month, zero-shot is the cheapest."
    assert (
        second.sentence == "Above about 2,000 requests per month, tuned is cheaper than zero-shot."
    )


def test_each_right_answer_changes_who_is_cheapest() -> None:
    """Twice as dear and four times as often right."""
    cheap, good = cost("zero-shot", 0, 0.01, correct=0.2), cost("tuned", 12, 0.02, correct=0.8)
    assert [step.name for step in find_break_even_points([cheap, good], 12)] == ["zero-shot"]
    first, step = find_break_even_points([cheap, good], 12, each_correct=True)
    assert (
        first.sentence
        == "With few requests per month, a correct answer is cheapest with zero-shot."
    )
    assert step.requests.expected == pytest.approx((12 / 12 / 0.8) / (0.01 / 0.2 - 0.02 / 0.8))
    assert (
        step.sentence
        == "Above about 50 requests per month, a correct answer is cheaper with tuned than with "
        "zero-shot."
    )


def test_a_right_answer_is_as_doubtful_as_the_scores() -> None:
    """Prices are known for sure; each score moves the crossing by itself, and one that may be 0
    makes it "never"."""

    def scored(
        name: str, once: float, request: float, low: float, middle: float, high: float
    ) -> ContenderCost:
        right = EstimateInterval(low=low, expected=middle, high=high)
        return cost(name, once, request).model_copy(update={"accuracy": right})

    cheap, good = (
        scored("zero-shot", 0, 0.01, 0.1, 0.2, 0.3),
        scored("tuned", 12, 0.02, 0.7, 0.8, 0.9),
    )
    _, step = find_break_even_points([cheap, good], 12, each_correct=True)
    at = [(1 / good) / (0.01 / bad - 0.02 / good) for bad in (0.1, 0.3) for good in (0.7, 0.9)]
    assert (step.requests.low, step.requests.high) == pytest.approx((min(at), max(at)))
    assert find_break_even_points([cheap, good], 12) == find_break_even_points(
        [cost("zero-shot", 0, 0.01), cost("tuned", 12, 0.02)], 12
    )
    hopeless = scored("tuned", 12, 0.02, 0.0, 0.8, 0.9)
    assert find_break_even_points([cheap, hopeless], 12, each_correct=True)[1].requests.high is None


def test_a_slow_machine_moves_both_contenders_together() -> None:
    """Apart, the tuned one at its high end would never win; together it always does."""
    zero, tuned = cost("zero-shot", 0, 0.01, pace=True), cost("tuned", 120, 0.009, pace=True)
    _, step = find_break_even_points([zero, tuned], 12)
    assert step.requests.low == pytest.approx(10 / 0.002) and step.requests.high == pytest.approx(
        10 / 0.0005
    )


def test_a_doubt_of_one_alone_may_mean_never() -> None:
    zero, tuned = cost("zero-shot", 0, 0.01), cost("tuned", 120, 0.009, pace=True)
    _, step = find_break_even_points([zero, tuned], 12)
    assert step.requests.high is None
    assert step.sentence.startswith(
        "Above about 10,000 requests per month (1,800 or more, possibly never), tuned"
    )


@given(st.data())
def test_no_sample_of_the_causes_lies_outside_the_doubt(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 10_000)))

    def uncertain(name: str, once: float) -> ContenderCost:
        def part(what: str, per: str, cause: str, size: float) -> CostPart:
            low, middle, high = sorted(size * rng.uniform(0.3, 3, 3))
            spread = EstimateInterval(low=low, expected=middle, high=high)
            return CostPart.model_validate(
                {"name": what, "unit": per, "usd": spread, "uncertainty_source": cause}
            )

        parts = (
            part("data", "once", "examples", once),
            part("upkeep", "month", "changes", 1),
            part("inference", "request", "pace", 0.01),
            part("tokens", "request", name, 0.01),
        )
        low, middle, high = sorted(rng.uniform(0.2, 1, 3))
        correct = EstimateInterval(low=low, expected=middle, high=high)
        return ContenderCost(
            name=name, kind=name, parts=parts, accuracy=correct, usd_per_1000_correct=None
        )

    pair = [uncertain("a", 1), uncertain("b", 100)]
    each_correct = data.draw(st.booleans())
    steps = find_break_even_points(pair, 12, each_correct=each_correct)
    if len(steps) < 2:
        return
    before, after = (
        next(one for one in pair if one.name == name) for name in (steps[1].previous, steps[1].name)
    )
    share = {cause: rng.uniform() for cause in ("examples", "changes", "pace", "a", "b")}

    def sampled(one: ContenderCost) -> Line:
        parts = tuple(
            part.model_copy(
                update={
                    "usd": exactly(
                        part.usd.low
                        + share[part.uncertainty_source] * (part.usd.high - part.usd.low)
                    )
                }
            )
            for part in one.parts
        )
        right = exactly(one.accuracy.low + rng.uniform() * (one.accuracy.high - one.accuracy.low))
        return build_cost_line(
            one.model_copy(update={"parts": parts, "accuracy": right}),
            12,
            each_correct=each_correct,
        )

    at = intersect_lines(sampled(before), sampled(after))
    span = steps[1].requests
    assert at >= span.low * (1 - 1e-9)
    assert span.high is None or at <= span.high * (1 + 1e-9)


@pytest.mark.parametrize(
    ("requests", "told"),
    [(0, "0"), (0.3, "1"), (84.2, "84"), (12_345, "12,000"), (2e6, "2,000,000")],
)
def test_volumes_are_told_to_two_digits(requests: float, told: str) -> None:
    assert format_volume(requests) == told


def test_nobody_to_compare_gives_nothing() -> None:
    assert find_break_even_points([], 12) == ()


def test_requests_that_this_machine_answers_with_the_same_work_are_no_reason_for_a_break_even() -> (
    None
):
    """1 % of machine time is less than a run can measure: no "from 10 requests on"."""
    from tunesmith.records import ContenderCost, CostPart

    def local(name: str, once: float, request: float) -> ContenderCost:
        parts = (
            CostPart(name="tuning", unit="once", usd=exactly(once)),
            CostPart(
                name="inference",
                unit="request",
                usd=exactly(request),
                uncertainty_source="the machine's pace",
            ),
        )
        return ContenderCost(
            name=name, kind=name, parts=parts, accuracy=exactly(1.0), usd_per_1000_correct=None
        )

    some = [
        local("rag", 0.0, 0.0100),
        local("tuned+rag", 0.01, 0.0099),
        local("tuned", 10.0, 0.0050),
    ]
    found = find_break_even_points(some, 12.0, uncertainty=0.2)
    assert [(one.name, one.previous) for one in found] == [("rag", None), ("tuned", "rag")]
    alone = find_break_even_points(some[:2], 12.0, uncertainty=0.2)
    assert [one.sentence for one in alone] == [
        "With few requests per month, rag is the cheapest. rag and tuned+rag cost the same "
        "per request: they differ by less than the measurement error of this run (20%)."
    ]
    assert len(find_break_even_points(some[:2], 12.0)) == 2
