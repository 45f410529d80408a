"""The rules of the verdict: prompt, retrieve or fine-tune?

The winner is the simplest contender that reaches the user's bar and is not beaten beyond noise by a dearer one. Simple
to dear: zero-shot, few-shot, rag, tuned, tuned+rag; several of one kind stand by their running cost. Nothing here
draws a random number: the same evaluation always gives the same decision.

**Who may win.** m = `min_score`, or `LEAST_SCORE` where the user named none; the score stands in its 95 % interval
[low, high]. Whose interval reaches m only in part may win after more test examples, so it is not out yet.

| the contender                                          | standing                                      |
|--------------------------------------------------------|-----------------------------------------------|
| has no score, or costs more or takes longer than asked | out: it neither wins nor beats anybody        |
| high < m                                               | out                                           |
| low < m <= high                                        | unsure: may beat others, but cannot win       |
| m <= low                                               | sure                                          |

**A dearer against a simpler one.** D in [L, H] is the paired difference dearer - simpler with its 95 % interval,
g = `min_gain`, w = the smallest gain worth waiting for: g, or `WORTHWHILE_GAIN` where the user named none.

| the difference    | outcome | why                                                                           |
|-------------------|---------|-------------------------------------------------------------------------------|
| L > g             | beaten  | the gain is more than noise: the simpler one is passed over                   |
| L <= g, D > w     | open    | it looks worth its price, and may be noise                                    |
| L <= g, D <= w, H | blind   | too few examples (see `is_too_coarse`) to show even a large gain: who stays   |
| > w, too coarse   |         | simple here would do so for want of evidence                                  |
| L <= g, D <= w    | held    | not shown to be worth it; where H < w a gain worth having is even excluded    |

**The verdict.** A contender *stands* when it is in, no dearer one beats it, and no simpler one scored as high (nobody
pays more for less). Read from the top; the first row that fits gives the verdict.

| what stands                                                      | verdict                           |
|------------------------------------------------------------------|-----------------------------------|
| nobody is in, or nobody that is in gets anything right of enough | `stop`                            |
| (`LEAST_EXAMPLES`) examples                                      |                                   |
| the simplest is open against another that stands, or blind       | `cannot tell`                     |
| against another that is unbeaten, and the two are different      |                                   |
| verdicts                                                         |                                   |
| the simplest is unsure                                           | `cannot tell`                     |
| the simplest gets nothing right                                  | `stop`                            |
| the simplest is zero-shot or few-shot                            | `prompt`                          |
| the simplest is rag / tuned / tuned+rag                          | `rag`/`fine-tune`/`fine-tune+rag` |

"The simplest" skips an unsure one for a sure one of the same verdict: when zero-shot is unsure and few-shot is sure,
the answer is `prompt` either way. For the same reason a difference between these two that may be noise stops nothing.

A dearer contender wins only by L > g: against any one simpler one, a useless one does so once in forty evaluations.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations

from tunesmith.decision import reasons
from tunesmith.decision.bar import LEAST_EXAMPLES, is_sure, least_score, objection, worthwhile_gain
from tunesmith.decision.duel import Duel, Outcome, examples_needed, is_too_coarse, paired_gain
from tunesmith.errors import RecordError
from tunesmith.records import Bar, Comparison, Contender, Decision, Evaluation, Quantity, Verdict

VERDICTS: Mapping[str, Verdict] = {
    "zero-shot": "prompt",
    "few-shot": "prompt",
    "rag": "rag",
    "tuned": "fine-tune",
    "tuned+rag": "fine-tune+rag",
}
"""The kinds of contenders, simple to dear, and the verdict that each stands for."""


def decide(evaluation: Evaluation, bar: Bar) -> Decision:
    """The verdict of this evaluation under this bar, by the rules above.

    Errors: `RecordError` when a contender is of an unknown kind, or two contenders were not compared.
    """
    ladder = sorted(evaluation.contenders, key=simplicity)
    pool = [contender for contender in ladder if objection(contender, evaluation.metric, bar) is None]
    duels = [fight(evaluation, simpler, dearer, bar) for simpler, dearer in combinations(pool, 2)]

    def decided(
        verdict: Verdict, told: Sequence[str], winner: str | None = None, needed: int | None = None
    ) -> Decision:
        told = (*told, *reasons.of_the_rest(ladder, evaluation, bar))
        return Decision(
            verdict=verdict, winner=winner, metric=evaluation.metric, bar=bar, reasons=told,
            needed_test_examples=needed, evaluation=evaluation.fingerprint,
        )  # fmt: skip

    scores = [score_of(contender, evaluation) for contender in pool]
    if all(score.value <= 0 and score.n >= LEAST_EXAMPLES for score in scores):
        return decided("stop", reasons.of_stop(ladder, evaluation))
    standing = who_stands(pool, duels)
    verdict = VERDICTS[standing[0].kind]
    same = [contender for contender in standing if VERDICTS[contender.kind] == verdict]
    simplest = next((contender for contender in same if is_sure(score_of(contender, evaluation), bar)), same[0])
    undecided = undecided_of(simplest, duels, standing)
    if undecided or not is_sure(score_of(simplest, evaluation), bar):
        needed = examples_to_settle(score_of(simplest, evaluation), undecided, bar)
        return decided("cannot tell", reasons.of_doubt(simplest, undecided, needed, evaluation, bar), needed=needed)
    if score_of(simplest, evaluation).value <= 0:
        return decided("stop", reasons.of_stop(ladder, evaluation))
    told = reasons.of_winner(simplest, verdict, duels, evaluation, bar)
    return decided(verdict, told, winner=simplest.name)


def simplicity(contender: Contender) -> tuple[int, float, str]:
    """The sort key of the ladder from simple to dear."""
    kinds = list(VERDICTS)
    if contender.kind not in kinds:
        raise RecordError(
            "unknown-kind", "The rules of the verdict do not know this kind of contender.",
            where=contender.name, found=contender.kind, do=f"use one of {', '.join(kinds)}",
        )  # fmt: skip
    return kinds.index(contender.kind), contender.usd_per_1000, contender.name


def score_of(contender: Contender, evaluation: Evaluation) -> Quantity:
    """The contender's score on the deciding metric."""
    return contender.metrics[evaluation.metric]


