"""Every pair of contenders for the report: p-value corrected as in the verdict, and the examples
that would separate them.

The families of comparisons are those of the verdict (`pairwise_comparison.py`): a simpler contender
against all costlier ones with other verdicts. Without a `min_gain`: the table shows whether there
is any difference.
"""

from tunesmith.decision.pairwise_comparison import ALPHA, compare_all_pairs
from tunesmith.decision.simplicity import compute_simplicity_key
from tunesmith.records import Evaluation, PairSummary, Requirements


def build_pair_table(evaluation: Evaluation) -> tuple[PairSummary, ...]:
    """One row per pair of contenders that were both compared with all others; `b` is the simpler
    one.
    """
    metric = evaluation.metric
    compared = {frozenset((one.a, one.b)) for one in evaluation.comparisons if one.metric == metric}
    pool = [
        one
        for one in sorted(evaluation.contenders, key=compute_simplicity_key)
        if metric in one.metrics
    ]
    # `compare_all_pairs` raises for a pair that was not compared; imported records may lack some.
    pool = [
        one
        for one in pool
        if all(o is one or frozenset((o.name, one.name)) in compared for o in pool)
    ]
    return tuple(
        PairSummary(
            a=comparison.costlier.name,
            b=comparison.simpler.name,
            p=comparison.p_value,
            required_n=None if comparison.p_value <= ALPHA else comparison.required_n,
        )
        for comparison in compare_all_pairs(evaluation, pool, Requirements())
    )
