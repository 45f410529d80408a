"""What is a label, and what is forgiven when labels are compared: one rule for check, split,
scorer, form, analysis."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.contenders.output_constraint import infer_output_constraint
from tunesmith.data.label_detection import build_label_set, count_possible_labels, find_labels
from tunesmith.data.normalization import detect_labels
from tunesmith.data.text_folding import (
    EDGE_AND_CASE_FOLDING,
    EDGE_FOLDING,
    NO_FOLDING,
    SPACE_FOLDING,
    choose_folding,
)
from tunesmith.evaluation.scorers.scorer_registry import choose_scorer
from tunesmith.records import Example, Message

PATHS = [
    f"Home & Garden > Kitchen & Dining > Kitchen Tools and Utensils > Part {i} of the House"
    for i in range(4)
]
INTENTS = [f"intent_{i}" for i in range(148)]


def drawn(labels: list[str], number: int) -> list[str]:
    draw = random.Random(1)
    return [*labels, *(draw.choice(labels) for _ in range(number - len(labels)))]


@pytest.mark.parametrize(
    ("answers", "number"),
    [
        (["yes", "no"] * 3, 2),
        (PATHS * 12, 4),
        (drawn(INTENTS, 403), 148),
        (["1", "2", "3", "4", "5"] * 9, 5),
        (["True", "False"] * 5, 2),
        ([f"<think>why {i}</think>{'ab'[i % 2]}" for i in range(10)], 2),
        (["spam"] * 5, 1),
    ],
)
def test_answers_that_are_used_again_are_labels_whatever_their_length(
    answers: list[str], number: int
) -> None:
    found = find_labels(answers)
    assert found is not None and len(found.labels) == number


@pytest.mark.parametrize(
    "answers",
    [
        ["Paris", "Rome", "Oslo", "Bern"],
        ["yes"] * 70
        + [f"town {i}" for i in range(30)],  # the next answer is a new one in 3 of 10 cases
        [f"label {i % 250}" for i in range(2_500)],
        ["two\nlines", "two\nmore"] * 9,
        [],
    ],
)
def test_other_answers_are_none(answers: list[str]) -> None:
    assert find_labels(answers) is None


def test_check_split_scorer_and_form_agree_on_what_labels_are() -> None:
    for answers in (
        PATHS * 12,
        drawn(INTENTS, 403),
        ["mW", "MW", "kW"] * 8,
        ["yes", "no", "n/a"] * 2,
    ):
        examples = [
            Example(i, (Message("user", f"question {i}"), Message("assistant", answer)))
            for i, answer in enumerate(answers)
        ]
        labels, form = detect_labels(examples), infer_output_constraint(answers)[0]
        assert labels == answers and form is not None
        assert set(form.labels) == set(answers)
        assert choose_scorer(answers)[0].name == "label"


def test_answers_with_reasoning_are_not_held_to_a_form() -> None:
    form, reason = infer_output_constraint(
        [f"<think>why {i}</think>{'ab'[i % 2]}" for i in range(10)]
    )
    assert (
        form is None
        and reason
        == "The 10 training answers contain reasoning before the final answer: no constraint."
    )


def test_labels_that_are_too_rare_for_the_rule_are_offered() -> None:
    answers = [f"intent_{i % 20}" for i in range(34)]
    assert find_labels(answers) is None and count_possible_labels(answers) == 20
    assert (
        "If these are 20 labels (1.7 uses each), use --set evaluation.scorer=label."
        in choose_scorer(answers)[1]
    )


@pytest.mark.parametrize(
    ("answers", "folding"),
    [
        (["Spam", "spam", "spam", "ham"], EDGE_AND_CASE_FOLDING),  # one slip
        (["mW", "MW", "kW"] * 4, EDGE_FOLDING),
        (["Polish", "polish"] * 4, EDGE_FOLDING),
        (["Masse", "Maße"] * 4, EDGE_FOLDING),
        (["m2", "m²"] * 4, EDGE_FOLDING),
        (["a.", "a"] * 4, SPACE_FOLDING),
        (["(a)", "a"] * 4, SPACE_FOLDING),
        (["Yes."] * 400 + ["yes"] * 20, EDGE_AND_CASE_FOLDING),
        (
            ["caf\u00e9", "cafe\u0301"] * 4,
            EDGE_AND_CASE_FOLDING,
        ),  # the same text, written in two ways
        (["a\tb", "a b"] * 4, EDGE_AND_CASE_FOLDING),
    ],
)
def test_no_more_is_forgiven_than_keeps_answers_apart(answers: list[str], folding: object) -> None:
    assert choose_folding(answers) is folding


def test_a_list_of_labels_keeps_them_all() -> None:
    assert build_label_set(["mW", "MW"]).labels == ("MW", "mW")
    assert build_label_set(["Yes", "yes", "yes"]).labels == ("yes",)


@settings(deadline=None)
@given(
    st.lists(
        st.text(min_size=1, max_size=8).filter(lambda text: bool(text.strip())),
        min_size=2,
        max_size=6,
    )
)
def test_labels_in_use_are_never_folded_into_each_other(labels: list[str]) -> None:
    different = list({" ".join(label.split()): label.strip() for label in labels}.values())
    folding = choose_folding([label for label in different for _ in range(5)])
    spaced = {SPACE_FOLDING(label) for label in different}
    assert len({folding(label) for label in different}) == len(
        different if folding is NO_FOLDING else spaced
    )
