"""Phrases that several sentences of the verdict have in common."""

from collections.abc import Mapping

from tunesmith.decision.costlier_comparison import CostlierComparison
from tunesmith.records import Contender, Evaluation, MachineTime, Verdict
from tunesmith.records.quantity import format_points, format_points_number

VERDICT_ADVICE: Mapping[Verdict, str] = {
    "stop": "Keep what you have",
    "prompt": "Prompting is enough",
    "rag": "Retrieve",
    "fine-tune": "Fine-tune",
    "fine-tune+rag": "Fine-tune and retrieve",
}
"""The verdict as the beginning of a sentence about its winner."""

VERDICT_PHRASES: Mapping[Verdict, str] = {
    "stop": "keep what you have",
    "prompt": "prompt",
    "rag": "retrieve",
    "fine-tune": "fine-tune",
    "fine-tune+rag": "fine-tune and retrieve",
    "cannot tell": "cannot tell",
}
"""The verdict as the end of a sentence."""


def format_gain(comparison: CostlierComparison) -> str:
    """For example `12.3 points (95 % interval 9.1 to 15.4, n = 240)`."""
    gain = comparison.gain
    return (
        f"{format_points(gain.difference)} (95 % interval {format_points_number(gain.low)} to "
        f"{format_points_number(gain.high)}, n = {gain.n:,})"
    )


def format_busy_machine(machine: MachineTime) -> str:
    """That measured times are unreliable because other programs used the machine, with the fraction
    of time spent waiting.
    """
    return (
        "the machine was busy: this process waited for a processor core "
        f"{machine.waiting_fraction or 0.0:.0%} of the time, so times and costs are uncertain"
    )


def estimate_request_seconds(contender: Contender, evaluation: Evaluation) -> float | None:
    """Seconds per request; on this machine derived from its cost, so that equal work is reported
    with equal time.
    """
    cost, hourly = contender.usd_per_1000_or_none, evaluation.machine_usd_per_hour
    is_here = contender.token_price is None and not contender.traits.is_external
    if evaluation.machine is None or not is_here or not cost or not hourly:
        return contender.seconds_per_request_or_none
    return cost / 1000 * 3600 / hourly


def format_p_value(p: float) -> str:
    """For example `p = 0.012`, `p < 0.001`."""
    return f"p = {p:.2g}" if p >= 0.001 else "p < 0.001"


def join_names(names: list[str]) -> str:
    """For example `a, b and c`."""
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names)
