"""The rules of the verdict: keep what you have, prompt, retrieve or fine-tune?

The winner is the simplest contender that reaches the user's bar and is not beaten beyond noise by a dearer one. Simple
to dear: outside (a system the user has today: keeping it costs no work), zero-shot, few-shot, rag, tuned, tuned+rag;
several of one kind stand by their running cost where it differs by more than measuring does (`cost_step`). Nothing here
draws a random number: the same evaluation under the same bar and circumstances always gives the same decision.

**Who may win.** m = `min_score`, or `LEAST_SCORE` where the user named none; the score stands in its 95 % interval
[low, high]. Whose interval reaches m only in part may win after more test examples, so it is not out yet.

| the contender                                               | standing                                      |
|-------------------------------------------------------------|-----------------------------------------------|
| has no score, gave no answer to more than `MOST_FAILED` of  | out: it neither wins nor beats anybody        |
| the requests, costs more or takes longer than asked, sends  |                                               |
| data where they may not go                                  |                                               |
| high < m                                                    | out; where it was tuned too little: unsure    |
| low < m <= high                                             | unsure: may beat others, but cannot win       |
| m <= low                                                    | sure                                          |

**A dearer against a simpler one.** D in [L, H] is the paired difference dearer - simpler with its 95 % interval,
g = `min_gain`, w = the smallest gain worth waiting for: g, or `WORTHWHILE_GAIN` where the user named none; p is the
chance of such a gain over g by luck, corrected for all contenders of dearer verdicts that try to beat the same simpler
one (`duel.py` says why just these).

| the difference             | outcome | why                                                                          |
|----------------------------|---------|------------------------------------------------------------------------------|
| L > g and p <= 5 %         | beaten  | the gain is more than noise: the simpler one is passed over                  |
| else the dearer one was    | short   | its score is that of the time limit: who stays simple here would do so for   |
| tuned too little, the      |         | want of tuning                                                               |
| simpler one is not tuned,  |         |                                                                              |
| and w more are possible    |         |                                                                              |
| else D > w and p <= 15 %   | open    | it looks worth its price, and may be noise                                   |
| else H > w and too coarse  | blind   | too few examples (see `is_too_coarse`) to show even a large gain: who stays  |
|                            |         | simple here would do so for want of evidence                                 |
| else                       | held    | not shown to be worth it; where H < w a gain worth having is even excluded   |

*Tuned too little*: for less than one pass over the train examples, or ended while its loss still fell steeply
(`records/extent.py`, `extent.py`, docs/decisions/110). A gain of w is possible where the simpler
one scores below 1 - w.

**The verdict.** A contender *stands* when it is in, no dearer one beats it, and no simpler one scored as high (nobody
pays more for less). It is *in doubt* when its duel with a dearer contender that nobody beats is blind, or open or short
and no circumstance leans against the dearer verdict (`circumstances.py`); only duels between different verdicts count.
The verdict is that of the simplest contender that stands, and the winner the simplest of this verdict that stands, is
sure and is not in doubt: noise between two prompts stops nothing. Read from the top; the first row that fits.

| what stands                                                                       | verdict                         |
|-----------------------------------------------------------------------------------|---------------------------------|
| nobody is in, or nobody that is in gets anything right of `LEAST_EXAMPLES` or more | `stop`                          |
| and none of them was tuned too little                                             |                                 |
| all that stand for this verdict are unsure or in doubt                            | `cannot tell`                   |
| the winner gets nothing right                                                     | `stop`                          |
| the winner is outside                                                             | `stop`: keep what you have      |
| the winner is zero-shot or few-shot                                               | `prompt`                        |
| the winner is rag / tuned / tuned+rag                                             | `rag`/`fine-tune`/              |
|                                                                                   | `fine-tune+rag`                 |

However many useless contenders try, a simpler one that is good enough is replaced in at most 2.5 % of evaluations, and
held up or replaced in at most 7.5 %, unless the examples are too few.
"""

from collections.abc import Sequence
from dataclasses import replace

from tunesmith.decision.bar import LEAST_EXAMPLES, is_sure, least_score
from tunesmith.decision.circumstances import NOTHING_SAID, disfavoured
from tunesmith.decision.duel import VERDICTS, Duel, all_duels, examples_needed
from tunesmith.decision.judgement import Case, Judgement
from tunesmith.decision.leaks import without_leaks
from tunesmith.decision.pairs import pairs_of
from tunesmith.decision.reasons import reasons_of, warnings_of
from tunesmith.decision.settling import settling_answers
from tunesmith.decision.simplicity import simplicity
from tunesmith.decision.summary import beside, gain_of, summary_of
from tunesmith.records import Bar, Circumstances, Contender, Decision, Evaluation, Quantity, TrainingExtent, Verdict


