"""The rules of the verdict: keep what you have, prompt, retrieve or fine-tune?

The winner is the simplest contender that meets the user's requirements and is not significantly
beaten by a costlier one. From simple to costly: outside (a system the user has today: keeping it
takes no work), zero-shot, few-shot, rag, tuned, tuned+rag; contenders of one kind are ordered by
their running cost where it differs by more than the measurement error (`compute_cost_bucket`). No
rule draws a random number: the same evaluation, requirements and usage context always give the same
decision.

**Eligibility.** m = `min_score`, or `DEFAULT_MIN_SCORE` if the user set none; the score has the 95
% interval [low, high]. A contender whose interval contains m may win after more test examples, so
it is not disqualified yet.

| the contender                                    | status                                        |
|--------------------------------------------------|-----------------------------------------------|
| has no score, gave no answer to more than        | disqualified: it neither wins nor beats       |
| `MAX_FAILURE_RATE` of the requests, costs more   | another contender                             |
| or takes longer than required, sends data where  |                                               |
| they may not go                                  |                                               |
| high < m                                         | disqualified; if it is undertuned: unproven   |
| low < m <= high                                  | unproven: may beat others, but cannot win     |
| m <= low                                         | proven                                        |

**A costlier contender against a simpler one.** D in [L, H] is the paired difference costlier -
simpler with its 95 % interval, g = `min_gain`, w = the smallest gain worth waiting for: g, or
`MIN_RELEVANT_GAIN` if the user set none; p is the p-value of a gain over g, corrected for all
contenders of costlier verdicts that compete with the same simpler one (`costlier_comparison.py`
explains the family).

| the difference               | outcome | why                                                     |
|------------------------------|---------|---------------------------------------------------------|
| L > g and p <= 5 %           | beaten  | the gain is significant: the simpler one is rejected    |
| else the costlier one is     | short   | its score is that of the time limit: staying simple     |
| undertuned, the simpler one  |         | would only follow from too little tuning                |
| is not tuned, and w more are |         |                                                         |
| possible                     |         |                                                         |
| else D > w and p <= 15 %     | open    | it may be worth its price, and may be noise             |
| else H > w and underpowered  | blind   | too few examples (see `is_underpowered`) to show even a |
|                              |         | large gain: staying simple would only follow from       |
|                              |         | missing evidence                                        |
| else                         | held    | not shown to be worth it; if H < w a relevant gain is   |
|                              |         | even excluded                                           |

*Undertuned*: less than one pass over the training examples, or ended while the loss was still
falling steeply (`records/training_length.py`, `undertraining.py`, docs/decisions/110). A gain of w
is possible if the simpler one scores below 1 - w.

**The verdict.** A contender is *undominated* if it is eligible, no costlier one beats it, and no
simpler one scored as high (no one pays more for less). It is *in doubt* if its comparison with an
unbeaten costlier contender is blind, or open or short with no preference against the costlier
verdict (`context_preferences.py`); only comparisons between different verdicts count. The verdict
is that of the simplest undominated contender, and the winner is the simplest undominated one of
this verdict that is proven and not in doubt: noise between two prompts blocks nothing. The first
row that applies:

| case                                                             | verdict                    |
|------------------------------------------------------------------|----------------------------|
| no contender is eligible, or no eligible one is undertuned and   | `stop`                     |
| none gets anything right on `MIN_TEST_EXAMPLES` or more          |                            |
| all undominated contenders of this verdict are unproven or in    | `cannot tell`              |
| doubt                                                            |                            |
| the winner gets nothing right                                    | `stop`                     |
| the winner is outside                                            | `stop`: keep what you have |
| the winner is zero-shot or few-shot                              | `prompt`                   |
| the winner is rag / tuned / tuned+rag                            | `rag`/`fine-tune`/         |
|                                                                  | `fine-tune+rag`            |

However many useless contenders compete, a simpler one that is good enough is replaced in at most
2.5 % of evaluations, and blocked or replaced in at most 7.5 %, unless the examples are too few.
"""

from collections.abc import Sequence
from dataclasses import replace

from tunesmith.decision.clean_evaluation import approximate_clean_evaluation
from tunesmith.decision.context_preferences import EMPTY_CONTEXT, find_disfavored_verdicts
from tunesmith.decision.costlier_comparison import (
    CostlierComparison,
    build_pair_table,
    compare_all_pairs,
    compute_simplicity_key,
    estimate_required_examples,
)
from tunesmith.decision.counterfactuals import find_decisive_answers
from tunesmith.decision.explanations import explain_verdict, list_warnings
from tunesmith.decision.requirements import MIN_TEST_EXAMPLES, get_min_score, has_proven_min_score
from tunesmith.decision.rule_result import RuleResult, VerdictInput
from tunesmith.decision.verdict_summary import (
    find_reference_gain,
    list_summary_contenders,
    summarize_verdict,
)
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
    """The verdict with its reasons and warnings.

    `forgetting` is general ability before tuning minus that after it, `training` how much the model
    was tuned.

    Errors: as `apply_rules`.
    """
    case = VerdictInput(evaluation, requirements, usage_context, forgetting, training)
    result = apply_rules(case)
    clean = approximate_clean_evaluation(evaluation)
    on_clean = apply_rules(replace(case, evaluation=clean)) if clean else None
    return Decision(
        verdict=result.verdict,
        winner=result.winner.name if result.winner else None,
        metric=evaluation.metric,
        requirements=requirements,
        reasons=tuple(
            explain_verdict(result, case, find_decisive_answers(result, case, apply_rules))
        ),
        required_test_examples=result.required_n,
        evaluation=evaluation.fingerprint,
        usage_context=usage_context,
        forgetting=forgetting,
        training_length=training,
        warnings=tuple(list_warnings(result, on_clean, case)),
        summary=summarize_verdict(result, case),
        key_contenders=list_summary_contenders(evaluation, result.winner),
        gain=find_reference_gain(evaluation, result.winner.name) if result.winner else None,
        pairs=build_pair_table(evaluation),
    )


