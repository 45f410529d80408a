"""Break-even volumes: from how many requests on is each contender the cheapest? Exact, in closed
form.

A contender's monthly cost is a line over x, the requests per month:

    y(x) = (once / horizon + month) + request * x

and the cheapest contender at x is the lower envelope of these lines. Two lines meet at

    x* = (intercept_after - intercept_before) / (slope_before - slope_after)

Two contenders that run on this machine and whose costs per request differ by less than the
`uncertainty` of its rates (`evaluation/machine_time.py`) are treated as equally expensive: the
envelope has no step from one to the other, and the report states "no difference" instead.

The envelope has at most one piece per line, steepest slope first. Cost per correct answer divides a
line by the fraction c of requests answered correctly; lines stay lines, so the same envelope
applies. The uncertainty of c is one more uncertain factor, separate for each contender.

Uncertainty. x* is a ratio whose numerator and denominator are linear in each uncertain factor (a
price, a rate), so it is monotonic in each factor and takes its extremes where every factor is at
one of its bounds: all of these corners are evaluated. One factor moves all of its cost parts, of
both contenders, together: a slower machine makes both more expensive and hardly moves x*. If the
line in front stays cheaper at some corner, x* has no upper bound: "never" is possible. Source:
lower envelopes of lines (de Berg et al., Computational Geometry, 3rd ed., chapter 8).
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
"""The uncertain factor that all machine time has in common."""

Bound = Literal["low", "expected", "high"]
Scenario = Mapping[str, Bound]
EXPECTED_SCENARIO: Scenario = {}


@dataclass(frozen=True, slots=True)
class Line:
    """Monthly cost y = intercept + slope * x, in USD; x is requests per month."""

    intercept: float
    slope: float


def build_cost_line(
    cost: ContenderCost,
    horizon_months: float,
    scenario: Scenario = EXPECTED_SCENARIO,
    *,
    each_correct: bool,
) -> Line:
    """The monthly cost of a contender, per correct answer if `each_correct`.

    `scenario` sets uncertain factors to their low or high bound; factors it omits take their
    expected value.
    """
    sums = {"once": 0.0, "month": 0.0, "request": 0.0}
    for part in cost.parts:
        sums[part.unit] += _get_bound(part.usd, scenario.get(part.uncertainty_source, "expected"))
    share = (
        _get_bound(cost.accuracy, scenario.get(_name_score_cause(cost), "expected"))
        if each_correct
        else 1.0
    )
    # A contender without a correct answer costs infinitely much per correct answer at every volume.
    if share == 0:
        return Line(inf, inf)
    return Line((sums["once"] / horizon_months + sums["month"]) / share, sums["request"] / share)


def compute_lower_envelope(
    lines: Sequence[Line], is_same: Callable[[int, int], bool] = lambda a, b: False
) -> list[tuple[int, float]]:
    """(index, x) for each line of the lower envelope: line `index` is the lowest from x >= 0 on;
    the first of equal lines.

    `is_same(i, j)` marks pairs of lines whose slopes are too close to distinguish: no step leads
    from one to the other.
    """
    lowest = min(range(len(lines)), key=lambda i: (lines[i].intercept, lines[i].slope))
    steps, at = [(lowest, 0.0)], 0.0
    while True:
        here = lines[lowest]
        # Right of the current x only a line with a smaller slope can become the lowest.
        flatter = [
            i for i, line in enumerate(lines) if line.slope < here.slope and not is_same(lowest, i)
        ]
        if not flatter:
            return steps
        at, _, lowest = min(
            (max(at, intersect_lines(here, lines[i])), lines[i].slope, i) for i in flatter
        )
        if at == inf:  # slopes so close that the crossing overflows a float
            return steps
        steps.append((lowest, at))


def intersect_lines(before: Line, after: Line) -> float:
    """The smallest x >= 0 from which on `after` costs no more than `before`; infinity if there is
    none.
    """
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
    """The contender that is cheapest from which volume on, with a sentence for each step.

    Pass the contenders simplest first: the first of equals is taken. `uncertainty` is the relative
    uncertainty of the machine's rates: costs per request that differ by less count as equal. Leave
    out contenders whose cost is unknown and, for `each_correct`, those without a correct answer.
    """
    if not contenders:
        return ()
    lines = [build_cost_line(one, horizon_months, each_correct=each_correct) for one in contenders]

    def is_same(a: int, b: int) -> bool:
        both = (contenders[a], contenders[b])
        return have_equal_request_cost(both, (lines[a].slope, lines[b].slope), uncertainty)

    # The envelope starts at x = 0: the first entry is the contender that is cheapest at few
    # requests.
    (first, _), *later = compute_lower_envelope(lines, is_same)
    before, start = contenders[first], OpenInterval(low=0.0, expected=0.0, high=0.0)
    unit = "requests in total" if is_once else "requests per month"
    sentence = f"With few {unit}, {_format_cheaper('cheapest', before.name, each_correct)}."
    steps = [BreakEvenPoint(name=before.name, requests=start, previous=None, sentence=sentence)]
    for i, at in later:
        after = contenders[i]
        span = compute_crossing_interval(
            before, after, horizon_months, at, each_correct=each_correct
        )
        than = (
            f"{_format_cheaper('cheaper', after.name, each_correct)} than "
            f"{'with ' if each_correct else ''}{before.name}"
        )
        sentence = f"Above {_format_volume_interval(span, unit)}, {than}."
        steps.append(
            BreakEvenPoint(name=after.name, requests=span, previous=before.name, sentence=sentence)
        )
        before = after
    last = contenders.index(before)
    equal = [
        one.name
        for i, one in enumerate(contenders)
        if i != last and uncertainty and is_same(last, i)
    ]
    if equal:
        what = "correct answer" if each_correct else "request"
        no_difference = (
            f"{join_names([before.name, *equal])} cost the same per {what}: they differ by "
            f"less than the measurement error of this run ({uncertainty:.0%})."
        )
        steps[-1] = steps[-1].replace(sentence=f"{steps[-1].sentence} {no_difference}")
    return tuple(steps)


def have_equal_request_cost(
    both: Sequence[ContenderCost], each: tuple[float, float], uncertainty: float
) -> bool:
    """Whether both requests cost machine time only and differ by less than the uncertainty of the
    machine's rates.
    """
    causes = {
        part.uncertainty_source for one in both for part in one.parts if part.unit == "request"
    }
    return causes == {MACHINE_SPEED} and abs(each[0] - each[1]) <= uncertainty * max(each)


def compute_crossing_interval(
    before: ContenderCost,
    after: ContenderCost,
    horizon_months: float,
    at: float,
    *,
    each_correct: bool,
) -> OpenInterval:
    """Requests from which on `after` is cheaper than `before`: expected value `at`, and the
    extremes over all corners.
    """
    scores = {_name_score_cause(before), _name_score_cause(after)} if each_correct else set()
    causes = sorted(
        {part.uncertainty_source for part in (*before.parts, *after.parts)} - {""} | scores
    )
    ends: tuple[Bound, Bound] = ("low", "high")
    crossings = [at]
    # 2^k corners; k is small: a pair shares the machine's speed, and only a few prices have
    # intervals.
    for places in product(ends, repeat=len(causes)):
        corner = dict(zip(causes, places, strict=True))
        crossings.append(
            intersect_lines(
                build_cost_line(before, horizon_months, corner, each_correct=each_correct),
                build_cost_line(after, horizon_months, corner, each_correct=each_correct),
            )
        )
    most = max(crossings)
    return OpenInterval(low=min(crossings), expected=at, high=None if most == inf else most)


def _name_score_cause(one: ContenderCost) -> str:
    """The uncertain factor behind this contender's fraction of correct answers."""
    return f"the score of {one.name}"


def _get_bound(one: EstimateInterval, end: Bound) -> float:
    return {"low": one.low, "expected": one.expected, "high": one.high}[end]


def _format_cheaper(how: str, name: str, each_correct: bool) -> str:
    return (
        f"a correct answer is {how} with {name}"
        if each_correct
        else f"{name} is {'the ' * (how == 'cheapest')}{how}"
    )


def _format_volume_interval(requests: OpenInterval, unit: str) -> str:
    """For example `about 12,000 requests a month (8,200 to 31,000)`."""
    low, high = (
        format_volume(requests.low),
        (None if requests.high is None else format_volume(requests.high)),
    )
    doubt = (
        f" ({low} or more, possibly never)"
        if high is None
        else f" ({low} to {high})"
        if low != high
        else ""
    )
    return f"about {format_volume(requests.expected or 0.0)} {unit}{doubt}"