def decide(
    evaluation: Evaluation,
    bar: Bar,
    circumstances: Circumstances = NOTHING_SAID,
    forgetting: Quantity | None = None,
    training: TrainingExtent | None = None,
) -> Decision:
    """The verdict with its reasons and warnings. `forgetting` is general ability before tuning less that after it,
    `training` how much the tuned model was tuned.

    Errors: as `judge`.
    """
    case = Case(evaluation, bar, circumstances, forgetting, training)
    found = judge(case)
    clean = without_leaks(evaluation)
    on_clean = judge(replace(case, evaluation=clean)) if clean else None
    return Decision(
        verdict=found.verdict,
        winner=found.winner.name if found.winner else None,
        metric=evaluation.metric,
        bar=bar,
        reasons=tuple(reasons_of(found, case, settling_answers(found, case, judge))),
        needed_test_examples=found.needed,
        evaluation=evaluation.fingerprint,
        circumstances=circumstances,
        forgetting=forgetting,
        training=training,
        warnings=tuple(warnings_of(found, on_clean, case)),
        summary=summary_of(found, case),
        beside=beside(evaluation, found.winner),
        gain=gain_of(evaluation, found.winner.name) if found.winner else None,
        pairs=pairs_of(evaluation),
    )


def judge(case: Case) -> Judgement:
    """The rules above.

    Errors: `RecordError` when a contender is of an unknown kind, or two contenders were not compared.
    """
    evaluation, bar = case.evaluation, case.bar
    ladder = tuple(sorted(evaluation.contenders, key=simplicity))
    pool = [one for one in ladder if case.objection(one) is None]
    duels = tuple(all_duels(evaluation, pool, bar, case.undertuned))
    judged = [one for one in pool if one.name not in case.undertuned]
    if judged == pool and all(case.score(one).value <= 0 and case.score(one).n >= LEAST_EXAMPLES for one in pool):
        return Judgement("stop", ladder, duels)
    standing = who_stands(pool, duels)
    verdict = VERDICTS[standing[0].kind]
    same = [one for one in standing if VERDICTS[one.kind] == verdict]
    doubts = {one.name: doubts_about(one, duels, disfavoured(case.circumstances)) for one in same}
    sure = [one for one in same if is_sure(case.score(one), bar)]
    best = next((one for one in sure if not doubts[one.name]), None)
    if best is None:
        best = (sure or same)[0]
        needed = None if best.name in case.undertuned else examples_to_settle(case.score(best), doubts[best.name], bar)
        return Judgement("cannot tell", ladder, duels, best, doubts[best.name], needed)
    if case.score(best).value <= 0:
        return Judgement("stop", ladder, duels)
    return Judgement(verdict, ladder, duels, best)


def beaten_ones(duels: Sequence[Duel]) -> set[str]:
    """The names of those that a dearer contender beats."""
    return {duel.simpler.name for duel in duels if duel.outcome == "beaten"}


def who_stands(pool: Sequence[Contender], duels: Sequence[Duel]) -> list[Contender]:
    """The contenders that no dearer one beats and no simpler one equals, simplest first.

    The dearest is never beaten. Where answers failed, paired differences may contradict each other so that everybody
    else is equalled by somebody: then whoever is unbeaten stands.
    """
    beaten = beaten_ones(duels)
    equalled = {duel.dearer.name for duel in duels if duel.gain.difference <= 0}
    unbeaten = [contender for contender in pool if contender.name not in beaten]
    return [contender for contender in unbeaten if contender.name not in equalled] or unbeaten


def doubts_about(contender: Contender, duels: Sequence[Duel], disfavoured: frozenset[Verdict]) -> tuple[Duel, ...]:
    """The duels that keep this contender from winning: open, short or blind, against an unbeaten one of another
    verdict.

    A blind duel counts even where the dearer one scored no higher, and whatever the circumstances: without evidence
    there is nothing that they could settle.
    """
    beaten = beaten_ones(duels)
    return tuple(
        duel for duel in duels
        if duel.simpler is contender and duel.is_between_verdicts and duel.dearer.name not in beaten
        and (duel.outcome == "blind"
             or (duel.outcome in ("open", "short") and VERDICTS[duel.dearer.kind] not in disfavoured))
    )  # fmt: skip


def examples_to_settle(score: Quantity, doubts: Sequence[Duel], bar: Bar) -> int | None:
    """The test examples at which every open question would be settled that examples can settle; None where one of them
    has no answer, or there is none."""
    needed = [duel.needed_n for duel in doubts if duel.outcome != "short"]
    if not is_sure(score, bar):
        needed.append(examples_needed(score.value - least_score(bar), score.low, score.high, score.n))
    known = [count for count in needed if count is not None]
    return max(known) if known and len(known) == len(needed) else None
