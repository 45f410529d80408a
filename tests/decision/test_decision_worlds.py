"""Simulated worlds whose truth is known: how often the verdict is right, and how often it costs somebody a tuning.

Each contender answers each of n test examples right with a known probability; a difficulty that all share makes their
answers agree (Gaussian copula, correlation 0.6), as models do on real data. Seeds are fixed, so nothing here is flaky.
The bars leave room above the figures in docs/decisions/011 and 012; `make calibrate` is to measure them at length.
"""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import norm

from tunesmith.decision import decide
from tunesmith.decision.verdict import VERDICTS
from tunesmith.records import Bar, Comparison, Contender, Evaluation, Quantity

WORLDS = 150
SHARED = 0.6


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """Mean of n numbers with the normal 95 % interval, never narrower than Wilson's at 0 and 1 would allow."""
    half = max(1.96 * float(values.std(ddof=1)) / len(values) ** 0.5, 1.0 / len(values))
    return float(values.mean()), float(values.mean()) - half, float(values.mean()) + half


def world(chances: tuple[float, ...], n: int, random: np.random.Generator) -> Evaluation:
    """One evaluation of five contenders that are right with these chances."""
    shared = random.normal(size=n)
    right = {}
    for kind, chance in zip(VERDICTS, chances, strict=True):
        own = SHARED**0.5 * shared + (1 - SHARED) ** 0.5 * random.normal(size=n)
        right[kind] = (own < norm.ppf(chance)).astype(float)
    contenders = []
    for kind, values in right.items():
        value, low, high = interval(values)
        contenders.append(
            Contender(
                name=kind, kind=kind, given="", metrics={"exact": Quantity(value=value, low=low, high=high, n=n)},
                seconds_per_request=0.1, tokens_in_per_request=1, tokens_out_per_request=1, usd_per_1000=0.01,
            )
        )  # fmt: skip
    comparisons = []
    for a, b in combinations(right, 2):
        difference, low, high = interval(right[a] - right[b])
        comparisons.append(
            Comparison(a=a, b=b, metric="exact", difference=difference, low=low, high=high, p=0.5, n=n)
        )  # fmt: skip
    return Evaluation(
        task="world", scorer="exact", scorer_reason="drawn", metric="exact", examples=tuple(map(str, range(n))),
        contenders=tuple(contenders), comparisons=tuple(comparisons), machine_usd_per_hour=0.1,
    )  # fmt: skip


def shares(chances: tuple[float, ...], n: int) -> Counter[str]:
    """How often each verdict is given, as a share of all worlds."""
    random = np.random.default_rng(20261123)
    counts = Counter(decide(world(chances, n, random), Bar()).verdict for _ in range(WORLDS))
    return Counter({verdict: count / WORLDS for verdict, count in counts.items()})  # type: ignore[misc]


@pytest.mark.parametrize(
    ("truth", "chances"),
    [
        ("prompt", (0.5, 0.8, 0.8, 0.8, 0.8)),
        ("rag", (0.4, 0.5, 0.8, 0.8, 0.8)),
        ("fine-tune", (0.1, 0.3, 0.4, 0.8, 0.8)),
        ("fine-tune+rag", (0.1, 0.2, 0.5, 0.6, 0.9)),
        ("stop", (0.01, 0.01, 0.02, 0.03, 0.03)),
    ],
)
def test_with_enough_examples_the_verdict_is_the_truth(truth: str, chances: tuple[float, ...]) -> None:
    found = shares(chances, n=300)
    assert found[truth] >= 0.85
    if not truth.startswith("fine-tune"):
        # Two useless dearer contenders, 2.5 % each (docs/decisions/010); 150 worlds measure 5 % to within 3.5 points.
        assert found["fine-tune"] + found["fine-tune+rag"] <= 0.085


def test_with_too_few_examples_it_cannot_tell_rather_than_guess() -> None:
    found = shares((0.60, 0.60, 0.60, 0.72, 0.72), n=40)
    assert found["cannot tell"] >= 0.5
    assert found["fine-tune+rag"] <= 0.05


def test_on_ten_examples_it_never_tells_equals_apart() -> None:
    found = shares((0.60, 0.60, 0.60, 0.60, 0.60), n=10)
    assert found["cannot tell"] >= 0.97


def test_with_150_examples_sensible_cases_are_not_turned_into_cannot_tell() -> None:
    assert shares((0.4, 0.5, 0.8, 0.8, 0.8), n=150)["cannot tell"] <= 0.2
