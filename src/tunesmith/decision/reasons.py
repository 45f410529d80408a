"""The verdict in sentences that a manager understands, each with its numbers.

Scores lie in [0, 1] and are told as percentages, differences as points. A sentence names metric, value, 95 % interval
and n, so that nobody has to take it on trust. Where several contenders of one kind face the winner, the strongest of
them is told about and the others are counted.
"""

from collections.abc import Iterator, Sequence

from tunesmith.decision.bar import fails_too_often, is_sure, least_wording, worthwhile_gain
from tunesmith.decision.circumstances import leanings, not_known
from tunesmith.decision.duel import ALPHA, VERDICTS, Duel, cost_step, is_tuned
from tunesmith.decision.judgement import Case, Judgement
from tunesmith.decision.wording import ADVICE, NEEDS, TAKE, gained, listed, luck, time_of, wording_of_busy
from tunesmith.records import Contender, Quantity, TrainingExtent, Verdict, minutes_told, why_short
from tunesmith.records.quantity import duration, hundredths, interval_of, percent, points, usd, wording

TUNED: tuple[Verdict, ...] = ("fine-tune", "fine-tune+rag")

MANY_LEAKED = 0.1
"""The share of the test examples that may leak before strictness refuses it: the share of the train examples up to
which they are taken out instead (`data/leaks.py`)."""


def reasons_of(found: Judgement, case: Case, settling: Sequence[str]) -> Iterator[str]:
    """Why this verdict and no other; `settling` are the answers of the user that would settle what cannot be told."""
    if found.verdict == "cannot tell" and found.best is not None:
        yield from _of_doubt(found, found.best, case)
        yield from settling
    elif found.best is None:
        yield _of_stop(found, case)
    else:
        yield from _of_winner(found, found.best, case)
    yield from _of_the_rest(found, case)
    yield from _of_costs(found, case)
    yield from _of_circumstances(found, case)


def warnings_of(found: Judgement, on_clean: Judgement | None, case: Case) -> Iterator[str]:
    """What a strict run refuses: it does not change the verdict, and nobody should miss it.

    The budget of forgetting is held against the estimate itself: it is a limit, so doubt counts against the tuning.
    """
    if case.training is not None and case.undertuned and found.verdict not in TUNED:
        yield (
            f"Nothing can be said about fine-tuning: the model was tuned for {why_short(case.training)}."
            f"{_minutes(case.training)}"
        )
    limit, drop = case.bar.max_forgetting, case.forgetting
    if found.verdict in TUNED and limit is not None and drop is not None and drop.value > limit:
        sure = "" if drop.low > limit else "; it may be less, and the limit is held against the estimate"
        yield (
            f"Tuning costs general ability: it falls by {_drop(drop)}, more than the {points(limit)} allowed "
            f"(bar.max_forgetting){sure}."
        )
    leaked, asked = len(case.evaluation.leaked), len(case.evaluation.examples)
    if leaked > MANY_LEAKED * asked:
        yield (
            f"{leaked:,} of {asked:,} test examples ({percent(leaked / asked)}) resemble training examples that were "
            "kept, so scores measure memory too: the gain of tuning may be smaller on new questions."
        )
    if on_clean is not None and on_clean.verdict != found.verdict:
        yield (
            f"The verdict rests on leaked test examples: on the {asked - leaked:,} that nothing in training resembles "
            f"it would be {TAKE[on_clean.verdict]!r} instead of {TAKE[found.verdict]!r}."
        )
    for leaning in leanings(case.circumstances):
        if found.verdict in leaning.against:
            yield (
                f"You said that {leaning.because}: that speaks for {leaning.speaks_for}. What was measured speaks "
                f"against it: {TAKE[found.verdict]}. Which weighs more is for you to say."
            )


