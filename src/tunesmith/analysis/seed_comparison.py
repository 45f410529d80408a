"""Runs that differ in their seed only: the recipe's mean score, and how far a single run may
deviate.

The interval is Student's t over the runs (`evaluation/stats/seed_variance.py`): it describes the
recipe, not one saved model, and does not include the sampling error of the test set if all runs
have the same test examples. If the seed also determined the split, each run has its own test
examples, and that error is part of the variation.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations

from tunesmith.analysis.run_diff import ComparableRun, find_run_differences, is_only_seed_different
from tunesmith.errors import UsageError, truncate_list
from tunesmith.evaluation.stats.seed_variance import summarize_seeds
from tunesmith.records import Quantity, SeedComparison, SeedScores


def compare_seeds(runs: Sequence[ComparableRun]) -> SeedComparison:
    """The scores of every contender that all runs have.

    Errors: `UsageError` if more than the seed differs, or the seed does not.
    """
    first, *others = runs
    # Two runs with one seed would make the variation look smaller than it is.
    for one, other in combinations(runs, 2):
        if one.recipe.seed == other.recipe.seed:
            raise UsageError(
                "same-seed",
                "two of the runs have the same seed",
                at=f"{one.run.id} and {other.run.id}",
                got=f"seed {one.recipe.seed}",
                hint="pass only one of them",
            )
    for other in others:
        changes = find_run_differences(first, other)
        if not is_only_seed_different(changes):
            keys = [change.key for part in ("recipe", "data", "model") for change in changes[part]]
            raise UsageError(
                "more-than-seeds",
                "runs compared as seeds of one recipe differ in more than the seed",
                at=f"{first.run.id} and {other.run.id}",
                got=truncate_list(keys, 6),
                hint="compare two runs, or runs that differ only in their seed",
            )
    metric = first.evaluation.metric
    known = dict.fromkeys(one.name for run in runs for one in run.evaluation.contenders)
    names = [name for name in known if all(_get_score(run, name, metric) for run in runs)]
    spreads = [
        _summarize_scores(name, [_get_score(run, name, metric) for run in runs]) for name in names
    ]
    is_same = len({run.evaluation.examples for run in runs}) == 1
    return SeedComparison(
        runs=tuple(run.run.id for run in runs),
        seeds=tuple(run.recipe.seed for run in runs),
        metric=metric,
        contenders=tuple(spreads),
        notes=tuple(_write_notes(is_same, [name for name in known if name not in names], spreads)),
    )


def _get_score(run: ComparableRun, name: str, metric: str) -> Quantity | None:
    known = {one.name: one for one in run.evaluation.contenders}
    score = known[name].metrics.get(metric) if name in known else None
    return score if score and score.n else None


def _summarize_scores(name: str, scores: Sequence[Quantity | None]) -> SeedScores:
    values = [score.value for score in scores if score]
    summary = summarize_seeds(values)
    mean = Quantity(value=summary.mean, low=summary.low, high=summary.high, n=len(values))
    return SeedScores(
        contender=name,
        scores=tuple(values),
        mean=mean,
        standard_deviation=summary.standard_deviation,
    )


def _write_notes(
    is_same: bool, missing: Sequence[str], spreads: Sequence[SeedScores]
) -> Iterator[str]:
    if is_same:
        yield (
            "All runs share the same test examples: the intervals do not include the sampling "
            "error of the test set."
        )
    else:
        yield (
            "The seed also determined the split: each run has its own test examples, and "
            "their sampling error is part of the variance."
        )
    yield (
        "The intervals are for the mean of the recipe (Student's t over the runs); a single "
        "run varies more."
    )
    if missing:
        yield f"Excluded because not scored in all runs: {', '.join(missing)}."
    alike = [one.contender for one in spreads if one.standard_deviation == 0]
    if alike:
        yield (
            "Same score in all runs, which does not prove that another seed would give it "
            f"too: {', '.join(alike)}."
        )
