"""What the bar asks of a contender, and what stands in its place where the user named nothing."""

from tunesmith.records import Bar, Contender, Quantity
from tunesmith.records.quantity import duration, interval_of, percent, usd, wording

WORTHWHILE_GAIN = 0.05
"""The smallest gain that makes us ask for more data where no `min_gain` was named (docs/decisions/011)."""

LEAST_SCORE = 0.1
"""Where no `min_score` was named: what is right less than one time in ten is of no use (docs/decisions/012)."""

LEAST_EXAMPLES = 20
"""With fewer, even contenders that agree on every example may lie 16 points or more apart (docs/decisions/014)."""

WIDEST_HALF = 0.2
"""A difference known to no better than plus or minus 20 points shows nothing (docs/decisions/014)."""


def least_score(bar: Bar) -> float:
    """The score that a winner must reach."""
    return LEAST_SCORE if bar.min_score is None else bar.min_score


def worthwhile_gain(bar: Bar) -> float:
    """The smallest gain worth waiting for."""
    return bar.min_gain if bar.min_gain > 0 else WORTHWHILE_GAIN


def is_sure(score: Quantity, bar: Bar) -> bool:
    """The whole interval reaches the least score."""
    return score.low >= least_score(bar)


def objection(contender: Contender, metric: str, bar: Bar) -> str | None:
    """Why this contender is out for sure, naming each limit of the bar that it breaks; None when it is in."""
    score = contender.metrics.get(metric)
    if score is None or score.n == 0:
        return f"it gave no answer that could be scored for {wording(metric)}"
    found: list[str] = []
    if score.high < least_score(bar):
        found.append(f"it scores {interval_of(score)} in {wording(metric)}, below {least_wording(bar)}")
    if bar.max_usd_per_1000 is not None and contender.usd_per_1000 > bar.max_usd_per_1000:
        found.append(
            f"it costs {usd(contender.usd_per_1000)} per 1,000 requests, more than {usd(bar.max_usd_per_1000)}"
        )
    if bar.max_latency_seconds is not None and wait_of(contender) > bar.max_latency_seconds:
        found.append(
            f"it takes {duration(wait_of(contender))} a request, more than {duration(bar.max_latency_seconds)}"
        )
    return " and ".join(found) or None


def wait_of(contender: Contender) -> float:
    """Seconds that one request waits when it is alone; its share of a batch where that was not measured."""
    alone = contender.usage.latency_seconds if contender.usage else None
    return contender.seconds_per_request if alone is None else alone


def least_wording(bar: Bar) -> str:
    """The least score as it stands in a sentence, with who asked for it."""
    if bar.min_score is not None:
        return f"the {percent(bar.min_score)} that you asked for"
    return f"the {percent(LEAST_SCORE)} that anything of use must reach (min_score changes it)"
