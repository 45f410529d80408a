"""What a contender takes and costs as the report tells it, in every format alike; what nobody knows is never a zero."""

from collections.abc import Sequence

from tunesmith.records import Contender, Evaluation
from tunesmith.records.quantity import duration, usd

UNKNOWN = "not known"


def time_told(contender: Contender, requests: int = 1) -> str:
    """How long so many requests take."""
    seconds = contender.known_seconds_per_request
    return UNKNOWN if seconds is None else duration(requests * seconds)


def cost_told(contender: Contender, beside: Sequence[Contender] = ()) -> str:
    """What 1,000 requests cost, as exact as the cheapest of those that it stands beside."""
    cost = contender.known_usd_per_1000
    return UNKNOWN if cost is None else usd(cost, [one.known_usd_per_1000 or 0.0 for one in beside])


def basis_told(contender: Contender, evaluation: Evaluation) -> str:
    """Where the cost comes from."""
    if contender.token_price is not None:
        return "charged by the token"
    if contender.kind == "outside":
        return "as its file says"
    return f"at {usd(evaluation.machine_usd_per_hour)} an hour"


def bases_told(evaluation: Evaluation) -> str:
    """Where all costs come from, in a sentence."""
    charged = [one.name for one in evaluation.contenders if one.token_price is not None]
    outside = [one.name for one in evaluation.contenders if one.kind == "outside"]
    told = f"Dollars follow from {usd(evaluation.machine_usd_per_hour)} an hour of this machine"
    told += f", those of {', '.join(charged)} from the tokens that are charged" if charged else ""
    told += f", those of {', '.join(outside)} from its file where that says so" if outside else ""
    return f"{told}."
