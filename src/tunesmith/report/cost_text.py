"""Time and cost of a contender as text, the same in every format; an unknown value is never shown
as zero.
"""

from collections.abc import Sequence

from tunesmith.records import Contender, Evaluation
from tunesmith.records.quantity import format_duration, format_usd

UNKNOWN = "unknown"


def format_time(contender: Contender, requests: int = 1) -> str:
    """The time for this many requests."""
    seconds = contender.seconds_per_request_or_none
    return UNKNOWN if seconds is None else format_duration(requests * seconds)


def format_cost(contender: Contender, shown: Sequence[Contender] = ()) -> str:
    """Cost of 1,000 requests, with the digits that the cheapest of the contenders shown `beside` it
    needs.
    """
    cost = contender.usd_per_1000_or_none
    return (
        UNKNOWN
        if cost is None
        else format_usd(cost, [one.usd_per_1000_or_none or 0.0 for one in shown])
    )


def format_cost_basis(contender: Contender, evaluation: Evaluation) -> str:
    """The origin of a contender's cost."""
    if contender.token_price is not None:
        return "charged per token"
    if contender.traits.is_external:
        return "as given in its file"
    return f"at {format_usd(evaluation.machine_usd_per_hour)} per hour"


def format_cost_bases(evaluation: Evaluation) -> str:
    """The origin of all costs, as a sentence."""
    charged = [one.name for one in evaluation.contenders if one.token_price is not None]
    external = [one.name for one in evaluation.contenders if one.traits.is_external]
    sentence = (
        f"Costs are based on {format_usd(evaluation.machine_usd_per_hour)} per hour for this "
        "machine"
    )
    sentence += f", for {', '.join(charged)} on token prices" if charged else ""
    sentence += f", for {', '.join(external)} on the values in its file, if any" if external else ""
    return f"{sentence}."
