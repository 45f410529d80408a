"""The verdict in three lines for whoever decides: what, how sure, what it costs; and who stands beside it.

The sentences of `reasons.py` are the details behind them.
"""

from collections.abc import Callable

from tunesmith.decision.bar import OUTSIDE
from tunesmith.decision.judgement import Case, Judgement
from tunesmith.decision.simplicity import simplicity
from tunesmith.decision.wording import ADVICE, time_of
from tunesmith.records import Comparison, Contender, Evaluation, TrainingExtent, minutes_told
from tunesmith.records.quantity import duration, hundredths, percent, points, usd, wording


def summary_of(found: Judgement, case: Case) -> tuple[str, ...]:
    """What, how sure, what it costs: one sentence each."""
    return _what(found, case), _how_sure(found, case), _costs(found, case)


def _what(found: Judgement, case: Case) -> str:
    metric = wording(case.evaluation.metric)
    if found.winner is not None:
        score = case.score(found.winner)
        return f"{ADVICE[found.verdict]}: {found.winner.name} scores {percent(score.value)} in {metric}."
    if found.best is not None:
        score = case.score(found.best)
        return f"It cannot be told yet. The one to beat is {found.best.name} with {percent(score.value)} in {metric}."
    return "Keep what you have: nothing that was tried is good enough."


def _how_sure(found: Judgement, case: Case) -> str:
    n = len(case.evaluation.examples)
    if found.winner is None:
        if case.undertuned and case.training is not None and found.best is not None:
            return f"The model was tuned too little to judge fine-tuning.{_minutes(case.training)}"
        if found.needed is not None:
            return f"{n:,} test examples are too few: about {found.needed:,} would settle it."
        return f"Measured on {n:,} test examples that no contender was trained on."
    score = case.score(found.winner)
    sure = (
        f"The true score lies between {hundredths(score.low)} and {percent(score.high)} (95 % interval, {score.n:,} "
        "test examples)"
    )
    gain = gain_of(case.evaluation, found.winner.name)
    if gain is None:
        return f"{sure}."
    way = "more" if gain.difference >= 0 else "less"
    return (
        f"{sure}; {gain.a} scores {points(abs(gain.difference))} {way} than {gain.b} (95 % interval "
        f"{hundredths(gain.low)} to {hundredths(gain.high)})."
    )


def _minutes(training: TrainingExtent) -> str:
    told = minutes_told(training)
    return f" {told}." if told else ""


def _costs(found: Judgement, case: Case) -> str:
    one = found.winner or found.best
    if one is None:
        return "Nothing new to pay for."
    cost, seconds = one.known_usd_per_1000, time_of(one, case.evaluation)
    running = "a cost that is not known" if cost is None else usd(cost)
    time = "" if seconds is None else f", {duration(seconds)} each in a batch"
    once = f"; setting it up took {duration(one.setup_seconds)} and {usd(one.setup_usd)}" if one.setup_seconds else ""
    return f"1,000 requests of {one.name} cost {running}{time}{once}."


def gain_of(evaluation: Evaluation, winner: str) -> Comparison | None:
    """The winner against what the user has, or else against the simplest contender; None where it is that one itself.

    Of several systems of the user's the best counts.
    """
    other = now_of(evaluation) or min(evaluation.contenders, key=simplicity, default=None)
    if other is None or other.name == winner:
        return None
    return _against(evaluation, winner, other.name)


def _against(evaluation: Evaluation, name: str, other: str) -> Comparison | None:
    for pair in evaluation.comparisons:
        if pair.metric == evaluation.metric and {pair.a, pair.b} == {name, other}:
            if pair.a == name:
                return pair
            turned = {"difference": -pair.difference, "low": -pair.high, "high": -pair.low}
            return pair.model_copy(update={"a": pair.b, "b": pair.a, **turned})
    return None


def now_of(evaluation: Evaluation) -> Contender | None:
    """What the user has now: the best of the outside systems whose answers were given."""
    return min((one for one in evaluation.contenders if one.kind == OUTSIDE), key=_best_first(evaluation), default=None)


def beside(evaluation: Evaluation, winner: Contender | None) -> tuple[tuple[str, str], ...]:
    """The rows of the short table, (role, name): the verdict's contender, what the user has now, the best other one."""
    shown = [] if winner is None else [("verdict", winner.name)]
    now = now_of(evaluation)
    if now is not None and now is not winner:
        shown.append(("what you have now", now.name))
    named = {name for _, name in shown}
    others = [one for one in evaluation.contenders if one.name not in named]
    if others:
        role = "runner-up" if winner is not None else "best so far"
        shown.append((role, min(others, key=_best_first(evaluation)).name))
    return tuple(shown)


def _best_first(evaluation: Evaluation) -> Callable[[Contender], tuple[float, tuple[int, int, float, str]]]:
    """A sort key: the deciding score downward, one without any last, the simpler one first among equals."""

    def key(one: Contender) -> tuple[float, tuple[int, int, float, str]]:
        score = one.metrics.get(evaluation.metric)
        return -score.value if score and score.n else 1.0, simplicity(one)

    return key
