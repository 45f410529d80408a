"""Every pair of contenders as a report shows it: p corrected as the verdict does it, and what would tell them apart.

One family for all of them, that of the verdict (`duel.py`): a simpler contender against all more elaborate ones of
other verdicts. Without a threshold: the tables ask whether there is a difference at all.
"""

from tunesmith.decision.pairwise_comparison import ALPHA, compare_all_pairs
from tunesmith.decision.simplicity import compute_simplicity_key
from tunesmith.records import Evaluation, PairSummary, Requirements


def build_pair_table(evaluation: Evaluation) -> tuple[PairSummary, ...]:
    """One for each two contenders that were compared with all others; the simpler one is `b`."""
    metric = evaluation.metric
    compared = {frozenset((one.a, one.b)) for one in evaluation.comparisons if one.metric == metric}
    pool = [one for one in sorted(evaluation.contenders, key=compute_simplicity_key) if metric in one.metrics]
    pool = [one for one in pool if all(o is one or frozenset((o.name, one.name)) in compared for o in pool)]
    return tuple(
        PairSummary(
            a=duel.costlier.name, b=duel.simpler.name, p=duel.p_value,
            needed_n=None if duel.p_value <= ALPHA else duel.required_n,
        )
        for duel in compare_all_pairs(evaluation, pool, Requirements())
    )  # fmt: skip