def _of_winner(found: Judgement, winner: Contender, case: Case) -> Iterator[str]:
    """Why this one: its score, whom it passes over, and why nothing more elaborate takes its place."""
    metric, score, bar = wording(case.evaluation.metric), case.score(winner), case.bar
    asked = f", which reaches the {percent(bar.min_score)} that you asked for" if bar.min_score is not None else ""
    yield f"{ADVICE[found.verdict]}: {winner.name} scores {interval_of(score)} in {metric}{asked}."
    if winner.clean is not None:
        yield (
            f"On the test examples that nothing in training resembles {winner.name} scores "
            f"{interval_of(winner.clean)}, on all of them {percent(score.value)}."
        )
    if found.verdict in TUNED and case.forgetting is not None:
        falls = "falls by" if case.forgetting.value > 0 else "does not fall: the drop is"
        yield f"General ability after tuning {falls} {_drop(case.forgetting)}."
    mine = [duel for duel in found.duels if winner in (duel.simpler, duel.dearer)]
    for told, others in strongest(mine, winner, case):
        sentence = _why_not(told, found, case) if told.dearer is winner else _against_dearer(told, case)
        kind = (told.simpler if told.dearer is winner else told.dearer).kind
        did = f"{others} other {kind} contender{'s' if others > 1 else ''} did no better"
        yield f"{sentence.removesuffix('.')}; {did}." if others else sentence
    if winner.setup_seconds or winner.setup_usd:
        yield (
            f"{winner.name} is set up once, before the first request: "
            f"that took {duration(winner.setup_seconds)} and {usd(winner.setup_usd)}."
        )


def strongest(duels: Sequence[Duel], winner: Contender, case: Case) -> list[tuple[Duel, int]]:
    """For each kind that the winner faced, from simple to dear: the duel to tell about, and how many are left out."""
    by_side: dict[tuple[bool, str], list[Duel]] = {}
    for duel in duels:
        is_dearer = duel.simpler is winner
        by_side.setdefault((is_dearer, (duel.dearer if is_dearer else duel.simpler).kind), []).append(duel)
    chosen = []
    for (is_dearer, _), some in by_side.items():
        best = max(some, key=lambda d: d.gain.difference if is_dearer else case.score(d.simpler).value)
        chosen.append((best, len(some) - 1))
    return chosen


def _of_doubt(found: Judgement, best: Contender, case: Case) -> Iterator[str]:
    """What the data cannot separate, and how much more of it would."""
    score, bar = case.score(best), case.bar
    metric = wording(case.evaluation.metric)
    short = [duel for duel in found.doubts if duel.outcome == "short"]
    if best.name in case.undertuned or short:
        yield _of_little_tuning(case)
    if short:
        yield f"Of those that are not tuned {best.name} is the one to take: it scores {interval_of(score)} in {metric}."
    if not is_sure(score, bar):
        yield (
            f"Whether {best.name} reaches {least_wording(bar)} cannot be told: "
            f"it scores {interval_of(score)} in {metric}."
        )
    others = [duel for duel in found.doubts if duel.outcome != "short"]
    for duel in others:
        yield _too_few(duel, case) if duel.outcome == "blind" else _looks_better(duel, case)
    n = len(case.evaluation.examples)
    if best.name in case.undertuned or (not others and is_sure(score, bar)):
        return  # time settles it, not examples
    if found.needed is None:
        yield (
            "No number of test examples that would settle it can be promised: what was measured lies too close to "
            "what you asked for, or too few answers were given."
        )
    else:
        more = max(found.needed - n, 1)
        yield f"About {found.needed:,} test examples would settle it, {more:,} more than the {n:,} now."


def _of_little_tuning(case: Case) -> str:
    """Why a tuned model proves nothing here, and how long it would take to know."""
    assert case.training is not None  # nothing else makes a tuning short
    return (
        "Whether fine-tuning would be better cannot be told: the model was tuned for "
        f"{why_short(case.training)}, and its scores are those of the time limit.{_minutes(case.training)}"
    )


def _minutes(training: TrainingExtent) -> str:
    """` 3 passes need about 12 min (--minutes 12).`, or nothing."""
    told = minutes_told(training)
    return f" {told}." if told else ""


def _of_stop(found: Judgement, case: Case) -> str:
    """Why nothing here should be used. Why each one is out stands in `_of_the_rest`."""
    metric = case.evaluation.metric
    scored = [one for one in found.ladder if metric in one.metrics and case.score(one).n]
    if not scored:
        return "Keep what you have: no contender could be scored."
    answering = [one for one in scored if not fails_too_often(case.score(one))]
    if not answering:
        return (
            "Keep what you have: no contender gave enough answers to be judged by them. Fix what fails and ask again."
        )
    best = max(answering, key=lambda one: case.score(one).value)
    score = case.score(best)
    if score.value <= 0:
        return (
            f"Keep what you have: no contender gets a single one of {score.n:,} test examples right in "
            f"{wording(metric)}."
        )
    return (
        f"Keep what you have: no contender is good enough. The best score is that of {best.name}: "
        f"{interval_of(score)} in {wording(metric)}."
    )


