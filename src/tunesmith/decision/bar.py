"""What bar and circumstances ask of a contender, and what stands in their place where the user named nothing."""

from collections.abc import Iterator

from tunesmith.decision.circumstances import NOTHING_SAID
from tunesmith.records import Bar, Circumstances, Contender, Quantity
from tunesmith.records.quantity import duration, interval_of, percent, usd, wording

WORTHWHILE_GAIN = 0.05
"""The smallest gain that makes us ask for more data where no `min_gain` was named (docs/decisions/011)."""

LEAST_SCORE = 0.1
"""Where no `min_score` was named: what is right less than one time in ten is of no use (docs/decisions/012)."""

LEAST_EXAMPLES = 20
"""With fewer, even contenders that agree on every example may lie 16 points or more apart (docs/decisions/014)."""

WIDEST_HALF = 0.15
"""A difference known to no better than plus or minus 15 points shows nothing (docs/decisions/014, 015)."""

DOUBTFUL_LUCK = 0.15
"""A gain that luck shows more often (two-sided, corrected for several) is no reason to wait (docs/decisions/015)."""

MOST_FAILED = 0.05
"""Who gives no answer to more of the requests is out. Scores and differences stand on what was answered, so whoever
fails on the hard ones would look better than it is; up to here that is worth no more than the smallest gain that makes
us ask for more data (`WORTHWHILE_GAIN`), whatever the missing answers would have been (docs/decisions/015)."""

OUTSIDE = "outside"
"""The kind of a system that the user has today: what it costs and takes is known where its file says so."""


def least_score(bar: Bar) -> float:
    """The score that a winner must reach."""
    return LEAST_SCORE if bar.min_score is None else bar.min_score


def worthwhile_gain(bar: Bar) -> float:
    """The smallest gain worth waiting for."""
    return bar.min_gain if bar.min_gain > 0 else WORTHWHILE_GAIN


def is_sure(score: Quantity, bar: Bar) -> bool:
    """The whole interval reaches the least score."""
    return score.low >= least_score(bar)


def objection(
    contender: Contender,
    metric: str,
    bar: Bar,
    circumstances: Circumstances = NOTHING_SAID,
    *,
    with_score: bool = True,
) -> str | None:
    """Why this contender is out for sure, naming each limit that it breaks; None when it is in.

    Without `with_score` no score is too low: what was hardly tuned may score more.
    """
    score = contender.metrics.get(metric)
    if score is None or score.n == 0:
        return f"it gave no answer that could be scored for {wording(metric)}"
    found = [*_failed_too_often(score), *(_score_too_low(score, metric, bar) if with_score else ())]
    found += [*_too_dear(contender, bar), *_too_slow(contender, bar, circumstances)]
    found += _sent_away(contender, circumstances)
    return " and ".join(found) or None


def fails_too_often(score: Quantity) -> bool:
    """Too many answers are missing for the others to speak for them."""
    return score.failed > MOST_FAILED * (score.n + score.failed)


def wait_of(contender: Contender) -> float | None:
    """Seconds that one request waits when it is alone; its share of a batch where that was not measured."""
    alone = contender.usage.latency_seconds if contender.usage else None
    return contender.known_seconds_per_request if alone is None else alone


def least_wording(bar: Bar) -> str:
    """The least score as it stands in a sentence, with who asked for it."""
    if bar.min_score is not None:
        return f"the {percent(bar.min_score)} that you asked for"
    return f"the {percent(LEAST_SCORE)} that anything of use must reach (min_score changes it)"


def _failed_too_often(score: Quantity) -> Iterator[str]:
    if fails_too_often(score):
        yield (
            f"it gave no answer that could be scored to {score.failed:,} of {score.n + score.failed:,} requests, "
            f"more than the {percent(MOST_FAILED)} that may fail"
        )


def _score_too_low(score: Quantity, metric: str, bar: Bar) -> Iterator[str]:
    if score.high < least_score(bar):
        yield f"it scores {interval_of(score)} in {wording(metric)}, below {least_wording(bar)}"


def _too_dear(contender: Contender, bar: Bar) -> Iterator[str]:
    """A limit is passed by what is known to keep it."""
    cost, most = contender.known_usd_per_1000, bar.max_usd_per_1000
    if most is not None and cost is None:
        yield (
            f"what it costs is not known, so it is not shown to cost at most {usd(most)} per 1,000 requests "
            f"({_say_it('usd', contender)})"
        )
    if most is not None and cost is not None and cost > most:
        yield f"it costs {usd(cost)} per 1,000 requests, more than {usd(most)}"


def _too_slow(contender: Contender, bar: Bar, circumstances: Circumstances) -> Iterator[str]:
    """The wait that users accept is a limit like `max_latency_seconds`: the shorter of the two holds. What is in use
    today and does not say how long it takes is accepted by its users; a limit of the bar must be shown to be kept."""
    named = [limit for limit in (bar.max_latency_seconds, circumstances.longest_wait_seconds) if limit is not None]
    wait = wait_of(contender)
    if bar.max_latency_seconds is not None and wait is None:
        yield (
            "how long it takes is not known, so it is not shown to take at most "
            f"{duration(bar.max_latency_seconds)} a request ({_say_it('seconds', contender)})"
        )
    if named and wait is not None and wait > min(named):
        yield f"it takes {duration(wait)} a request, more than {duration(min(named))}"


def _say_it(column: str, contender: Contender) -> str:
    """How to make a figure known."""
    if contender.kind == OUTSIDE:
        return f"its file may say it in a column {column}"
    return "its service counted no tokens" if column == "usd" else "no single request was answered"


def _sent_away(contender: Contender, circumstances: Circumstances) -> Iterator[str]:
    """A token price marks a provider. One in the user's own cloud charges nothing for a token (docs/decisions/015)."""
    price, where = contender.token_price, circumstances.data_may_go
    if price is None or where in (None, "anywhere"):
        return
    is_charged = price.usd_per_million_in > 0 or price.usd_per_million_out > 0
    if where == "this machine" or is_charged:
        allowed = "this machine" if where == "this machine" else "your own cloud"
        yield f"it sends the data to a provider, and they may not leave {allowed}"
