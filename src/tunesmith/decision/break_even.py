"""From how many requests on is each contender the cheapest? Exact, in closed form.

What a contender costs a month is a line over the requests x of a month,

    y(x) = (once / horizon + month) + request * x

and the cheapest contender at x is the lower envelope of these lines. Two lines meet at

    x* = (intercept_after - intercept_before) / (slope_before - slope_after)

Two contenders that this machine answers and whose requests differ by less than the `uncertainty` of its rates
(`evaluation/machine_time.py`) cost the same as far as anybody knows: no step leads from one to the other, and the step
that the expected values would take is told as "no difference".

The envelope has at most one piece for each line, steepest first. Cost for each right answer divides a line by the share
c of requests answered right; lines stay lines, so the same envelope serves. How sure c is belongs to the doubt: each
contender's score is a cause of its own.

Doubt. x* is a fraction that is linear in each uncertain cause (a price, a share) above and below the stroke, so it
moves one way with each cause and its extremes over all that the causes may be lie where each is at one of its ends: all
of these corners are tried. A cause moves all of its pieces, of both contenders, together: a machine that turns out
slower makes both cost more and hardly moves x*. Where at some corner the line in front stays cheaper, x* has no upper
end: "never" is possible.
Source: lower envelopes of lines are textbook (de Berg et al., Computational Geometry, 3rd ed., chapter 8).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import inf
from typing import Literal

from tunesmith.decision.verdict_phrases import join_names
from tunesmith.records import BreakEvenPoint, ContenderCost, EstimateInterval, OpenInterval
from tunesmith.records.cost_report import format_volume

MACHINE_SPEED = "the machine's pace"
"""The cause that moves all machine time together."""

Bound = Literal["low", "expected", "high"]
Scenario = Mapping[str, Bound]
EXPECTED_SCENARIO: Scenario = {}


@dataclass(frozen=True, slots=True)
class Line:
    """y = intercept + slope * x."""

    intercept: float
    slope: float


def build_cost_line(
    cost: ContenderCost, horizon_months: float, scenario: Scenario = EXPECTED_SCENARIO, *, each_correct: bool
) -> Line:
    """What it costs a month, with each cause where the corner puts it; the causes that it leaves out are expected."""
    sums = {"once": 0.0, "month": 0.0, "request": 0.0}
    for part in cost.parts:
        sums[part.per] += _get_bound(part.usd, scenario.get(part.moves_with, "expected"))
    share = _get_bound(cost.correct, scenario.get(_name_score_cause(cost), "expected")) if each_correct else 1.0
    if share == 0:  # no right answer at any price
        return Line(inf, inf)
    return Line((sums["once"] / horizon_months + sums["month"]) / share, sums["request"] / share)


def compute_lower_envelope(
    lines: Sequence[Line], is_same: Callable[[int, int], bool] = lambda a, b: False
) -> list[tuple[int, float]]:
    """Which line is lowest from which x >= 0 on. Of lines that are equal from there on, the first.

    No step leads from one line to another whose slope `is_same`, by their numbers.
    """
    lowest = min(range(len(lines)), key=lambda i: (lines[i].intercept, lines[i].slope))
    steps, at = [(lowest, 0.0)], 0.0
    while True:
        here = lines[lowest]
        flatter = [i for i, line in enumerate(lines) if line.slope < here.slope and not is_same(lowest, i)]
        if not flatter:
            return steps
        at, _, lowest = min((max(at, intersect_lines(here, lines[i])), lines[i].slope, i) for i in flatter)
        if at == inf:  # slopes that differ by less than a number can tell
            return steps
        steps.append((lowest, at))


def intersect_lines(before: Line, after: Line) -> float:
    """From which x on `after` does not cost more; infinity where that never comes."""
    rise, gain = after.intercept - before.intercept, before.slope - after.slope
    if rise <= 0 and gain >= 0:
        return 0.0
    return rise / gain if gain > 0 else inf


def find_break_even_points(
    contenders: Sequence[ContenderCost],
    horizon_months: float,
    *,
    is_once: bool = False,
    each_correct: bool = False,
    uncertainty: float = 0.0,
) -> tuple[BreakEvenPoint, ...]:
    """Which of these is cheapest from which volume on; simplest first among equals, so give them in that order.

    `uncertainty` is that of the machine's rates, relative: requests that differ by less are not told apart.
    Those whose cost is not known, and for `each_correct` those that answer nothing right, must be left out before.
    """
    if not contenders:
        return ()
    lines = [build_cost_line(one, horizon_months, each_correct=each_correct) for one in contenders]

    def is_same(a: int, b: int) -> bool:
        both = (contenders[a], contenders[b])
        return have_equal_request_cost(both, (lines[a].slope, lines[b].slope), uncertainty)

    (first, _), *later = compute_lower_envelope(lines, is_same)
    before, start = contenders[first], OpenInterval(low=0.0, expected=0.0, high=0.0)
    unit = "requests in all" if is_once else "requests a month"
    told = f"With few {unit} {_format_cheaper('cheapest', before.name, each_correct)}."
    steps = [BreakEvenPoint(name=before.name, requests=start, before=None, sentence=told)]
    for i, at in later:
        after = contenders[i]
        span = compute_crossing_interval(before, after, horizon_months, at, each_correct=each_correct)
        than = (
            f"{_format_cheaper('cheaper', after.name, each_correct)} than "
            f"{'with ' if each_correct else ''}{before.name}"
        )
        told = f"From {_format_volume_interval(span, unit)} on {than}."
        steps.append(BreakEvenPoint(name=after.name, requests=span, before=before.name, sentence=told))
        before = after
    last = contenders.index(before)
    equal = [one.name for i, one in enumerate(contenders) if i != last and uncertainty and is_same(last, i)]
    if equal:
        what = "right answer" if each_correct else "request"
        no_difference = (
            f"Between {before.name} and {join_names(equal)} there is no difference: a {what} costs the same within the "
            f"{uncertainty:.0%} to which this run could measure it."
        )
        steps[-1] = steps[-1].model_copy(update={"sentence": f"{steps[-1].sentence} {no_difference}"})
    return tuple(steps)


def have_equal_request_cost(both: Sequence[ContenderCost], each: tuple[float, float], uncertainty: float) -> bool:
    """Whether requests of both are machine time, and what each costs differs by less than that time is known."""
    causes = {part.moves_with for one in both for part in one.parts if part.per == "request"}
    return causes == {MACHINE_SPEED} and abs(each[0] - each[1]) <= uncertainty * max(each)


def compute_crossing_interval(
    before: ContenderCost, after: ContenderCost, horizon_months: float, at: float, *, each_correct: bool
) -> OpenInterval:
    """Where `after` becomes the cheaper of the two: expected `at`, and the extremes over all corners."""
    scores = {_name_score_cause(before), _name_score_cause(after)} if each_correct else set()
    causes = sorted({part.moves_with for part in (*before.parts, *after.parts)} - {""} | scores)
    ends: tuple[Bound, Bound] = ("low", "high")
    found = [at]
    for places in product(ends, repeat=len(causes)):
        corner = dict(zip(causes, places, strict=True))
        found.append(
            intersect_lines(
                build_cost_line(before, horizon_months, corner, each_correct=each_correct),
                build_cost_line(after, horizon_months, corner, each_correct=each_correct),
            )
        )
    most = max(found)
    return OpenInterval(low=min(found), expected=at, high=None if most == inf else most)


def _name_score_cause(one: ContenderCost) -> str:
    """The cause that makes its share of right answers uncertain."""
    return f"the score of {one.name}"


def _get_bound(one: EstimateInterval, end: Bound) -> float:
    return {"low": one.low, "expected": one.expected, "high": one.high}[end]


def _format_cheaper(how: str, name: str, each_correct: bool) -> str:
    return f"a right answer is {how} with {name}" if each_correct else f"{name} is {'the ' * (how == 'cheapest')}{how}"


def _format_volume_interval(requests: OpenInterval, unit: str) -> str:
    """`about 12,000 requests a month (8,200 to 31,000)`."""
    low, high = format_volume(requests.low), None if requests.high is None else format_volume(requests.high)
    doubt = f" (perhaps {low}, perhaps never)" if high is None else f" ({low} to {high})" if low != high else ""
    return f"about {format_volume(requests.expected or 0.0)} {unit}{doubt}"
