"""What leaked is taken out again: the clean score beside the full one, and a warning where the
verdict hangs on it."""

import pytest

from tests.decision.cases import contender, evaluation
from tunesmith.decision import decide
from tunesmith.decision.clean_evaluation import approximate_clean_evaluation
from tunesmith.records import Evaluation, Quantity, Requirements


def leaky(clean: dict[str, float], leaked: int = 100) -> Evaluation:
    """zero-shot scores 50 %, tuned 80 % on all 400; on the clean ones what is given."""
    made = [
        contender(kind, score).model_copy(
            update={
                "score_without_contaminated": Quantity(
                    value=clean[kind],
                    low=clean[kind] - 0.06,
                    high=clean[kind] + 0.06,
                    n=400 - leaked,
                )
            }
        )
        for kind, score in (("zero-shot", 0.5), ("tuned", 0.8))
    ]
    return evaluation(made).model_copy(update={"contaminated": tuple(map(str, range(leaked)))})


def test_a_verdict_that_rests_on_leaks_is_warned_of() -> None:
    decision = decide(leaky({"zero-shot": 0.5, "tuned": 0.5}), Requirements())
    assert decision.verdict == "fine-tune"
    assert decision.warnings == (
        (
            "100 of 400 test examples (25.0 %) resemble training examples that were not "
            "removed, so scores also reflect memorization: the gain from tuning may be "
            "smaller on new questions."
        ),
        (
            "The verdict depends on contaminated test examples: on the 300 clean ones it "
            "would be 'prompt' instead of 'fine-tune'."
        ),
    )
    assert (
        "On the test examples without contamination tuned scores 50.0 % (95 % interval 44.0 "
        "to 56.0 %, n = 300), on all of them 80.0 %." in decision.reasons
    )


def test_a_verdict_that_stands_without_them_is_not() -> None:
    assert (
        decide(leaky({"zero-shot": 0.5, "tuned": 0.78}, leaked=40), Requirements()).warnings == ()
    )


def test_many_leaks_are_warned_of_even_where_the_verdict_stands() -> None:
    (warning,) = decide(
        leaky({"zero-shot": 0.5, "tuned": 0.78}, leaked=41), Requirements()
    ).warnings
    assert warning.startswith("41 of 400 test examples (10.2 %) resemble training examples")


def test_clean_comparisons_are_reckoned_from_clean_scores_with_wider_intervals() -> None:
    clean = approximate_clean_evaluation(leaky({"zero-shot": 0.5, "tuned": 0.6}))
    assert clean is not None and len(clean.examples) == 300
    (pair,) = clean.comparisons
    half = 0.05 * (400 / 300) ** 0.5
    assert (pair.difference, pair.low, pair.high) == pytest.approx((-0.1, -0.1 - half, -0.1 + half))
    assert pair.n == 300
    assert pair.p < 0.05  # 0 lies outside the interval


def test_nothing_is_reckoned_where_nothing_leaked_or_everything_did() -> None:
    assert approximate_clean_evaluation(evaluation({"zero-shot": 0.5})) is None
    everything = evaluation({"zero-shot": 0.5, "tuned": 0.8}).model_copy(
        update={"contaminated": tuple(map(str, range(400)))}
    )
    assert approximate_clean_evaluation(everything) is None
