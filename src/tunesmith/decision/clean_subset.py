"""The evaluation without the test examples that something in training resembles, from the record alone.

The record keeps each contender's clean score but no clean comparisons. They are reckoned: the difference is that of the
clean scores, and its interval is the whole one, moved there and widened by sqrt(n / clean n), as if the clean examples
were spread like all of them. Where answers failed, two clean scores may be over different examples and their difference
is off by as much. Whoever wants it exact evaluates the clean examples from the stored answers.
"""

from math import sqrt
from statistics import NormalDist

from tunesmith.records import Comparison, Contender, Evaluation


def exclude_contaminated(evaluation: Evaluation) -> Evaluation | None:
    """The same contenders on the clean examples; None where nothing leaked, or no clean score was kept."""
    metric, leaked = evaluation.metric, set(evaluation.leaked)
    kept = tuple(example for example in evaluation.examples if example not in leaked)
    if not leaked or not any(one.clean for one in evaluation.contenders):
        return None
    contenders = {one.name: _keep_clean_score(one, metric) for one in evaluation.contenders}
    share = len(kept) / len(evaluation.examples)
    comparisons = tuple(
        _rescale_comparison(one, contenders[one.a], contenders[one.b], share)
        for one in evaluation.comparisons
        if one.metric == metric and metric in contenders[one.a].metrics and metric in contenders[one.b].metrics
    )
    changed = {"contenders": tuple(contenders.values()), "comparisons": comparisons, "examples": kept, "leaked": ()}
    return evaluation.model_copy(update=changed)


def _keep_clean_score(contender: Contender, metric: str) -> Contender:
    """One without a clean score has none at all, and is out."""
    metrics = {} if contender.clean is None else {metric: contender.clean}
    return contender.model_copy(update={"metrics": metrics, "clean": None})


def _rescale_comparison(whole: Comparison, a: Contender, b: Contender, fraction: float) -> Comparison:
    difference = a.metrics[whole.metric].value - b.metrics[whole.metric].value
    low = difference - (whole.difference - whole.low) / sqrt(fraction)
    high = difference + (whole.high - whole.difference) / sqrt(fraction)
    towards_zero = difference - low if difference > 0 else high - difference
    normal = NormalDist()
    errors = normal.inv_cdf(0.975) * abs(difference) / towards_zero if towards_zero > 0 else 0.0
    changed = {
        "difference": difference, "low": low, "high": high, "p": 2 * normal.cdf(-errors),
        "n": round(whole.n * fraction), "needed_n": None,
    }  # fmt: skip
    return whole.model_copy(update=changed)
