"""Which label an answer says: however it is said, and never because a label's word stands somewhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.data.final_answer import final_answer
from tunesmith.evaluation.scorers.label import LabelScorer

LETTERS = LabelScorer(["A", "B", "C", "D"])
YES_NO = LabelScorer(["yes", "no"])
CARDS = LabelScorer(["card", "card_lost", "card_arrival"])
STARS = LabelScorer(["1", "2", "3", "4", "5"])
SIGNS = LabelScorer(["-1", "0", "1"])
UNITS = LabelScorer(["mW", "MW", "kW"] * 3)
SPAM = LabelScorer(["spam", "ham"])

WAYS = [
    "{}", "{}.", "({})", "**{}**", "`{}`", '"{}"', "{}. It is so", "{}) It is so", "({}) It is so", "**{}.** It is so",
    "{}: it is so", "{} - it is so", "{} (it is so)", "{} because it is so", "The answer is {}", "The answer is ({}).",
    "The answer is **{}**.", "The answer is {}. It is so", "The answer is {} because it is so", "Answer: {}",
    "**Answer:** {}", "Answer:\n{}", "\\boxed{{{}}}", "$\\boxed{{\\text{{{}}}}}$", "So it is.\n#### {}",
    '{{"answer": "{}"}}', '{{"reason": "it is so", "label": "{}"}}', '```json\n{{"label": "{}"}}\n```', '["{}"]',
    "It is so.\n\n{}", "> {}", "### {}", "- {}", "Final answer: **{}**", "Option {} is correct.",
    "{} is the correct answer.", "I would choose {}.", "I classify it as {}.", "It is so. {}", "Die Antwort ist {}.",
    "答案是{}。", "<think>It is {}, no.</think>{}", "label = {}",
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("scorer", "labels"),
    [(LETTERS, "ABCD"), (CARDS, ["card", "card_lost"]), (STARS, "15"), (UNITS, ["mW", "MW"]), (YES_NO, ["yes", "no"])],
)
def test_a_label_that_is_said_counts(way: str, scorer: LabelScorer, labels: list[str]) -> None:
    for label in labels:
        answer = final_answer(way.format(*[label] * way.count("{}")))
        assert scorer.label_of(answer) == scorer.key_of(label)
        others = [other for other in scorer.label_set.labels if other != label]
        assert [scorer.score(answer, other)["accuracy"] for other in others] == [0.0] * len(others)


@pytest.mark.parametrize(
    ("scorer", "answer", "label"),
    [
        (LETTERS, "B. A cow", "b"),
        (LETTERS, "A cow", None),
        (LETTERS, "The answer is A cow", None),
        (LETTERS, "A. A cow\nB. A hen\nC. A fox\nD. A dog\n\nThe answer is B.", "b"),
        (LETTERS, "A. A cow\nB. A hen\nC. A fox\nD. A dog", None),
        (LETTERS, "It is not A. The answer is B.", "b"),
        (LETTERS, "The answer is not A.", None),
        (LETTERS, "The answer is A or B", None),
        (LETTERS, "A, B", None),
        (LETTERS, "A and B", None),
        (LETTERS, "Answer: A\nAnswer: B", None),
        (LETTERS, "Let me think. A hen clucks.\nB. A hen", "b"),
        (LETTERS, "\uff22", "b"),
        (YES_NO, "No, there is no doubt.", "no"),
        (YES_NO, "Yes, there is no doubt about it.", "yes"),
        (YES_NO, "yes: no", None),
        (YES_NO, "yes, not really", None),
        (YES_NO, "I do not know", None),
        (YES_NO, "No\n\nYes", None),
        (CARDS, "card lost", None),
        (CARDS, "The card is lost.", None),
        (CARDS, "The intent is `card_arrival`, about a card.", "card_arrival"),
        (CARDS, "card-holder: me", None),
        (STARS, "4.5", None),
        (STARS, "Rating: 4.5", None),
        (STARS, "14", None),
        (STARS, "4 stars", "4"),
        (STARS, "4/5", "4"),
        (STARS, "My rating: 4 out of 5.", "4"),
        (STARS, "4/5/2024", None),
        (STARS, "14/20", None),
        (SIGNS, "\u22121", "-1"),
        (SIGNS, "sentiment: -1", "-1"),
        (SIGNS, "+1", None),
        (UNITS, "mw", None),
        (SPAM, "not spam", None),
        (SPAM, "It does not beg, so the answer is ham.", "ham"),
        (SPAM, "This message belongs to the category Spam.", "spam"),
        (SPAM, "It isn't ham.", None),
        (SPAM, "The message is ham, not spam.", "ham"),
        (SPAM, "Is it spam or ham? Spam.", "spam"),
        (SPAM, '{"spam": 0.9, "ham": 0.1}', None),
        (LabelScorer(["I", "II", "III"]), "I think it is II.", "ii"),
        (LabelScorer(["not spam", "spam"]), "This is not spam.", "not spam"),
        (LabelScorer(["true", "false"]), '{"label": true}', "true"),
        (LabelScorer(["none", "minor"]), "None of the above", None),
    ],
)
def test_words_that_are_labels_too(scorer: LabelScorer, answer: str, label: str | None) -> None:
    assert scorer.label_of(answer) == label


def test_a_label_that_no_train_answer_had_is_read_like_the_others() -> None:
    assert SPAM.score("The label is phishing.", "phishing") == {"accuracy": 1.0}
    assert SPAM.score("The label is spam, not phishing.", "phishing") == {"accuracy": 0.0}


@given(st.sampled_from(["spam", "ham"]), st.text(alphabet="xyz ,", max_size=30))
def test_prose_without_a_label_changes_nothing(label: str, prose: str) -> None:
    assert SPAM.score(f"{prose}\nThe answer is {label}.\n{prose}", label) == {"accuracy": 1.0}


@given(st.text(max_size=60))
def test_any_text_says_one_label_at_most(text: str) -> None:
    scores = [SPAM.score(text, label)["accuracy"] for label in ("spam", "ham")]
    assert sum(scores) in (0.0, 1.0)