def _of_the_rest(found: Judgement, case: Case) -> Iterator[str]:
    """What is true of every contender: who is out and why, and answers that are missing."""
    metric = case.evaluation.metric
    for contender in found.ladder:
        reason = case.objection(contender)
        if reason is not None:
            yield f"{contender.name} is out: {reason}."
        score = contender.metrics.get(metric)
        if score is not None and score.failed:
            asked = score.n + score.failed
            yield (
                f"{contender.name} has no score for {score.failed:,} of {asked:,} requests (failed, or could not be "
                f"judged); were they all wrong, it would score {percent(score.value * score.n / asked)}."
            )
    if not any(is_tuned(contender) for contender in found.ladder):
        yield "No tuned model was among the contenders."
    elif case.training is not None and not (case.undertuned and found.verdict == "cannot tell"):
        yield f"The tuned model was tuned for {why_short(case.training)}."


def _of_costs(found: Judgement, case: Case) -> Iterator[str]:
    """Time and cost per 1,000 requests of the winner and of the cheapest of each other kind, and a month's cost."""
    unknown = [one for one in found.ladder if one.known_usd_per_1000 is None and one.known_seconds_per_request is None]
    cheapest = {one.kind: one for one in reversed(found.ladder) if one not in unknown}
    if found.winner is not None and found.winner not in unknown:
        cheapest[found.winner.kind] = found.winner
    known = [one for one in found.ladder if one in cheapest.values()]
    if known:
        prices = [one.known_usd_per_1000 or 0.0 for one in known]
        yield f"1,000 requests take and cost: {'; '.join(_taking(one, prices, case) for one in known)}."
    if unknown:
        names = listed([one.name for one in unknown])
        yield f"What {names} costs and how long it takes is not known: only its answers were given."
    machine = case.evaluation.machine
    if machine is not None and machine.was_busy:
        yield f"{wording_of_busy(machine).capitalize()}."
    monthly, winner = case.circumstances.requests_per_month, found.winner
    cost = winner.known_usd_per_1000 if winner is not None else None
    if monthly is not None and winner is not None and cost is not None:
        yield f"{monthly:,.0f} requests a month cost {usd(monthly / 1000 * cost)} with {winner.name}."


def _taking(contender: Contender, prices: Sequence[float], case: Case) -> str:
    """`tuned 42 s, $0.0012`, with what is not known said so."""
    seconds, cost = time_of(contender, case.evaluation), contender.known_usd_per_1000
    time = "a time that is not known" if seconds is None else duration(1000 * seconds)
    return f"{contender.name} {time}, {'a cost that is not known' if cost is None else usd(cost, prices)}"


def _of_circumstances(found: Judgement, case: Case) -> Iterator[str]:
    """What was said and does not contradict the verdict, and once, what nobody said."""
    for leaning in leanings(case.circumstances):
        if found.verdict in leaning.against:
            continue  # a warning says it
        unsettled = [
            duel for duel in found.duels
            if duel.simpler is found.winner and duel.outcome == "open" and VERDICTS[duel.dearer.kind] in leaning.against
        ]  # fmt: skip
        so = ""
        if unsettled:
            names = listed([duel.dearer.name for duel in unsettled])
            so = f", and settles what the data leave open about {names}"
        yield f"You said that {leaning.because}: that speaks for {leaning.speaks_for}{so}."
    missing = not_known(case.circumstances, case.bar)
    if missing:
        yield f"Not known: {', '.join(missing)}; tunesmith init asks."


