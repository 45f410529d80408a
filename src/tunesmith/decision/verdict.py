"""The rules of the verdict: keep what you have, prompt, retrieve or fine-tune?

The winner is the simplest contender that reaches the user's bar and is not beaten beyond noise by a dearer one. Simple
to dear: outside (a system the user has today: keeping it costs no work), zero-shot, few-shot, rag, tuned, tuned+rag;
several of one kind stand by their running cost where it differs by more than measuring does (`compute_cost_bucket`).
Nothing here
draws a random number: the same evaluation under the same bar and circumstances always gives the same decision.

**Who may win.** m = `min_score`, or `DEFAULT_MIN_SCORE` where the user named none; the score stands in its 95 %
interval
[low, high]. Whose interval reaches m only in part may win after more test examples, so it is not out yet.

| the contender                                               | standing                                      |
|-------------------------------------------------------------|-----------------------------------------------|
| has no score, gave no answer to more than `MAX_FAILURE_RATE` of  | out: it neither wins nor beats anybody        |
| the requests, costs more or takes longer than asked, sends  |                                               |
| data where they may not go                                  |                                               |
| high < m                                                    | out; where it was tuned too little: unsure    |
| low < m <= high                                             | unsure: may beat others, but cannot win       |
| m <= low                                                    | sure                                          |

**A dearer against a simpler one.** D in [L, H] is the paired difference dearer - simpler with its 95 % interval,
g = `min_gain`, w = the smallest gain worth waiting for: g, or `MIN_RELEVANT_GAIN` where the user named none; p is the
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
| else H > w and too coarse  | blind   | too few examples (see `is_underpowered`) to show even a large gain: who   |
|                            |         | stays simple here would do so for want of evidence                           |
| else                       | held    | not shown to be worth it; where H < w a gain worth having is even excluded   |

*Tuned too little*: for less than one pass over the train examples, or ended while its loss still fell steeply
(`records/training_length.py`, `extent.py`, docs/decisions/110). A gain of w is possible where the simpler
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

from tunesmith.decision.clean_subset import exclude_contaminated
from tunesmith.decision.context_preferences import EMPTY_CONTEXT, find_disfavored_verdicts
from tunesmith.decision.counterfactuals import find_decisive_answers
from tunesmith.decision.explanations import explain_verdict, list_warnings
from tunesmith.decision.pair_table import build_pair_table
from tunesmith.decision.pairwise_comparison import (
    PairwiseComparison,
    compare_all_pairs,
    estimate_required_examples,
)
from tunesmith.decision.requirements import MIN_TEST_EXAMPLES, get_min_score, has_proven_min_score
from tunesmith.decision.rule_result import RuleResult, VerdictInput
from tunesmith.decision.simplicity import compute_simplicity_key
from tunesmith.decision.summary import find_reference_gain, list_summary_contenders, summarize_verdict
from tunesmith.records import (
    Contender,
    Decision,
    Evaluation,
    Quantity,
    Requirements,
    TrainingLength,
    UsageContext,
    Verdict,
)


def decide(
    evaluation: Evaluation,
    requirements: Requirements,
    usage_context: UsageContext = EMPTY_CONTEXT,
    forgetting: Quantity | None = None,
    training: TrainingLength | None = None,
) -> Decision:
    """The verdict with its reasons and warnings. `forgetting` is general ability before tuning less that after it,
    `training` how much the tuned model was tuned.

    Errors: as `judge`.
    """
    case = VerdictInput(evaluation, requirements, usage_context, forgetting, training)
    found = apply_rules(case)
    clean = exclude_contaminated(evaluation)
    on_clean = apply_rules(replace(case, evaluation=clean)) if clean else None
    return Decision(
        verdict=found.verdict,
        winner=found.winner.name if found.winner else None,
        metric=evaluation.metric,
        bar=requirements,
        reasons=tuple(explain_verdict(found, case, find_decisive_answers(found, case, apply_rules))),
        needed_test_examples=found.required_n,
        evaluation=evaluation.fingerprint,
        circumstances=usage_context,
        forgetting=forgetting,
        training=training,
        warnings=tuple(list_warnings(found, on_clean, case)),
        summary=summarize_verdict(found, case),
        beside=list_summary_contenders(evaluation, found.winner),
        gain=find_reference_gain(evaluation, found.winner.name) if found.winner else None,
        pairs=build_pair_table(evaluation),
    )


def apply_rules(inputs: VerdictInput) -> RuleResult:
    """The rules above.

    Errors: `RecordError` when a contender is of an unknown kind, or two contenders were not compared.
    """
    evaluation, bar = inputs.evaluation, inputs.requirements
    ladder = tuple(sorted(evaluation.contenders, key=compute_simplicity_key))
    pool = [one for one in ladder if inputs.find_disqualification(one) is None]
    duels = tuple(compare_all_pairs(evaluation, pool, bar, inputs.undertuned))
    judged = [one for one in pool if one.name not in inputs.undertuned]
    if judged == pool and all(
        inputs.get_score(one).value <= 0 and inputs.get_score(one).n >= MIN_TEST_EXAMPLES for one in pool
    ):
        return RuleResult("stop", ladder, duels)
    standing = find_undominated(pool, duels)
    verdict = standing[0].traits.verdict
    same = [one for one in standing if one.traits.verdict == verdict]
    doubts = {
        one.name: find_open_comparisons(one, duels, find_disfavored_verdicts(inputs.usage_context)) for one in same
    }
    sure = [one for one in same if has_proven_min_score(inputs.get_score(one), bar)]
    best = next((one for one in sure if not doubts[one.name]), None)
    if best is None:
        best = (sure or same)[0]
        needed = (
            None
            if best.name in inputs.undertuned
            else estimate_examples_to_decide(inputs.get_score(best), doubts[best.name], bar)
        )
        return RuleResult("cannot tell", ladder, duels, best, doubts[best.name], needed)
    if inputs.get_score(best).value <= 0:
        return RuleResult("stop", ladder, duels)
    return RuleResult(verdict, ladder, duels, best)


def find_beaten(comparisons: Sequence[PairwiseComparison]) -> set[str]:
    """The names of those that a dearer contender beats."""
    return {duel.simpler.name for duel in comparisons if duel.outcome == "beaten"}


def find_undominated(pool: Sequence[Contender], comparisons: Sequence[PairwiseComparison]) -> list[Contender]:
    """The contenders that no dearer one beats and no simpler one equals, simplest first.

    The dearest is never beaten. Where answers failed, paired differences may contradict each other so that everybody
    else is equalled by somebody: then whoever is unbeaten stands.
    """
    beaten = find_beaten(comparisons)
    equalled = {duel.costlier.name for duel in comparisons if duel.gain.difference <= 0}
    unbeaten = [contender for contender in pool if contender.name not in beaten]
    return [contender for contender in unbeaten if contender.name not in equalled] or unbeaten


def find_open_comparisons(
    contender: Contender, comparisons: Sequence[PairwiseComparison], disfavoured: frozenset[Verdict]
) -> tuple[PairwiseComparison, ...]:
    """The duels that keep this contender from winning: open, short or blind, against an unbeaten one of another
    verdict.

    A blind duel counts even where the dearer one scored no higher, and whatever the circumstances: without evidence
    there is nothing that they could settle.
    """
    beaten = find_beaten(comparisons)
    return tuple(
        duel for duel in comparisons
        if duel.simpler is contender and duel.is_between_verdicts and duel.costlier.name not in beaten
        and (duel.outcome == "blind"
             or (duel.outcome in ("open", "short") and duel.costlier.traits.verdict not in disfavoured))
    )  # fmt: skip


def estimate_examples_to_decide(
    score: Quantity, open_comparisons: Sequence[PairwiseComparison], requirements: Requirements
) -> int | None:
    """The test examples at which every open question would be settled that examples can settle; None where one of them
    has no answer, or there is none."""
    needed = [duel.required_n for duel in open_comparisons if duel.outcome != "short"]
    if not has_proven_min_score(score, requirements):
        needed.append(
            estimate_required_examples(score.value - get_min_score(requirements), score.low, score.high, score.n)
        )
    known = [count for count in needed if count is not None]
    return max(known) if known and len(known) == len(needed) else None
