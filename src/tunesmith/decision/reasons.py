"""The verdict in sentences that a manager understands, each with its numbers.

Scores lie in [0, 1] and are told as percentages, differences as points. A sentence names metric, value, 95 % interval
and n, so that nobody has to take it on trust.
"""

from collections.abc import Sequence

from tunesmith.decision.bar import is_sure, least_wording, objection, worthwhile_gain
from tunesmith.decision.duel import Duel
from tunesmith.records import Bar, Contender, Evaluation, Verdict
from tunesmith.records.quantity import duration, hundredths, interval_of, percent, points, usd, wording

ADVICE: dict[Verdict, str] = {
    "prompt": "Prompting is enough",
    "rag": "Retrieve",
    "fine-tune": "Fine-tune",
    "fine-tune+rag": "Fine-tune and retrieve",
}


def of_winner(
    winner: Contender, verdict: Verdict, duels: Sequence[Duel], evaluation: Evaluation, bar: Bar
) -> list[str]:
    """Why this one: its score, whom it passes over, and why nothing dearer takes its place."""
    metric, score = evaluation.metric, winner.metrics[evaluation.metric]
    asked = f", which reaches the {percent(bar.min_score)} that you asked for" if bar.min_score is not None else ""
    sentences = [f"{ADVICE[verdict]}: {winner.name} scores {interval_of(score)} in {wording(metric)}{asked}."]
    for duel in duels:
        if duel.dearer is winner:
            sentences.append(_why_not(duel, duels, evaluation, bar))
        elif duel.simpler is winner:
            sentences.append(_against_dearer(duel, metric, worthwhile_gain(bar)))
    if winner.setup_seconds:
        sentences.append(
            f"{winner.name} is set up once, before the first request: "
            f"that took {duration(winner.setup_seconds)} and {usd(winner.setup_usd)}."
        )
    return sentences


def of_doubt(
    simplest: Contender, undecided: Sequence[Duel], needed: int | None, evaluation: Evaluation, bar: Bar
) -> list[str]:
    """What the data cannot separate, and how much more of it would."""
    metric, score = evaluation.metric, simplest.metrics[evaluation.metric]
    sentences = []
    if not is_sure(score, bar):
        sentences.append(
            f"Whether {simplest.name} reaches {least_wording(bar)} cannot be told: "
            f"it scores {interval_of(score)} in {wording(metric)}."
        )
    doubt = "which may be noise"
    if bar.min_gain > 0:
        doubt = f"but is not shown to be better by the {points(bar.min_gain)} that you asked for"
    for duel in undecided:
        name = duel.dearer.name
        if duel.outcome == "blind":
            sentences.append(_too_few(duel, metric))
            continue
        sentences.append(f"{name} looks better than {simplest.name} by {gained(duel)} in {wording(metric)}, {doubt}.")
    n = len(evaluation.examples)
    if needed is None:
        sentences.append(
            "No number of test examples that would settle it can be promised: what was measured lies too close to "
            "what you asked for, or too few answers were given."
        )
    else:
        sentences.append(
            f"About {needed:,} test examples would settle it, {max(needed - n, 1):,} more than the {n:,} now."
        )
    return sentences


def of_stop(ladder: Sequence[Contender], evaluation: Evaluation) -> list[str]:
    """Why nothing here should be used. Why each one is out stands in `of_the_rest`."""
    metric = wording(evaluation.metric)
    scored = [contender for contender in ladder if evaluation.metric in contender.metrics]
    if not scored:
        return ["Stop: no contender could be scored."]
    best = max(scored, key=lambda contender: contender.metrics[evaluation.metric].value)
    score = best.metrics[evaluation.metric]
    if score.value <= 0:
        return [f"Stop: no contender gets a single one of {score.n:,} test examples right in {metric}."]
    return [
        f"Stop: no contender is good enough. The best score is that of {best.name}: {interval_of(score)} in {metric}."
    ]