def _why_not(duel: Duel, found: Judgement, case: Case) -> str:
    """Why the simpler contender of this duel is passed over, by the winner of it or for another reason."""
    simpler, metric, bar = duel.simpler, wording(case.evaluation.metric), case.bar
    its = [one for one in found.duels if one.simpler is simpler]
    beaten_by = next((one for one in (duel, *its) if one.outcome == "beaten"), None)
    if beaten_by is not None:
        who = "It" if beaten_by is duel else beaten_by.dearer.name
        than = f"chance and the {points(bar.min_gain)} that you asked for" if bar.min_gain > 0 else "chance explains"
        return f"{who} beats {simpler.name} by {gained(beaten_by)} in {metric}: more than {than}{_family(beaten_by)}."
    score = case.score(simpler)
    if not is_sure(score, bar):
        return f"{simpler.name} may or may not reach {least_wording(bar)}: {interval_of(score)} in {metric}."
    equal = min((one for one in found.duels if one.dearer is simpler), key=lambda d: d.gain.difference, default=None)
    if equal is not None and equal.gain.difference <= 0:
        return f"{simpler.name} is no better than {equal.simpler.name}, which is simpler: {gained(equal)} in {metric}."
    doubt = next(one for one in its if one.is_between_verdicts and one.outcome in ("open", "short", "blind"))
    return (
        f"{simpler.name} may be as good, but {doubt.dearer.name} scores more than it by {gained(doubt)} in {metric}; "
        f"against {duel.dearer.name} that question falls away."
    )


def _against_dearer(duel: Duel, case: Case) -> str:
    name, gain = duel.dearer.name, duel.gain
    metric, worthwhile = wording(case.evaluation.metric), worthwhile_gain(case.bar)
    is_same = duel.simpler.kind == duel.dearer.kind and cost_step(duel.simpler) == cost_step(duel.dearer)
    if duel.outcome == "short":
        return f"{name} was tuned too little to be compared: {gained(duel)} in {metric} after so short a tuning."
    elaborate = "about as elaborate" if is_same else f"more elaborate ({NEEDS[duel.dearer.kind]})"
    if gain.high < 0:
        return f"{name} is {elaborate} and worse: {gained(duel)} in {metric}."
    if gain.high < worthwhile:
        return (
            f"{name} is {elaborate} and brings {gained(duel)} in {metric}: "
            f"a gain of {points(worthwhile)} or more is excluded."
        )
    if gain.low > 0 and duel.luck > ALPHA and gain.low > case.bar.min_gain:
        return (
            f"{name} is {elaborate} and scores more by {gained(duel)} in {metric}, but the best of {duel.rivals} more "
            f"elaborate contenders does so by chance more than one time in twenty ({luck(duel.luck)} by Holm)"
            f"{_more(duel)}."
        )
    if gain.low > 0:
        return (
            f"{name} is {elaborate} and better, but not shown to be better by the {points(worthwhile)} that you asked "
            f"for: {gained(duel)} in {metric}."
        )
    if duel.outcome == "blind":
        return _too_few(duel, case)
    if duel.outcome == "open" or gain.difference > worthwhile:
        return f"{name} scores more by {gained(duel)} in {metric}, which may be chance{_family(duel)}{_more(duel)}."
    return f"{name} is {elaborate} and not shown to be better: {gained(duel)} in {metric}{_more(duel)}."


def _looks_better(duel: Duel, case: Case) -> str:
    doubt = f"which may be chance{_family(duel)}"
    if case.bar.min_gain > 0:
        doubt = f"but is not shown to be better by the {points(case.bar.min_gain)} that you asked for"
    metric = wording(case.evaluation.metric)
    return f"{duel.dearer.name} scores more than {duel.simpler.name} by {gained(duel)} in {metric}, {doubt}."


def _too_few(duel: Duel, case: Case) -> str:
    n = f"{duel.gain.n:,} test {'example is' if duel.gain.n == 1 else 'examples are'}"
    return (
        f"{n} too few to compare {duel.dearer.name} with {duel.simpler.name}: "
        f"{gained(duel)} in {wording(case.evaluation.metric)}."
    )


def _family(duel: Duel) -> str:
    return f" ({luck(duel.luck)} by Holm over {duel.rivals} comparisons)" if duel.rivals > 1 else ""


def _more(duel: Duel) -> str:
    return f"; about {duel.needed_n:,} test examples would be needed to tell" if duel.needed_n else ""


def _drop(drop: Quantity) -> str:
    """`3.1 points (95 % interval 0.2 to 6.0, n = 200)`."""
    span = f"95 % interval {hundredths(drop.low)} to {hundredths(drop.high)}"
    return f"{points(drop.value)} ({span}, n = {drop.n:,})"
