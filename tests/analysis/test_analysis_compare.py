"""Two runs compared: changes by name, scores paired where the examples allow it, noise told from
difference."""

from dataclasses import replace

import pytest
from runs_to_compare import facts, questions

from tunesmith.analysis.run_diff import compare_runs, compute_score_difference
from tunesmith.evaluation.stats.paired_difference import rate_difference
from tunesmith.records import Recipe, RunComparison

TEST = questions(100)
HALF = [i % 2 == 0 for i in range(100)]


def test_the_same_examples_are_compared_in_pairs() -> None:
    better = [mark or i < 30 for i, mark in enumerate(HALF)]
    worse_by_one = [mark and i != 98 for i, mark in enumerate(better)]
    first = facts({"zero-shot": HALF, "tuned": HALF}, TEST, "first")
    second = facts({"zero-shot": HALF, "tuned": worse_by_one}, TEST, "second")
    comparison = compare_runs(first, second)
    same, tuned = comparison.scores
    expected = rate_difference(15, 1, 100)
    assert (tuned.difference.value, tuned.difference.low, tuned.difference.high) == pytest.approx(
        expected[:3]
    )
    assert tuned.p == pytest.approx(min(1, 2 * expected.p)) and tuned.is_significant
    assert tuned.method.startswith("paired on the 100 examples that both answered")
    assert tuned.gained is not None and len(tuned.gained) == 15 and tuned.lost == (TEST[98].id,)
    assert same.difference.value == 0 and not same.is_significant
    assert comparison.notes == () and comparison.recipe == ()
    assert RunComparison.model_validate_json(comparison.model_dump_json()) == comparison


def test_other_examples_are_compared_unpaired_and_it_is_said() -> None:
    comparison = compare_runs(
        facts({"tuned": HALF}, TEST, "first"),
        facts({"tuned": HALF}, questions(100, start=500), "second"),
    )
    (tuned,) = comparison.scores
    assert tuned.method == "unpaired, different examples: Newcombe's interval, Fisher's exact test"
    assert tuned.gained is tuned.lost is None and tuned.difference.low < -0.1
    assert comparison.n_shared_test_examples == 0
    assert comparison.notes == ("Different test sets: 100 and 100 examples, 0 of them in common.",)


def test_examples_that_are_mostly_the_same_are_paired_where_they_are() -> None:
    comparison = compare_runs(
        facts({"tuned": HALF}, TEST, "first"),
        facts({"tuned": HALF[40:] + HALF[:40]}, questions(100, start=40), "second"),
    )
    assert comparison.scores[0].method.startswith("paired on the 60 examples")


def test_what_was_done_differently_is_named() -> None:
    changed = Recipe.model_validate(
        {"training": {"epochs": 2.0}, "requirements": {"min_gain": 0.05}}
    )
    first = facts({"tuned": HALF, "rag": HALF}, TEST, "first")
    second = facts(
        {"tuned": HALF, "few-shot": HALF},
        TEST,
        "second",
        changed,
        model="n",
        content="e" * 64,
        cores=8,
    )
    comparison = compare_runs(first, second)
    assert {change.key: (change.first, change.second) for change in comparison.recipe} == {
        "training.epochs": ("null", "2.0"),
        "requirements.min_gain": ("0.0", "0.05"),
    }
    assert [change.key for change in comparison.data] == ["content"]
    assert [change.key for change in comparison.model] == ["name", "files"]
    assert [change.key for change in comparison.versions] == ["cores"]
    assert comparison.only_in == (("rag",), ("few-shot",)) and not comparison.only_seed_differs
    assert any("different machines" in note for note in comparison.notes)


def test_runs_that_differ_in_the_seed_only_show_the_spread_between_seeds() -> None:
    other = [mark or i < 8 for i, mark in enumerate(HALF)]
    first = facts({"zero-shot": HALF, "tuned": HALF}, TEST, "first")
    second = facts({"zero-shot": HALF, "tuned": other}, TEST, "second", Recipe(seed=1))
    comparison = compare_runs(first, second)
    assert comparison.only_seed_differs and set(comparison.seed_standard_deviation) == {"tuned"}
    assert comparison.seed_standard_deviation["tuned"] == pytest.approx(0.04 / 2**0.5)
    assert comparison.notes[-1].startswith("Only the seed differs: ")


def test_other_metrics_are_not_compared() -> None:
    first = facts({"tuned": HALF}, TEST, "first")
    graded = first.evaluation.model_copy(update={"metric": "rouge_l"})
    comparison = compare_runs(first, replace(first, evaluation=graded))
    assert comparison.scores == ()
    assert comparison.notes[0].startswith(
        "The primary metric is accuracy in the first run and rouge_l in the second"
    )


def test_examples_of_one_group_count_as_one() -> None:
    first = {one.id: float(i % 2) for i, one in enumerate(TEST)}
    second = {one.id: float(i % 2 or i < 20) for i, one in enumerate(TEST)}
    alone = compute_score_difference(first, second)
    grouped = compute_score_difference(
        first, second, {one.id: str(i // 20) for i, one in enumerate(TEST)}
    )
    assert alone.p < 0.05 < grouped.p and alone.value == grouped.value


@pytest.mark.parametrize(
    ("first", "second"), [({}, {"a": 1.0}), ({"a": 0.5}, {"b": 0.5, "c": 0.7})]
)
def test_too_few_answers_show_nothing(first: dict[str, float], second: dict[str, float]) -> None:
    told = compute_score_difference(first, second)
    assert (told.low, told.high, told.p) == (-1, 1, 1)


def test_equal_graded_scores_of_other_examples_show_nothing() -> None:
    told = compute_score_difference({"a": 0.5, "b": 0.5}, {"c": 0.5, "d": 0.5})
    assert (told.value, told.low, told.high, told.p) == (0, -1, 1, 1)