def of_the_rest(ladder: Sequence[Contender], evaluation: Evaluation, bar: Bar) -> list[str]:
    """What is true of every contender: who is out and why, answers that failed, time and cost per 1,000 requests."""
    metric = evaluation.metric
    sentences = []
    for contender in ladder:
        reason = objection(contender, metric, bar)
        if reason is not None:
            sentences.append(f"{contender.name} is out: {reason}.")
        score = contender.metrics.get(metric)
        if score is not None and score.failed:
            sentences.append(
                f"{contender.name} gave no answer to {score.failed:,} of {score.n + score.failed:,} requests."
            )
    if not any(contender.kind.startswith("tuned") for contender in ladder):
        sentences.append("No tuned model was among the contenders.")
    if ladder:
        prices = [contender.usd_per_1000 for contender in ladder]
        costs = (
            f"{contender.name} {duration(1000 * contender.seconds_per_request)}, {usd(contender.usd_per_1000, prices)}"
            for contender in ladder
        )
        sentences.append(f"1,000 requests take and cost: {'; '.join(costs)}.")
    return sentences


def _why_not(duel: Duel, duels: Sequence[Duel], evaluation: Evaluation, bar: Bar) -> str:
    """Why the simpler contender of this duel is passed over, by the winner of it or for another reason."""
    simpler, metric = duel.simpler, wording(evaluation.metric)
    beaten_by = (
        [duel] if duel.outcome == "beaten" else [d for d in duels if d.simpler is simpler and d.outcome == "beaten"]
    )
    if beaten_by:
        who = "It" if beaten_by[0] is duel else beaten_by[0].dearer.name
        than = f"noise and the {points(bar.min_gain)} that you asked for" if bar.min_gain > 0 else "noise"
        return f"{who} beats {simpler.name} by {gained(beaten_by[0])} in {metric}: more than {than}."
    score = simpler.metrics[evaluation.metric]
    if not is_sure(score, bar):
        return f"{simpler.name} may or may not reach {least_wording(bar)}: {interval_of(score)} in {metric}."
    equal = min((d for d in duels if d.dearer is simpler), key=lambda d: d.gain.difference)
    return f"{simpler.name} is no better than {equal.simpler.name}, which is simpler: {gained(equal)} in {metric}."


def _against_dearer(duel: Duel, metric: str, worthwhile: float) -> str:
    name, gain = duel.dearer.name, duel.gain
    if gain.high < 0:
        return f"{name} is dearer and worse: {gained(duel)} in {wording(metric)}."
    if gain.high < worthwhile:
        return (
            f"{name} is dearer and brings {gained(duel)} in {wording(metric)}: "
            f"a gain of {points(worthwhile)} or more is excluded."
        )
    if gain.low > 0:
        return (
            f"{name} is dearer and better, but not shown to be better by the {points(worthwhile)} that you asked for: "
            f"{gained(duel)} in {wording(metric)}."
        )
    if duel.outcome == "blind":
        return _too_few(duel, metric)
    more = f"; about {duel.needed_n:,} test examples would be needed to tell" if duel.needed_n else ""
    if duel.outcome == "open":
        return f"{name} looks better by {gained(duel)} in {wording(metric)}, which may be noise{more}."
    return f"{name} is dearer and not shown to be better: {gained(duel)} in {wording(metric)}{more}."


def _too_few(duel: Duel, metric: str) -> str:
    n = f"{duel.gain.n:,} test {'example is' if duel.gain.n == 1 else 'examples are'}"
    return f"{n} too few to compare {duel.dearer.name} with {duel.simpler.name}: {gained(duel)} in {wording(metric)}."


def gained(duel: Duel) -> str:
    """`12.3 points (95 % interval 9.1 to 15.4, n = 240)`."""
    gain = duel.gain
    return (
        f"{points(gain.difference)} (95 % interval {hundredths(gain.low)} to {hundredths(gain.high)}, n = {gain.n:,})"
    )
