"""Examples that come in groups: fewer independent things were seen, and every number says so."""

import numpy as np
import pytest

from tunesmith.evaluation.contender_answers import ContenderAnswers
from tunesmith.evaluation.harness import Task, compare_contenders, evaluate_answers
from tunesmith.evaluation.scorers.label import LabelScorer
from tunesmith.evaluation.stats.bootstrap import bootstrap_interval
from tunesmith.evaluation.stats.intervals import mean_interval, rate_interval
from tunesmith.evaluation.stats.paired_difference import paired_difference
from tunesmith.evaluation.stats.power_analysis import estimate_required_n
from tunesmith.evaluation.stats.significance import number_groups
from tunesmith.evaluation.stats.standard_error import standard_error
from tunesmith.records import Answer, ContenderSpec, Example, Message

GROUPS = [str(i // 5) for i in range(100)]
ALIKE = np.repeat(np.random.default_rng(0).random(20) < 0.6, 5).astype(
    float
)  # every group is right or wrong as a whole


def width(interval: tuple[float, ...]) -> float:
    return interval[2] - interval[1]


def test_a_hundred_in_twenty_groups_that_are_alike_tell_what_twenty_tell() -> None:
    twenty = mean_interval(ALIKE[::5])
    grouped = mean_interval(ALIKE, GROUPS)
    assert grouped.value == twenty.value and grouped.n == 100
    assert width(grouped) == pytest.approx(width(twenty), rel=0.1) and width(grouped) > 1.9 * width(
        mean_interval(ALIKE)
    )


def test_groups_of_one_are_no_groups() -> None:
    alone = [str(i) for i in range(100)]
    assert number_groups(alone, 100) is None
    assert mean_interval(ALIKE, alone) == mean_interval(ALIKE)
    assert paired_difference(ALIKE, 1 - ALIKE, alone) == paired_difference(ALIKE, 1 - ALIKE)


def test_one_group_or_groups_that_are_all_alike_show_no_spread() -> None:
    for groups, units in ((["x"] * 40, 1), ([str(i // 2) for i in range(40)], 20)):
        right_half = [1.0, 0.0] * 20
        interval = mean_interval(right_half, groups)
        unseen = 1 - 0.025 ** (1 / units)
        assert interval[:3] == pytest.approx((0.5, 0.5 - unseen / 2, 0.5 + unseen / 2))
    everything = mean_interval([1.0] * 40, [str(i // 2) for i in range(40)])
    assert (
        everything[1:3] == pytest.approx((0.025 ** (1 / 20), 1.0))
        and everything.low < rate_interval(40, 40).low
    )
    difference = paired_difference([1.0] * 40, [0.0] * 40, ["x"] * 40)
    assert (difference.p, difference.clusters, difference.test) == (
        1.0,
        1,
        "bound on unseen groups",
    )
    assert standard_error(np.array([0.3]))[:2] == (0, 0)


def test_a_group_that_outweighs_the_others_leaves_few_degrees_of_freedom() -> None:
    draw = np.random.default_rng(1)
    even = standard_error(draw.random(60), np.repeat(np.arange(20), 3))
    assert even.degrees_of_freedom == pytest.approx(19) and even.units == 20
    sizes = [30] + [1] * 30
    tendency = np.repeat(np.r_[0.9, draw.random(30)], sizes)
    assert standard_error(tendency, np.repeat(np.arange(31), sizes)).degrees_of_freedom < 2


@pytest.mark.parametrize(
    "sizes", [(5,) * 20, (1, 2, 4, 8, 16, 3, 5, 9, 12, 20), (1,) * 50 + (10,) * 3]
)
def test_nulls_in_groups_are_not_called_different(sizes: tuple[int, ...]) -> None:
    """400 nulls whose groups lean to one side: 5 % and its noise, where the test that ignores
    groups has far more."""
    draw = np.random.default_rng(3)
    group_N = np.repeat(np.arange(len(sizes)), sizes)
    groups = [str(g) for g in group_N]
    told = {True: 0, False: 0}
    for _ in range(400):
        lean_N = draw.beta(0.3, 0.3, len(sizes))[group_N]
        a_N = (draw.random(group_N.size) < lean_N).astype(float)
        told[True] += paired_difference(a_N, 1 - a_N, groups).p < 0.05
        told[False] += paired_difference(a_N, 1 - a_N).p < 0.05
    assert told[True] / 400 < 0.09 and told[False] > 2 * told[True]


def test_a_whole_set_metric_is_drawn_by_groups() -> None:
    counts = np.stack([ALIKE, np.ones(100)], axis=1)

    def mean_of(sums: np.ndarray) -> np.ndarray:
        return sums[..., 0] / np.maximum(sums[..., 1], 1)

    grouped, alone = (bootstrap_interval(counts, mean_of, 1, groups) for groups in (GROUPS, None))
    assert grouped.n == 100 and width(grouped) > 1.9 * width(alone)
    assert width(grouped) == pytest.approx(width(mean_interval(ALIKE, GROUPS)), rel=0.2)


def test_more_examples_are_needed_where_they_come_in_groups() -> None:
    differences = np.repeat([1.0] * 6 + [-1.0] * 4 + [0.0] * 10, 5)
    alone, grouped = estimate_required_n(differences), estimate_required_n(differences, GROUPS)
    assert alone is not None and grouped is not None
    assert 4.5 * alone < grouped < 6 * alone
    assert estimate_required_n([0.1] * 4, ["a", "a", "b", "b"]) == 2 * estimate_required_n(
        [0.1] * 4
    )  # type: ignore[operator]


def test_groups_must_be_one_for_each_example() -> None:
    with pytest.raises(ValueError, match="2 groups for 3 examples"):
        mean_interval([1, 0, 1], ["a", "b"])


def examples_in_groups(n: int, size: int | None) -> list[Example]:
    return [
        Example(
            line=i,
            messages=(Message("user", f"question {i}"), Message("assistant", "ab"[i % 2])),
            group=None if size is None else f"document {i // size}",
        )
        for i in range(n)
    ]


def asked(
    name: str, examples: list[Example], wrong: set[int], failed: frozenset[int] = frozenset()
) -> ContenderAnswers:
    """Every example answered rightly but for these; a failed one has no score."""
    answers = [
        Answer(
            example=example.id,
            text="ba"[i % 2] if i in wrong else "ab"[i % 2],
            scores={} if i in failed else {"accuracy": float(i not in wrong)},
            tokens_in=1,
            tokens_out=1,
            seconds=0.1,
            is_complete=True,
        )
        for i, example in enumerate(examples)
    ]
    return ContenderAnswers(
        ContenderSpec(name=name, kind="zero-shot", description="nothing"), answers
    )


def test_evaluate_reckons_with_groups_wherever_it_says_how_sure_it_is() -> None:
    found = {}
    for size in (None, 6):
        examples = examples_in_groups(60, size)
        task = Task("t", examples, LabelScorer(["a", "b"]), "named", 0.1)
        good, bad = asked("good", examples, {0, 1}), asked("bad", examples, set(range(18)))
        found[size] = evaluate_answers([good, bad], task)
    alone, grouped = found[None], found[6]
    assert [(c.test, c.clusters) for c in alone.comparisons] == [("mid-p McNemar", None)]
    assert [(c.test, c.clusters) for c in grouped.comparisons] == [("clustered t", 10)]
    assert grouped.comparisons[0].difference == alone.comparisons[0].difference > 0
    assert grouped.comparisons[0].p > alone.comparisons[0].p
    for metric in ("accuracy", "macro_f1"):
        wide, narrow = (e.get_contender("bad").metrics[metric] for e in (grouped, alone))
        assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low) and wide.n == narrow.n == 60


def test_groups_are_those_of_the_examples_that_both_answered() -> None:
    examples = examples_in_groups(30, 6)
    groups = [str(example.group) for example in examples]
    good = asked("good", examples, set(), failed=frozenset(range(6)))
    comparison = compare_contenders(good, asked("bad", examples, {7, 13, 20}), "accuracy", groups)
    assert (comparison.n, comparison.clusters, comparison.test) == (24, 4, "clustered t")
    all_but_one_a_group = frozenset(i for i in range(30) if i % 6)
    alone = compare_contenders(
        asked("good", examples, set(), all_but_one_a_group),
        asked("bad", examples, {6}),
        "accuracy",
        groups,
    )
    assert (alone.n, alone.clusters, alone.test) == (5, None, "mid-p McNemar")
