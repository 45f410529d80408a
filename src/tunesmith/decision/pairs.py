"""Every pair of contenders as a report shows it: p corrected as the verdict does it, and what would tell them apart.

One family for all of them, that of the verdict (`duel.py`): a simpler contender against all more elaborate ones of
other verdicts. Without a threshold: the tables ask whether there is a difference at all.
"""

from tunesmith.decision.duel import ALPHA, all_duels
from tunesmith.decision.simplicity import simplicity
from tunesmith.records import Bar, Evaluation, PairTold


def pairs_of(evaluation: Evaluation) -> tuple[PairTold, ...]:
    """One for each two contenders that were compared with all others; the simpler one is `b`."""
    metric = evaluation.metric
    compared = {frozenset((one.a, one.b)) for one in evaluation.comparisons if one.metric == metric}
    pool = [one for one in sorted(evaluation.contenders, key=simplicity) if metric in one.metrics]
    pool = [one for one in pool if all(o is one or frozenset((o.name, one.name)) in compared for o in pool)]
    return tuple(
        PairTold(
            a=duel.dearer.name, b=duel.simpler.name, p=duel.luck,
            needed_n=None if duel.luck <= ALPHA else duel.needed_n,
        )
        for duel in all_duels(evaluation, pool, Bar())
    )  # fmt: skip