def fight(evaluation: Evaluation, simpler: Contender, dearer: Contender, bar: Bar) -> Duel:
    """The dearer contender against the simpler one, by the second table."""
    gain = paired_gain(evaluation, dearer.name, simpler.name)
    outcome: Outcome = "held"
    if gain.low > bar.min_gain:
        outcome = "beaten"
    elif gain.difference > worthwhile_gain(bar):
        outcome = "open"
    elif gain.high > worthwhile_gain(bar) and is_too_coarse(gain):
        outcome = "blind"
    may_be_more = outcome != "beaten" and gain.difference > bar.min_gain
    if outcome == "blind":
        return Duel(simpler, dearer, gain, outcome, needed_to_see(gain, bar))
    return Duel(simpler, dearer, gain, outcome, needed_for(gain, bar) if may_be_more else None)


def undecided_of(simplest: Contender, duels: Sequence[Duel], standing: Sequence[Contender]) -> list[Duel]:
    """The duels of the simplest that forbid a verdict: open or blind, against a contender of another verdict.

    A blind duel counts even where the dearer one scored no higher: that may be chance too.
    """
    beaten = {duel.simpler.name for duel in duels if duel.outcome == "beaten"}
    return [
        duel for duel in duels
        if duel.simpler is simplest and VERDICTS[duel.dearer.kind] != VERDICTS[simplest.kind]
        and ((duel.outcome == "open" and duel.dearer in standing)
             or (duel.outcome == "blind" and duel.dearer.name not in beaten))
    ]  # fmt: skip


def needed_for(gain: Comparison, bar: Bar) -> int | None:
    """The test examples at which this gain would be told from `min_gain`: what the comparison says, where that is 0."""
    if bar.min_gain == 0 and gain.needed_n is not None:
        return max(gain.needed_n, gain.n + 1)
    return examples_needed(gain.difference - bar.min_gain, gain.low, gain.high, gain.n)


def needed_to_see(gain: Comparison, bar: Bar) -> int | None:
    """The test examples at which a gain worth waiting for would be told from what was measured, or from none."""
    needed = examples_needed(worthwhile_gain(bar) - min(gain.difference, 0.0), gain.low, gain.high, gain.n)
    return needed and max(needed, LEAST_EXAMPLES)


def who_stands(pool: Sequence[Contender], duels: Sequence[Duel]) -> list[Contender]:
    """The contenders that no dearer one beats and no simpler one equals, simplest first.

    The dearest is never beaten. Where answers failed, paired differences may contradict each other so that everybody
    else is equalled by somebody: then whoever is unbeaten stands.
    """
    beaten = {duel.simpler.name for duel in duels if duel.outcome == "beaten"}
    equalled = {duel.dearer.name for duel in duels if duel.gain.difference <= 0}
    unbeaten = [contender for contender in pool if contender.name not in beaten]
    return [contender for contender in unbeaten if contender.name not in equalled] or unbeaten


def examples_to_settle(score: Quantity, undecided: Sequence[Duel], bar: Bar) -> int | None:
    """The test examples at which every open question would be settled; None where one of them has no answer."""
    needed = [duel.needed_n for duel in undecided]
    if not is_sure(score, bar):
        needed.append(examples_needed(score.value - least_score(bar), score.low, score.high, score.n))
    known = [count for count in needed if count is not None]
    return max(known) if len(known) == len(needed) else None
