"""The verdict on simulated worlds whose truth is known: is it right, and how often does it sell
somebody a tuning?

Each contender is right on each of n test examples with a known chance; a difficulty that all share
makes their answers agree (Gaussian copula, correlation 0.6), as models do on real data. Scores and
paired differences come from the very functions that judge real answers (`evaluation/stats/`:
Wilson, mid-p McNemar); equal counts are computed once.

The effect of a truth is twice the smallest difference that n examples show (80 % power, 5 %, one
comparison), so that a world is as hard at every n. `five` is one contender of each kind, `many` are
thirteen. `rows` gives the bars of issue 4: false "fine-tune" at most 5 % in every truth where
tuning is not needed, right at least 90 %.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np
from scipy.stats import multivariate_normal, norm

from tunesmith.decision.rule_result import VerdictInput
from tunesmith.decision.verdict import apply_rules
from tunesmith.evaluation.stats.intervals import mean_interval
from tunesmith.evaluation.stats.paired_difference import paired_difference
from tunesmith.evaluation.stats.power_analysis import minimum_detectable_difference
from tunesmith.records import Comparison, Contender, Evaluation, Quantity, Requirements

SHARED = 0.6
BASE = 0.4
FIVE = ("zero-shot", "few-shot", "rag", "tuned", "tuned+rag")
MANY = (*["zero-shot"] * 3, *["few-shot"] * 3, *["rag"] * 3, *["tuned"] * 2, *["tuned+rag"] * 2)
SIZES = (100, 200, 400)
WORLDS, QUICK = 1000, 60
MOST_FALSE, LEAST_RIGHT = 0.05, 0.90
ANY = Requirements()


@dataclass(frozen=True)
class Truth:
    """What is so in a world: whoever has a kind in `good` is better than the others by the effect
    of the world."""

    name: str
    verdict: str
    good: frozenset[str]
    is_about_effect: bool = True


TRUTHS = (
    Truth("nothing helps", "prompt", frozenset(), is_about_effect=False),
    Truth("prompt enough", "prompt", frozenset({"few-shot", "rag", "tuned", "tuned+rag"})),
    Truth("RAG enough", "rag", frozenset({"rag", "tuned", "tuned+rag"})),
    Truth("tuning needed", "fine-tune", frozenset({"tuned", "tuned+rag"})),
    Truth("tuning and RAG needed", "fine-tune+rag", frozenset({"tuned+rag"})),
    Truth(
        "what is there is enough",
        "stop",
        frozenset({"outside", "few-shot", "rag", "tuned", "tuned+rag"}),
    ),
)


def shares(
    kinds: Sequence[str],
    chances: Sequence[float],
    n: int,
    worlds: int = WORLDS,
    bar: Requirements = ANY,
) -> Mapping[str, float]:
    """How often each verdict is given, as a share of all worlds."""
    random = np.random.default_rng([n, len(kinds)])
    counts: Counter[str] = Counter(
        apply_rules(VerdictInput(world(kinds, chances, n, random), bar)).verdict
        for _ in range(worlds)
    )
    return Counter({verdict: count / worlds for verdict, count in counts.items()})  # type: ignore[misc]


def world(
    kinds: Sequence[str], chances: Sequence[float], n: int, random: np.random.Generator
) -> Evaluation:
    """One evaluation of contenders of these kinds that are right with these chances."""
    names = [f"{kind} {number}" for number, kind in enumerate(kinds)]
    own_CN = SHARED**0.5 * random.normal(size=n) + (1 - SHARED) ** 0.5 * random.normal(
        size=(len(kinds), n)
    )
    right_CN = own_CN < norm.ppf(chances)[:, None]
    both_CC = right_CN.astype(int) @ right_CN.T.astype(int)
    right_C = both_CC.diagonal()
    contenders = tuple(
        _contender(name, kind, _score(int(right), n))
        for name, kind, right in zip(names, kinds, right_C, strict=True)
    )
    comparisons = tuple(
        _comparison(int(right_C[i] - both_CC[i, j]), int(right_C[j] - both_CC[i, j]), n).model_copy(
            update={"a": names[i], "b": names[j]}
        )
        for i, j in combinations(range(len(kinds)), 2)
    )
    return Evaluation(
        task="world",
        scorer="exact",
        scorer_reason="drawn",
        metric="exact",
        examples=tuple(map(str, range(n))),
        contenders=contenders,
        comparisons=comparisons,
        machine_usd_per_hour=0.1,
    )


@cache
def effect_of(n: int, base: float = BASE) -> float:
    """Twice the minimum detectable difference of a contender against one that is right with chance
    `base`."""
    effect = 0.1
    for _ in range(20):  # the share of disagreements depends on the effect itself
        effect = min(
            2 * minimum_detectable_difference(n, disagreement(base, base + effect)), 0.95 - base
        )
    return effect


def disagreement(a: float, b: float) -> float:
    """The share of examples that only one of two contenders gets right."""
    both = multivariate_normal.cdf(norm.ppf([a, b]), cov=[[1, SHARED], [SHARED, 1]])
    return float(a + b - 2 * both)


def rows(quick: bool = False, ns: Sequence[int] = SIZES) -> list[dict[str, Any]]:
    """One row a bar: {"name", "value", "low_bar", "high_bar", "holds"}."""
    worlds = QUICK if quick else WORLDS
    found = []
    for size, kinds in (("five", FIVE), ("many", MANY)):
        for n in ns:
            for truth in TRUTHS:
                found += _rows_of(truth, size, kinds, n, worlds)
    found += _lucky(worlds) + _handful(worlds) + _hopeless(worlds)
    return found


def _rows_of(
    truth: Truth, size: str, kinds: Sequence[str], n: int, worlds: int
) -> list[dict[str, Any]]:
    asked = ("outside", *kinds) if "outside" in truth.good else tuple(kinds)
    chances = [BASE + effect_of(n) * (kind in truth.good) for kind in asked]
    found = shares(asked, chances, n, worlds)
    where = f"verdict: {truth.name}, {size} contenders, n = {n}"
    rows = []
    if not truth.verdict.startswith("fine-tune"):
        rows.append(
            _row(
                f"{where}: false fine-tune",
                found["fine-tune"] + found["fine-tune+rag"],
                high=MOST_FALSE,
            )
        )
    if truth.is_about_effect:
        rows.append(_row(f"{where}: right", found[truth.verdict], low=LEAST_RIGHT))
    return rows


def _lucky(worlds: int) -> list[dict[str, Any]]:
    """Eight tuned variants that are no better than the prompt, or better by just what was asked and
    no more."""
    kinds = ("zero-shot", *["tuned"] * 8)
    found = []
    for n in (60, 200):
        for name, gain in (("none better", 0.0), ("all better by min_gain = 5 points", 0.05)):
            share = shares(kinds, [0.5] + [0.5 + gain] * 8, n, worlds, Requirements(min_gain=gain))
            found.append(
                _row(
                    f"verdict: 8 tuned, {name}, n = {n}: false fine-tune",
                    share["fine-tune"],
                    high=MOST_FALSE,
                )
            )
    return found


def _handful(worlds: int) -> list[dict[str, Any]]:
    """Too few examples: equals must not be told apart, and nobody must be sent to tune by luck."""
    found = []
    for n in (10, 30):
        for size, kinds in (("five", FIVE), ("many", MANY)):
            share = shares(kinds, [0.6] * len(kinds), n, worlds)
            where = f"verdict: too few examples, {size} contenders, n = {n}"
            false = share["fine-tune"] + share["fine-tune+rag"]
            found.append(_row(f"{where}: false fine-tune", false, high=MOST_FALSE))
            if n == 10:
                found.append(_row(f"{where}: cannot tell", share["cannot tell"], low=LEAST_RIGHT))
    return found


def _hopeless(worlds: int) -> list[dict[str, Any]]:
    """A model too small for the task gets 0 to 3 % right: no victory for anybody."""
    found = []
    for size, kinds in (("five", FIVE), ("many", MANY)):
        chances = np.linspace(0.001, 0.03, len(kinds))
        share = shares(kinds, list(chances), 200, worlds)
        name = f"verdict: 0 to 3 % right, {size} contenders, n = 200: stop or cannot tell"
        found.append(_row(name, share["stop"] + share["cannot tell"], low=0.99))
    return found


def _row(
    name: str, value: float, low: float | None = None, high: float | None = None
) -> dict[str, Any]:
    holds = (low is None or value >= low) and (high is None or value <= high)
    return {
        "name": name,
        "value": round(value, 4),
        "low_bar": low,
        "high_bar": high,
        "holds": holds,
    }


@cache
def _score(right: int, n: int) -> Quantity:
    found = mean_interval([1.0] * right + [0.0] * (n - right))
    return Quantity(value=found.value, low=found.low, high=found.high, n=n)


@cache
def _comparison(only_a: int, only_b: int, n: int) -> Comparison:
    a_N = np.zeros(n)
    b_N = np.zeros(n)
    a_N[:only_a] = 1.0
    b_N[only_a : only_a + only_b] = 1.0
    found = paired_difference(a_N, b_N)
    return Comparison(
        a="",
        b="",
        metric="exact",
        difference=found.value,
        low=found.low,
        high=found.high,
        p=found.p,
        n=n,
    )


def _contender(name: str, kind: str, score: Quantity) -> Contender:
    return Contender(
        name=name,
        kind=kind,
        description="",
        metrics={"exact": score},
        seconds_per_request=0.1,
        tokens_in_per_request=1,
        tokens_out_per_request=1,
        usd_per_1000=0.01,
    )