def apply_rules(inputs: VerdictInput) -> RuleResult:
    """Apply the rules of this module.

    Errors: `RecordError` if a contender is of an unknown kind or two contenders were not compared.
    """
    evaluation, bar = inputs.evaluation, inputs.requirements
    ladder = tuple(sorted(evaluation.contenders, key=compute_simplicity_key))
    pool = [one for one in ladder if inputs.find_disqualification(one) is None]
    comparisons = tuple(compare_all_pairs(evaluation, pool, bar, inputs.undertuned))
    judged = [one for one in pool if one.name not in inputs.undertuned]
    # Also true for an empty pool: no contender is eligible.
    if judged == pool and all(
        inputs.get_score(one).value <= 0 and inputs.get_score(one).n >= MIN_TEST_EXAMPLES
        for one in pool
    ):
        return RuleResult("stop", ladder, comparisons)
    undominated = find_undominated(pool, comparisons)
    verdict = undominated[0].traits.verdict
    candidates = [one for one in undominated if one.traits.verdict == verdict]
    doubts = {
        one.name: find_open_comparisons(
            one, comparisons, find_disfavored_verdicts(inputs.usage_context)
        )
        for one in candidates
    }
    proven = [one for one in candidates if has_proven_min_score(inputs.get_score(one), bar)]
    best = next((one for one in proven if not doubts[one.name]), None)
    if best is None:
        # The verdict is open: report the simplest proven contender, or else the simplest of all.
        best = (proven or candidates)[0]
        needed = (
            None
            if best.name in inputs.undertuned
            else estimate_examples_to_decide(inputs.get_score(best), doubts[best.name], bar)
        )
        return RuleResult("cannot tell", ladder, comparisons, best, doubts[best.name], needed)
    if inputs.get_score(best).value <= 0:
        return RuleResult("stop", ladder, comparisons)
    return RuleResult(verdict, ladder, comparisons, best)


def find_beaten(comparisons: Sequence[CostlierComparison]) -> set[str]:
    """Names of the contenders that a costlier one beats."""
    return {comparison.simpler.name for comparison in comparisons if comparison.outcome == "beaten"}


def find_undominated(
    pool: Sequence[Contender], comparisons: Sequence[CostlierComparison]
) -> list[Contender]:
    """The contenders that no costlier one beats and no simpler one equals, simplest first.

    The costliest is never beaten. If answers failed, paired differences may contradict each other
    so that every unbeaten contender is equalled by another; then all unbeaten ones are returned.
    """
    beaten = find_beaten(comparisons)
    equalled = {
        comparison.costlier.name for comparison in comparisons if comparison.gain.difference <= 0
    }
    unbeaten = [contender for contender in pool if contender.name not in beaten]
    return [contender for contender in unbeaten if contender.name not in equalled] or unbeaten


def find_open_comparisons(
    contender: Contender, comparisons: Sequence[CostlierComparison], disfavoured: frozenset[Verdict]
) -> tuple[CostlierComparison, ...]:
    """The comparisons that keep this contender from winning: open, short or blind, against an
    unbeaten one of another verdict.

    A blind comparison counts even if the costlier one scored no higher, and whatever the usage
    context: without evidence there is nothing that a preference could settle.
    """
    beaten = find_beaten(comparisons)
    return tuple(
        comparison
        for comparison in comparisons
        if comparison.simpler is contender
        and comparison.is_between_verdicts
        and comparison.costlier.name not in beaten
        and (
            comparison.outcome == "blind"
            or (
                comparison.outcome in ("open", "short")
                and comparison.costlier.traits.verdict not in disfavoured
            )
        )
    )


def estimate_examples_to_decide(
    score: Quantity, open_comparisons: Sequence[CostlierComparison], requirements: Requirements
) -> int | None:
    """The number of test examples that would settle every open question that examples can settle;
    None if one of them has no such number or there is none.
    """
    needed = [
        comparison.required_n for comparison in open_comparisons if comparison.outcome != "short"
    ]
    if not has_proven_min_score(score, requirements):
        needed.append(
            estimate_required_examples(
                score.value - get_min_score(requirements), score.low, score.high, score.n
            )
        )
    known = [count for count in needed if count is not None]
    return max(known) if known and len(known) == len(needed) else None
