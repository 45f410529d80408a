"""The verdict in three lines: what, how certain, at what cost; and the contenders shown next to the
winner.

The sentences of `explanations.py` are the details behind them.
"""

from collections.abc import Callable

from tunesmith.decision.costlier_comparison import compute_simplicity_key
from tunesmith.decision.rule_result import RuleResult, VerdictInput
from tunesmith.decision.verdict_phrases import VERDICT_ADVICE, estimate_request_seconds
from tunesmith.records import (
    Comparison,
    Contender,
    Evaluation,
    TrainingLength,
    format_needed_minutes,
)
from tunesmith.records.quantity import (
    format_duration,
    format_metric_name,
    format_percent,
    format_points,
    format_points_number,
    format_usd,
)


def summarize_verdict(result: RuleResult, inputs: VerdictInput) -> tuple[str, ...]:
    """What, how certain, at what cost: one sentence each."""
    return (
        _format_winner(result, inputs),
        _format_certainty(result, inputs),
        _format_costs(result, inputs),
    )


def _format_winner(result: RuleResult, inputs: VerdictInput) -> str:
    metric = format_metric_name(inputs.evaluation.metric)
    if result.winner is not None:
        score = inputs.get_score(result.winner)
        return (
            f"{VERDICT_ADVICE[result.verdict]}: {result.winner.name} scores"
            f" {format_percent(score.value)} in {metric}."
        )
    if result.best is not None:
        score = inputs.get_score(result.best)
        return (
            f"No verdict yet. The contender to beat is {result.best.name} with "
            f"{format_percent(score.value)} in {metric}."
        )
    return "Keep what you have: no contender is good enough."


def _format_certainty(result: RuleResult, inputs: VerdictInput) -> str:
    n = len(inputs.evaluation.examples)
    if result.winner is None:
        if inputs.undertuned and inputs.training_length is not None and result.best is not None:
            return (
                "The model was trained too little to judge "
                f"fine-tuning.{_format_minutes(inputs.training_length)}"
            )
        if result.required_n is not None:
            return f"{n:,} test examples are too few: about {result.required_n:,} are needed."
        return f"Measured on {n:,} test examples that no contender was trained on."
    score = inputs.get_score(result.winner)
    sure = (
        f"The true score lies between {format_points_number(score.low)} and"
        f" {format_percent(score.high)} (95 % interval, {score.n:,} test examples)"
    )
    gain = find_reference_gain(inputs.evaluation, result.winner.name)
    if gain is None:
        return f"{sure}."
    way = "more" if gain.difference >= 0 else "less"
    return (
        f"{sure}; {gain.a} scores {format_points(abs(gain.difference))} {way} than {gain.b} (95 %"
        f" interval {format_points_number(gain.low)} to {format_points_number(gain.high)})."
    )


def _format_minutes(training: TrainingLength) -> str:
    minutes = format_needed_minutes(training)
    return f" {minutes}." if minutes else ""


def _format_costs(result: RuleResult, inputs: VerdictInput) -> str:
    one = result.winner or result.best
    if one is None:
        return "No additional cost."
    cost, seconds = one.usd_per_1000_or_none, estimate_request_seconds(one, inputs.evaluation)
    running = "an unknown amount" if cost is None else format_usd(cost)
    time = "" if seconds is None else f", {format_duration(seconds)} each in batches"
    once = (
        f"; one-time setup: {format_duration(one.setup_seconds)}, {format_usd(one.setup_usd)}"
        if one.setup_seconds
        else ""
    )
    return f"1,000 requests with {one.name} cost {running}{time}{once}."


def find_reference_gain(evaluation: Evaluation, winner: str) -> Comparison | None:
    """The winner compared with the user's current system (the best of several), or else with the
    simplest contender; None if the winner is that one itself.
    """
    other = find_current_system(evaluation) or min(
        evaluation.contenders, key=compute_simplicity_key, default=None
    )
    if other is None or other.name == winner:
        return None
    return _find_comparison(evaluation, winner, other.name)


def _find_comparison(evaluation: Evaluation, name: str, other: str) -> Comparison | None:
    """The stored comparison name - other on the deciding metric, with the sign turned if it was
    stored the other way.
    """
    for pair in evaluation.comparisons:
        if pair.metric == evaluation.metric and {pair.a, pair.b} == {name, other}:
            if pair.a == name:
                return pair
            turned = {"difference": -pair.difference, "low": -pair.high, "high": -pair.low}
            return pair.replace(a=pair.b, b=pair.a, **turned)
    return None


def find_current_system(evaluation: Evaluation) -> Contender | None:
    """The user's current system: the best of the external contenders; None if there is none."""
    return min(
        (one for one in evaluation.contenders if one.traits.is_external),
        key=_build_ranking_key(evaluation),
        default=None,
    )


def list_summary_contenders(
    evaluation: Evaluation, winner: Contender | None
) -> tuple[tuple[str, str], ...]:
    """Rows (role, name) of the short table: the verdict's contender, the user's current system, the
    best other one.
    """
    shown = [] if winner is None else [("verdict", winner.name)]
    now = find_current_system(evaluation)
    if now is not None and now is not winner:
        shown.append(("current system", now.name))
    named = {name for _, name in shown}
    others = [one for one in evaluation.contenders if one.name not in named]
    if others:
        role = "runner-up" if winner is not None else "best so far"
        shown.append((role, min(others, key=_build_ranking_key(evaluation)).name))
    return tuple(shown)


def _build_ranking_key(
    evaluation: Evaluation,
) -> Callable[[Contender], tuple[float, tuple[int, int, float, str]]]:
    """Sort key: highest deciding score first, contenders without a score last, the simpler one
    first among equals.
    """

    def compute_key(one: Contender) -> tuple[float, tuple[int, int, float, str]]:
        score = one.metrics.get(evaluation.metric)
        return -score.value if score and score.n else 1.0, compute_simplicity_key(one)

    return compute_key
