"""What a contender takes and costs as the report tells it, in every format alike; what nobody knows is never a zero."""

from collections.abc import Sequence

from tunesmith.records import Contender, Evaluation
from tunesmith.records.quantity import format_duration, format_usd

UNKNOWN = "not known"


def format_time(contender: Contender, requests: int = 1) -> str:
    """How long so many requests take."""
    seconds = contender.seconds_per_request_or_none
    return UNKNOWN if seconds is None else format_duration(requests * seconds)


def format_cost(contender: Contender, beside: Sequence[Contender] = ()) -> str:
    """What 1,000 requests cost, as exact as the cheapest of those that it stands beside."""
    cost = contender.usd_per_1000_or_none
    return UNKNOWN if cost is None else format_usd(cost, [one.usd_per_1000_or_none or 0.0 for one in beside])


def format_cost_basis(contender: Contender, evaluation: Evaluation) -> str:
    """Where the cost comes from."""
    if contender.token_price is not None:
        return "charged by the token"
    if contender.traits.is_external:
        return "as its file says"
    return f"at {format_usd(evaluation.machine_usd_per_hour)} an hour"


def format_cost_bases(evaluation: Evaluation) -> str:
    """Where all costs come from, in a sentence."""
    charged = [one.name for one in evaluation.contenders if one.token_price is not None]
    outside = [one.name for one in evaluation.contenders if one.traits.is_external]
    told = f"Dollars follow from {format_usd(evaluation.machine_usd_per_hour)} an hour of this machine"
    told += f", those of {', '.join(charged)} from the tokens that are charged" if charged else ""
    told += f", those of {', '.join(outside)} from its file where that says so" if outside else ""
    return f"{told}."
