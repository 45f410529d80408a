"""The evaluation without the contaminated test examples, derived from the stored record alone.

The record keeps each contender's clean score but no clean comparisons, so these are approximated:
the difference is that of the clean scores; its interval is the one over all examples, shifted there
and widened by sqrt(n / clean n), which assumes that the clean examples have the same variance as
all of them. If some answers failed, the two clean scores may cover different examples, and the
difference is off by as much. For an exact result evaluate the clean examples from the stored
answers.
"""

from math import sqrt
from statistics import NormalDist

from tunesmith.records import Comparison, Contender, Evaluation


def approximate_clean_evaluation(evaluation: Evaluation) -> Evaluation | None:
    """The same contenders on the clean examples; None if nothing leaked or no clean score was
    stored.
    """
    metric, leaked = evaluation.metric, set(evaluation.contaminated)
    kept = tuple(example for example in evaluation.examples if example not in leaked)
    if not leaked or not any(one.score_without_contaminated for one in evaluation.contenders):
        return None
    contenders = {one.name: _keep_clean_score(one, metric) for one in evaluation.contenders}
    share = len(kept) / len(evaluation.examples)
    comparisons = tuple(
        _rescale_comparison(one, contenders[one.a], contenders[one.b], share)
        for one in evaluation.comparisons
        if one.metric == metric
        and metric in contenders[one.a].metrics
        and metric in contenders[one.b].metrics
    )
    changed = {
        "contenders": tuple(contenders.values()),
        "comparisons": comparisons,
        "examples": kept,
        "contaminated": (),
    }
    return evaluation.replace(**changed)


def _keep_clean_score(contender: Contender, metric: str) -> Contender:
    """The contender with its clean score as its only score; without a clean score it has none and
    is disqualified.
    """
    metrics = (
        {}
        if contender.score_without_contaminated is None
        else {metric: contender.score_without_contaminated}
    )
    return contender.replace(metrics=metrics, score_without_contaminated=None)


def _rescale_comparison(
    whole: Comparison, a: Contender, b: Contender, fraction: float
) -> Comparison:
    """The comparison a - b shifted to the clean scores, with its interval widened; `fraction` =
    clean n / n.
    """
    difference = a.metrics[whole.metric].value - b.metrics[whole.metric].value
    low = difference - (whole.difference - whole.low) / sqrt(fraction)
    high = difference + (whole.high - whole.difference) / sqrt(fraction)
    # The half of the interval on the side of zero: bootstrap and score intervals are asymmetric,
    # and only this half decides significance.
    towards_zero = difference - low if difference > 0 else high - difference
    normal = NormalDist()
    errors = normal.inv_cdf(0.975) * abs(difference) / towards_zero if towards_zero > 0 else 0.0
    changed = {
        "difference": difference,
        "low": low,
        "high": high,
        "p": 2 * normal.cdf(-errors),
        "n": round(whole.n * fraction),
        "required_n": None,
    }
    return whole.replace(**changed)
