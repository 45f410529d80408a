"""Two runs: what was done differently, and whether their scores differ significantly.

| the test examples             | difference                                          |
|-------------------------------|-----------------------------------------------------|
| are (mostly) the same         | paired over those that both runs tested             |
|                               | (`evaluation/stats/paired_difference.py`)           |
| differ, scores are 0 or 1     | unpaired: Newcombe's interval, Fisher's exact test  |
| differ, scores are graded     | unpaired: Welch's t, interval and test              |

An example that both runs tested was trained on in neither, so it is fair to both even if the splits
differ. Pairing removes the variance of example difficulty; without it the same difference needs far
more examples. p-values are corrected (Holm) over all contenders that were compared; the intervals
are not.

Two seeds give one standard deviation between seeds with one degree of freedom
(`evaluation/stats/seed_variance.py`); it is reported as such.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from tunesmith.analysis.rate_differences import newcombe_interval
from tunesmith.evaluation.stats.multiple_testing import holm_adjust
from tunesmith.evaluation.stats.paired_difference import paired_difference
from tunesmith.evaluation.stats.seed_variance import summarize_seeds
from tunesmith.evaluation.stats.significance import ALPHA, ZERO_TOLERANCE
from tunesmith.records import (
    Answer,
    CheckReport,
    Evaluation,
    Quantity,
    Recipe,
    Run,
    RunComparison,
    RunDifference,
    ScoreChange,
    Split,
    compute_fingerprint,
)

MIN_PAIRS = 20
"""Common test examples from which on two runs are compared pairwise."""
ScoresByExample = dict[str, float]
FlatValues = dict[str, str]


@dataclass(frozen=True, slots=True)
class ComparableRun:
    """The parts of a run that are compared; `answers` by contender, `groups` of the test examples
    that have one.
    """

    run: Run
    recipe: Recipe
    check: CheckReport
    split: Split
    evaluation: Evaluation
    answers: Mapping[str, Sequence[Answer]]
    groups: Mapping[str, str] = field(default_factory=dict)


class _ScoreDifference(NamedTuple):
    value: float
    low: float
    high: float
    p: float
    n: int
    method: str
    is_paired: bool = False


def compare_runs(first: ComparableRun, second: ComparableRun) -> RunComparison:
    """What changed from the first run to the second."""
    changes = find_run_differences(first, second)
    only_seed = is_only_seed_different(changes)
    scores = _compare_scores(first, second)
    names = [
        [contender.name for contender in facts.evaluation.contenders] for facts in (first, second)
    ]
    same = set(first.evaluation.examples) & set(second.evaluation.examples)
    return RunComparison(
        first=first.run.id,
        second=second.run.id,
        metric=second.evaluation.metric,
        **changes,
        n_shared_test_examples=len(same),
        test_examples=(len(first.evaluation.examples), len(second.evaluation.examples)),
        scores=scores,
        only_in=(
            tuple(n for n in names[0] if n not in names[1]),
            tuple(n for n in names[1] if n not in names[0]),
        ),
        only_seed_differs=only_seed,
        seed_standard_deviation=_compute_seed_std(scores, second.evaluation) if only_seed else {},
        notes=tuple(_write_notes(first, second, changes, only_seed, len(same))),
    )


def find_run_differences(
    first: ComparableRun, second: ComparableRun
) -> dict[str, tuple[RunDifference, ...]]:
    """The differences in recipe, data, model, versions (with the machine) and training."""
    return {
        "recipe": _diff_values(_flatten_recipe(first.recipe), _flatten_recipe(second.recipe)),
        "data": _diff_values(_describe_data(first), _describe_data(second)),
        "model": _diff_values(_describe_model(first.run), _describe_model(second.run)),
        "versions": _diff_values(_describe_machine(first.run), _describe_machine(second.run)),
        "training": _diff_values(_describe_training(first.run), _describe_training(second.run)),
    }


def _compare_scores(first: ComparableRun, second: ComparableRun) -> tuple[ScoreChange, ...]:
    """Every contender of the same name, on the deciding metric; empty if the metrics differ."""
    metric = second.evaluation.metric
    if first.evaluation.metric != metric:
        return ()
    known = {contender.name: contender for contender in first.evaluation.contenders}
    both = [
        (known[one.name], one)
        for one in second.evaluation.contenders
        if one.name in known and metric in one.metrics and metric in known[one.name].metrics
    ]
    scores = [(_get_scores(first, a.name), _get_scores(second, b.name)) for a, b in both]
    # An example has the same group in both runs, so the order of the merge is irrelevant.
    groups = {**first.groups, **second.groups}
    differences = [compute_score_difference(a, b, groups) for a, b in scores]
    corrected = holm_adjust([difference.p for difference in differences])
    return tuple(
        ScoreChange(
            contender=b.name,
            first=a.metrics[metric],
            second=b.metrics[metric],
            difference=Quantity(
                value=difference.value, low=difference.low, high=difference.high, n=difference.n
            ),
            p=p,
            is_significant=p < ALPHA,
            method=difference.method,
            gained=_list_changed(old, new, 1) if difference.is_paired else None,
            lost=_list_changed(old, new, -1) if difference.is_paired else None,
            seconds_per_request=(a.seconds_per_request_or_none, b.seconds_per_request_or_none),
            usd_per_1000=(a.usd_per_1000_or_none, b.usd_per_1000_or_none),
        )
        for (a, b), (old, new), difference, p in zip(
            both, scores, differences, corrected, strict=True
        )
    )


def compute_score_difference(
    first: ScoresByExample, second: ScoresByExample, groups: Mapping[str, str] | None = None
) -> _ScoreDifference:
    """second - first, paired if enough examples are the same; by the table at the top of this
    module.
    """
    same = sorted(first.keys() & second.keys())
    # Pairing on a small overlap would discard most answers; at least half of the smaller test set.
    if same and (
        first.keys() == second.keys()
        or len(same) >= max(MIN_PAIRS, min(len(first), len(second)) / 2)
    ):
        names = [groups.get(key, key) for key in same] if groups else None
        summary = paired_difference(
            [second[key] for key in same], [first[key] for key in same], names
        )
        method = f"paired on the {summary.n:,} examples that both answered ({summary.test})"
        return _ScoreDifference(
            summary.value, summary.low, summary.high, summary.p, summary.n, method, is_paired=True
        )
    a_N, b_M = np.array(list(first.values())), np.array(list(second.values()))
    n = len(a_N) + len(b_M)
    if min(len(a_N), len(b_M)) < 2:
        return _ScoreDifference(0.0, -1.0, 1.0, 1.0, n, "unpaired: too few answers")
    if np.isin(a_N, (0.0, 1.0)).all() and np.isin(b_M, (0.0, 1.0)).all():
        right_a, right_b = int(a_N.sum()), int(b_M.sum())
        value, low, high = newcombe_interval(right_b, len(b_M), right_a, len(a_N))
        table = [[right_b, len(b_M) - right_b], [right_a, len(a_N) - right_a]]
        p = float(stats.fisher_exact(table).pvalue)
        return _ScoreDifference(
            value,
            low,
            high,
            p,
            n,
            "unpaired, different examples: Newcombe's interval, Fisher's exact test",
        )
    value = float(b_M.mean() - a_N.mean())
    # Welch's t divides by the standard error.
    if max(np.ptp(a_N), np.ptp(b_M)) < ZERO_TOLERANCE:  # no variance to test against
        return _ScoreDifference(
            value, -1.0, 1.0, 1.0, n, "unpaired, different examples: no variance"
        )
    welch = stats.ttest_ind(b_M, a_N, equal_var=False)
    interval = welch.confidence_interval(0.95)
    low, high = max(-1.0, float(interval.low)), min(1.0, float(interval.high))
    return _ScoreDifference(
        value, low, high, float(welch.pvalue), n, "unpaired, different examples: Welch's t-test"
    )


def _get_scores(facts: ComparableRun, contender: str) -> ScoresByExample:
    metric = facts.evaluation.metric
    return {
        answer.example: answer.scores[metric]
        for answer in facts.answers[contender]
        if metric in answer.scores
    }


def _list_changed(first: ScoresByExample, second: ScoresByExample, sign: int) -> tuple[str, ...]:
    """The examples that the second run answered better (1) or worse (-1), the largest change
    first.
    """
    moves = {key: sign * (second[key] - first[key]) for key in first.keys() & second.keys()}
    return tuple(
        sorted((key for key, move in moves.items() if move > 0), key=lambda key: (-moves[key], key))
    )


def _compute_seed_std(scores: Sequence[ScoreChange], evaluation: Evaluation) -> dict[str, float]:
    tuned = {contender.name for contender in evaluation.contenders if contender.traits.is_trained}
    return {
        one.contender: summarize_seeds([one.first.value, one.second.value]).standard_deviation
        for one in scores
        if one.contender in tuned
    }


def is_only_seed_different(changes: Mapping[str, Sequence[RunDifference]]) -> bool:
    """Whether only the seed differs. The split may differ, because the seed determines it; its
    content may not.
    """
    recipe = {change.key for change in changes["recipe"]}
    content = {change.key for change in changes["data"]} & {"content", "examples", "shape"}
    return recipe == {"seed"} and not content and not changes["model"]


def _write_notes(
    first: ComparableRun,
    second: ComparableRun,
    changes: Mapping[str, Sequence[RunDifference]],
    only_seed: bool,
    same: int,
) -> list[str]:
    """Notes that a reader of the table needs."""
    notes = []
    if first.evaluation.metric != second.evaluation.metric:
        notes.append(
            f"The primary metric is {first.evaluation.metric} in the first run and "
            f"{second.evaluation.metric} in the second: their scores cannot be compared."
        )
    elif first.evaluation.scorer != second.evaluation.scorer:
        notes.append(
            f"Different scorers: {first.evaluation.scorer} in the first run, "
            f"{second.evaluation.scorer} in the second."
        )
    tested = [len(facts.evaluation.examples) for facts in (first, second)]
    if same < max(tested):
        notes.append(
            f"Different test sets: {tested[0]:,} and {tested[1]:,} examples, {same:,} of them "
            "in common."
        )
    if (first.groups or second.groups) and same < min(tested) / 2:
        notes.append(
            "The test examples are grouped; unpaired intervals ignore this and are too narrow."
        )
    if {"platform", "processor", "cores", "accelerator"} & {
        change.key for change in changes["versions"]
    }:
        notes.append(
            "The runs used different machines: times and costs do not show which recipe is faster."
        )
    if only_seed:
        notes.append(
            "Only the seed differs: a difference between the tuned contenders is seed variance"
            + (", including that of the split." if same < max(tested) else ".")
            + " Two seeds give only a rough estimate of it."
        )
    return notes


def _diff_values(first: FlatValues, second: FlatValues) -> tuple[RunDifference, ...]:
    keys = dict.fromkeys([*first, *second])
    return tuple(
        RunDifference(key=key, first=first.get(key, "-"), second=second.get(key, "-"))
        for key in keys
        if first.get(key) != second.get(key)
    )


def _flatten_recipe(recipe: Recipe) -> FlatValues:
    return dict(_flatten(recipe.model_dump(mode="json")))


def _flatten(value: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    """`a.b.c` -> text, for every value."""
    pairs: list[tuple[str, str]] = []
    for key, part in value.items():
        is_section = isinstance(part, dict) and part
        pairs += (
            _flatten(part, f"{before}{key}.")
            if is_section
            else [(f"{before}{key}", _format_value(part))]
        )
    return pairs


def _format_value(value: Any) -> str:
    return (
        "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    )


def _describe_data(facts: ComparableRun) -> FlatValues:
    dataset, split = facts.check.dataset, facts.split
    sides = {side: getattr(split, side) for side in ("train", "validation", "test")}
    return {
        "name": dataset.name,
        "shape": dataset.format,
        "content": dataset.content[:12],
        "examples": f"{dataset.examples:,}",
        **{
            side: f"{len(ids):,} examples, {compute_fingerprint(sorted(ids))[:12]}"
            for side, ids in sides.items()
        },
        "tested": f"{len(facts.evaluation.examples):,}",
    }


def _describe_model(run: Run) -> FlatValues:
    model = run.trained_model
    return {
        "name": model.name,
        "revision": _format_value(model.revision),
        "files": compute_fingerprint(model.files)[:12],
    }


def _describe_machine(run: Run) -> FlatValues:
    machine = run.machine
    return {
        **run.versions,
        "platform": machine.platform,
        "processor": machine.processor,
        "cores": str(machine.cores),
        "accelerator": _format_value(machine.accelerator),
    }


def _describe_training(run: Run) -> FlatValues:
    result = run.result
    if result is None:
        return {}
    loss = result.best_validation_loss
    return {
        "steps": f"{result.steps:,}",
        "best checkpoint": f"{result.best_step:,}",
        "validation loss": _format_value(None if loss is None else f"{loss:.4f}"),
        "seconds": f"{result.seconds:.0f}",
        "tokens trained": f"{result.tokens_trained:,}",
        "peak memory": f"{result.peak_memory_bytes / 1e9:.2f} GB",
    }
