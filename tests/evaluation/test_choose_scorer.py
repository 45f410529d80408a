"""The scorer is chosen by looking at the answers, and says why."""

import pytest

from tunesmith.errors import DataError, RecipeError
from tunesmith.evaluation.scorers import SCORERS, choose_scorer

LABELS = ["spam", "ham", "Spam", "ham", "spam", "ham"]
JSON = ['{"a": 1}', '["x"]']
SHORT = ["Paris", "Rome", "Oslo", "Bern"]
LONG = ["a rather long answer " * 9] * 9 + ["short"]


@pytest.mark.parametrize(
    ("answers", "name", "said"),
    [
        (JSON, "json", "All 2 train answers are JSON"),
        (LABELS, "label", "6 train answers are 2 labels of at most 4 characters"),
        (SHORT, "normalised", "9 of 10 of the 4 train answers have at most 5 characters and 4 of them differ"),
        (LONG, "rouge-l", "189 characters or more"),
        (["1", "2", "3"], "normalised", "3"),  # numbers are JSON too, but nothing with fields
        (
            [*JSON, "oops"],
            "normalised",
            '1 of 3 train answers is no JSON object or list (the first is "oops"): to compare fields',
        ),
        (
            [*JSON * 495, *["n/a"] * 10],
            "json",
            '10 of 1,000 train answers are no JSON object or list (the first is "n/a"), all others',
        ),
        ([*JSON * 494, *["n/a"] * 12], "label", "12 of 1,000 train answers are no JSON"),
    ],
)
def test_by_looking(answers: list[str], name: str, said: str) -> None:
    scorer, reason = choose_scorer(answers)
    assert scorer.name == name
    assert said in reason and reason.endswith(".")


@pytest.mark.parametrize("name", SCORERS)
def test_by_name(name: str) -> None:
    scorer, reason = choose_scorer(JSON, name)
    assert scorer.name == name and name in reason


def test_an_unknown_name_is_told_the_nearest_and_all() -> None:
    with pytest.raises(RecipeError) as caught:
        choose_scorer(SHORT, "normalized")
    assert str(caught.value) == (
        "error[recipe/unknown-scorer]: There is no scorer 'normalized'. where evaluation.scorer · "
        "found known are auto, exact, normalised, label, json, rouge-l, chrf · do write 'normalised'"
    )


def test_nothing_to_look_at() -> None:
    with pytest.raises(DataError, match="no-answers"):
        choose_scorer([])
