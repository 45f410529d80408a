"""TER as a score: 1 is best, a moved phrase is one edit, and long texts are not judged."""

import pytest

from tunesmith.errors import DataError
from tunesmith.evaluation.scorers import choose_scorer
from tunesmith.evaluation.scorers.scorer_protocol import ScoringFailure, ScoringInput
from tunesmith.evaluation.scorers.ter import MAX_WORDS, TerScorer
from tunesmith.records.quantity import format_metric_name


@pytest.mark.parametrize(
    ("answer", "reference", "score"),
    [
        ("the cat sat on the mat", "the cat sat on the mat", 1.0),
        ("The CAT sat", "the cat sat", 1.0),
        ("a b c d e f", "d e f a b c", 1 - 1 / 6),
        ("a b x d", "a b c d", 0.75),
        ("a b", "a b c d", 0.5),
        ("a b c d e", "a", 0.0),
        ("", "", 1.0),
        ("x", "", 0.0),
        ("", "a b", 0.0),
    ],
)
def test_a_score_is_one_minus_the_edits_for_each_reference_word(
    answer: str, reference: str, score: float
) -> None:
    assert TerScorer().score(answer, reference)["one_minus_ter"] == pytest.approx(score)


def test_a_text_too_long_for_ter_is_not_judged_instead_of_scored_0() -> None:
    long = "word " * (MAX_WORDS + 1)
    items = [ScoringInput("a", "a"), ScoringInput(long, "a"), ScoringInput("a", long)]
    first, *others = TerScorer().score_items(items)
    assert first == {"one_minus_ter": 1.0}
    assert all(isinstance(one, ScoringFailure) and "201 words" in one.reason for one in others)
    with pytest.raises(DataError, match="201 words"):
        TerScorer().score(long, "a")


def test_the_scorer_is_named_and_its_metric_reads_as_words() -> None:
    scorer, _ = choose_scorer(["a b", "c d"], "ter")
    assert isinstance(scorer, TerScorer)
    assert format_metric_name(scorer.metric) == "one minus TER"
