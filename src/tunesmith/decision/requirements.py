"""What requirements and usage context demand of a contender, and the defaults for what the user did
not set.
"""

from collections.abc import Iterator

from tunesmith.decision.context_preferences import EMPTY_CONTEXT
from tunesmith.records import Contender, Quantity, Requirements, UsageContext
from tunesmith.records.quantity import (
    format_duration,
    format_metric_name,
    format_percent,
    format_usd,
    format_with_interval,
)

MIN_RELEVANT_GAIN = 0.05
"""The smallest gain that justifies asking for more data if no `min_gain` was set
(docs/decisions/011).
"""

DEFAULT_MIN_SCORE = 0.1
"""If no `min_score` was set: a contender that is right less than one time in ten is of no use
(docs/decisions/012).
"""

MIN_TEST_EXAMPLES = 20
"""With fewer test examples even contenders that agree on every one may truly differ by 16 points or
more (docs/decisions/014).
"""

MAX_INTERVAL_HALF_WIDTH = 0.15
"""A difference with a wider interval than plus or minus 15 points shows nothing
(docs/decisions/014, 015).
"""

MAX_INCONCLUSIVE_P = 0.15
"""A gain with a larger p-value (two-sided, corrected for multiple comparisons) is no reason to wait
for more data (docs/decisions/015).
"""

MAX_FAILURE_RATE = 0.05
"""A contender that gives no answer to a larger fraction of the requests is disqualified. Scores and
differences cover only what was answered, so a contender that fails on the hard requests would look
better than it is; up to this rate the bias is at most the smallest gain that justifies more data
(`MIN_RELEVANT_GAIN`), whatever the missing answers would have been (docs/decisions/015).
"""


def get_min_score(requirements: Requirements) -> float:
    """The score that a winner must reach, in [0, 1]."""
    return DEFAULT_MIN_SCORE if requirements.min_score is None else requirements.min_score


def get_min_relevant_gain(requirements: Requirements) -> float:
    """The smallest gain worth waiting for: `min_gain`, or `MIN_RELEVANT_GAIN` if it is 0."""
    return requirements.min_gain if requirements.min_gain > 0 else MIN_RELEVANT_GAIN


def has_proven_min_score(score: Quantity, requirements: Requirements) -> bool:
    """Whether the whole 95 % interval lies at or above the minimum score."""
    return score.low >= get_min_score(requirements)


def find_disqualification(
    contender: Contender,
    metric: str,
    requirements: Requirements,
    usage_context: UsageContext = EMPTY_CONTEXT,
    *,
    with_score: bool = True,
) -> str | None:
    """Why this contender is disqualified, naming each limit it violates; None if it is eligible.

    With `with_score=False` a low score is no reason: an undertuned model may score more after more
    tuning.
    """
    score = contender.metrics.get(metric)
    if score is None or score.n == 0:
        return f"none of its answers could be scored for {format_metric_name(metric)}"
    reasons = [
        *_check_failure_rate(score),
        *(_check_score(score, metric, requirements) if with_score else ()),
    ]
    reasons += [
        *_check_cost(contender, requirements),
        *_check_latency(contender, requirements, usage_context),
    ]
    reasons += _check_data_location(contender, usage_context)
    return " and ".join(reasons) or None


def fails_too_often(score: Quantity) -> bool:
    """Whether so many answers are missing that the others do not represent the requests."""
    return score.n_failed > MAX_FAILURE_RATE * (score.n + score.n_failed)


def get_latency_seconds(contender: Contender) -> float | None:
    """Seconds of one request on its own; its part of a batch if that was not measured; None if
    unknown.
    """
    alone = contender.usage.latency_seconds if contender.usage else None
    return contender.seconds_per_request_or_none if alone is None else alone


def format_min_score(requirements: Requirements) -> str:
    """The minimum score as part of a sentence, with its origin."""
    if requirements.min_score is not None:
        return f"your minimum of {format_percent(requirements.min_score)}"
    return f"the default minimum of {format_percent(DEFAULT_MIN_SCORE)} (change it with min_score)"


def _check_failure_rate(score: Quantity) -> Iterator[str]:
    if fails_too_often(score):
        yield (
            f"{score.n_failed:,} of {score.n + score.n_failed:,} requests have no answer that "
            f"could be scored, more than the allowed {format_percent(MAX_FAILURE_RATE)}"
        )


def _check_score(score: Quantity, metric: str, requirements: Requirements) -> Iterator[str]:
    if score.high < get_min_score(requirements):
        yield (
            f"it scores {format_with_interval(score)} in {format_metric_name(metric)}, below "
            f"{format_min_score(requirements)}"
        )


def _check_cost(contender: Contender, requirements: Requirements) -> Iterator[str]:
    """An unknown cost violates the limit: the limit must be shown to be met."""
    cost, most = contender.usd_per_1000_or_none, requirements.max_usd_per_1000
    if most is not None and cost is None:
        yield (
            f"its cost is unknown, so it is not shown to meet the limit of {format_usd(most)} "
            f"per 1,000 requests ({_suggest_source('usd', contender)})"
        )
    if most is not None and cost is not None and cost > most:
        yield (
            f"it costs {format_usd(cost)} per 1,000 requests, above the limit of {format_usd(most)}"
        )


def _check_latency(
    contender: Contender, requirements: Requirements, usage_context: UsageContext
) -> Iterator[str]:
    """The shorter of `max_latency_seconds` and the wait that users accept applies.

    An unknown latency violates the requirement, but not the wait of the usage context: users
    already accept a system in use today.
    """
    named = [
        limit
        for limit in (requirements.max_latency_seconds, usage_context.max_wait_seconds)
        if limit is not None
    ]
    wait = get_latency_seconds(contender)
    if requirements.max_latency_seconds is not None and wait is None:
        yield (
            "its latency is unknown, so it is not shown to meet the limit of "
            f"{format_duration(requirements.max_latency_seconds)} per request "
            f"({_suggest_source('seconds', contender)})"
        )
    if named and wait is not None and wait > min(named):
        yield (
            f"it takes {format_duration(wait)} per request, above the limit of "
            f"{format_duration(min(named))}"
        )


def _suggest_source(column: str, contender: Contender) -> str:
    """How the user can make an unknown figure known."""
    if contender.traits.is_external:
        return f"add it to its file in a column {column}"
    return (
        "its service reported no token counts" if column == "usd" else "no single request succeeded"
    )


def _check_data_location(contender: Contender, usage_context: UsageContext) -> Iterator[str]:
    """A token price identifies a provider. One in the user's own cloud charges nothing per token
    (docs/decisions/015).
    """
    price, where = contender.token_price, usage_context.data_residency
    if price is None or where in (None, "any"):
        return
    is_charged = price.usd_per_million_in > 0 or price.usd_per_million_out > 0
    if where == "local" or is_charged:
        allowed = "this machine" if where == "local" else "your own cloud"
        yield f"it sends the data to a provider, but the data may not leave {allowed}"
