"""Evaluations made by hand: contenders with given scores, differences with given intervals."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import NormalDist

from tunesmith.decision import decide
from tunesmith.evaluation.stats.intervals import rate_interval
from tunesmith.evaluation.stats.paired_difference import rate_difference
from tunesmith.records import (
    Comparison,
    Contender,
    Decision,
    Evaluation,
    Quantity,
    Requirements,
    TrainingLength,
    UsageContext,
)
from tunesmith.records.contender_kinds import list_contender_kinds

KINDS = tuple(kind.name for kind in list_contender_kinds() if not kind.is_external)
PAIRS = [frozenset(pair) for pair in combinations(KINDS, 2)]
HALF = 0.05
N = 400

Halves = Mapping[frozenset[str], float]


def contender(
    kind: str,
    score: float,
    *,
    name: str | None = None,
    half: float = HALF,
    usd: float = 0.01,
    seconds: float = 0.1,
) -> Contender:
    """One whose score is known to `half`."""
    quantity = Quantity(value=score, low=score - half, high=score + half, n=N)
    return Contender(
        name=name or kind,
        kind=kind,
        description="the question",
        metrics={"exact": quantity},
        seconds_per_request=seconds,
        tokens_in_per_request=10,
        tokens_out_per_request=5,
        usd_per_1000=usd,
    )


def luck(difference: float, half: float) -> float:
    """The two-sided p value that goes with a 95 % interval."""
    return 2 * NormalDist().cdf(-1.959964 * abs(difference) / half)


def evaluation(
    scores: Mapping[str, float] | Sequence[Contender],
    half: float = HALF,
    halves: Halves | None = None,
) -> Evaluation:
    """Contenders with these scores; every paired difference is the difference of the scores, plus
    or minus `half`."""
    made = (
        scores
        if isinstance(scores, Sequence)
        else [contender(kind, score) for kind, score in scores.items()]
    )
    comparisons = []
    for a, b in combinations(made, 2):
        difference = a.metrics["exact"].value - b.metrics["exact"].value
        wide = (halves or {}).get(frozenset((a.name, b.name)), half)
        comparisons.append(
            Comparison(
                a=a.name,
                b=b.name,
                metric="exact",
                difference=difference,
                low=difference - wide,
                high=difference + wide,
                p=luck(difference, wide),
                n=N,
            )
        )
    return Evaluation(
        task="t",
        scorer="exact",
        scorer_reason="short answers",
        metric="exact",
        examples=tuple(str(i) for i in range(N)),
        contenders=tuple(made),
        comparisons=tuple(comparisons),
        machine_usd_per_hour=0.1,
    )


def verdict(
    scores: Mapping[str, float] | Sequence[Contender],
    bar: Requirements | None = None,
    half: float = HALF,
    halves: Halves | None = None,
    circumstances: UsageContext = UsageContext(),  # noqa: B008
    training: TrainingLength | None = None,
) -> Decision:
    """The decision on such an evaluation."""
    return decide(
        evaluation(scores, half, halves), bar or Requirements(), circumstances, training=training
    )


def tuned_for(steps: int, fall: float | None = None) -> TrainingLength:
    """A training of so many steps of 16 on 359 examples, 10 s each: 23 are a pass."""
    whole, rest = divmod(steps, 23)
    return TrainingLength(
        steps=steps,
        examples=359 * whole + min(16 * rest, 359),
        train_examples=359,
        seconds=10.0 * steps,
        step_seconds=10.0,
        default_epochs=3.0,
        steps_per_epoch=23,
        remaining_loss_drop=fall,
    )


def small(right: Mapping[str, int], n: int) -> Evaluation:
    """Each contender gets its first so many of n examples right; intervals as the program itself
    computes them."""
    contenders, comparisons = [], []
    for kind, count in right.items():
        rate = rate_interval(count, n)
        score = Quantity(value=rate.value, low=rate.low, high=rate.high, n=n)
        contenders.append(contender(kind, 0.0).model_copy(update={"metrics": {"exact": score}}))
    for a, b in combinations(right, 2):
        gap = rate_difference(max(right[a] - right[b], 0), max(right[b] - right[a], 0), n)
        comparisons.append(
            Comparison(
                a=a,
                b=b,
                metric="exact",
                difference=gap.value,
                low=gap.low,
                high=gap.high,
                p=gap.p,
                n=n,
            )
        )
    return Evaluation(
        task="t",
        scorer="exact",
        scorer_reason="",
        metric="exact",
        examples=tuple(map(str, range(n))),
        contenders=tuple(contenders),
        comparisons=tuple(comparisons),
        machine_usd_per_hour=0.1,
    )
