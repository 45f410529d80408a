"""Which label an answer says: however it is said, and never because a label's word stands
somewhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.data.final_answer import extract_final_answer
from tunesmith.evaluation.scorers.label import LabelScorer

LETTERS = LabelScorer(["A", "B", "C", "D"])
YES_NO = LabelScorer(["yes", "no"])
CARDS = LabelScorer(["card", "card_lost", "card_arrival"])
STARS = LabelScorer(["1", "2", "3", "4", "5"])
SIGNS = LabelScorer(["-1", "0", "1"])
UNITS = LabelScorer(["mW", "MW", "kW"] * 3)
SPAM = LabelScorer(["spam", "ham"])

WAYS = [
    "{}",
    "{}.",
    "({})",
    "**{}**",
    "`{}`",
    '"{}"',
    "{}. It is so",
    "{}) It is so",
    "({}) It is so",
    "**{}.** It is so",
    "{}: it is so",
    "{} - it is so",
    "{} (it is so)",
    "{} because it is so",
    "The answer is {}",
    "The answer is ({}).",
    "The answer is **{}**.",
    "The answer is {}. It is so",
    "The answer is {} because it is so",
    "Answer: {}",
    "**Answer:** {}",
    "Answer:\n{}",
    "\\boxed{{{}}}",
    "$\\boxed{{\\text{{{}}}}}$",
    "So it is.\n#### {}",
    '{{"answer": "{}"}}',
    '{{"reason": "it is so", "label": "{}"}}',
    '```json\n{{"label": "{}"}}\n```',
    '["{}"]',
    "It is so.\n\n{}",
    "> {}",
    "### {}",
    "- {}",
    "Final answer: **{}**",
    "Option {} is correct.",
    "{} is the correct answer.",
    "I would choose {}.",
    "I classify it as {}.",
    "It is so. {}",
    "Die Antwort ist {}.",
    "答案是{}。",
    "<think>It is {}, no.</think>{}",
    "label = {}",
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("scorer", "labels"),
    [
        (LETTERS, "ABCD"),
        (CARDS, ["card", "card_lost"]),
        (STARS, "15"),
        (UNITS, ["mW", "MW"]),
        (YES_NO, ["yes", "no"]),
    ],
)
def test_a_label_that_is_said_counts(way: str, scorer: LabelScorer, labels: list[str]) -> None:
    for label in labels:
        answer = extract_final_answer(way.format(*[label] * way.count("{}")))
        assert scorer.extract_label(answer) == scorer.normalize_label(label)
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
    assert scorer.extract_label(answer) == label


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


@pytest.mark.parametrize(
    ("scorer", "answer", "label"),
    [
        # UKGovernmentBEIS/inspect_ai#5055, #2216: decoration, and words that begin with a letter
        # that is an option
        (LETTERS, "ANSWER: $\\text{A}$", "a"),
        (LETTERS, "ANSWER: $\\boxed{\\mathrm{A}}$", "a"),
        (LETTERS, "ANSWER: None of the above", None),
        (LETTERS, "ANSWER: Don't know", None),
        # openai/simple-evals#33, groq/openbench#348: the first letter of the next word is no answer
        (LETTERS, "Antwort:\n\nAntwort: C", "c"),
        (LETTERS, "Answer seems to be A.", "a"),
        # jundot/omlx#3668: what is said after the answer does not overwrite it
        (LETTERS, "The answer is B. Note that A is a common distractor.", "b"),
        (LabelScorer(list("ABCDEFGHIJ")), "The answer is C because I computed the integral.", "c"),
        # NVIDIA-NeMo/Skills#1526: letters of a formula are not the option
        (LETTERS, "\\boxed{\\langle H\\rangle \\ll \\Delta E}\n\n**Answer: D**", "d"),
        # EleutherAI/lm-evaluation-harness#3842: a verb behind the label
        (LETTERS, "정답은 C입니다.", "c"),
        (LETTERS, "풀이가 길다. 따라서 정답: C", "c"),
        (LETTERS, "解答はCです", "c"),
        (LETTERS, "정답은 Cat입니다.", None),
        # kaiko-ai/eva#951: the answer between tags
        (SPAM, "It begs for money.\n<label>spam</label>", "spam"),
        (SPAM, "<label>spam</label> or <label>ham</label>", None),
        # HazyResearch/legalbench#53: a class that is denied is not predicted
        (
            LabelScorer(["de facto merger", "mere continuation"]),
            "This is not a de facto merger; the better theory is mere continuation.",
            "mere continuation",
        ),
        (LabelScorer(["true", "false"]), "The statement is not false, it is true.", "true"),
        # a JSON number that has a decimal point, as services write ratings
        (STARS, '{"rating": 4.0}', "4"),
        (STARS, "4.0", "4"),
        (STARS, "4.05", None),
        (STARS, "Score: 3 (was 4)", "3"),
    ],
)
def test_ways_of_saying_a_label_that_other_tools_misread(
    scorer: LabelScorer, answer: str, label: str | None
) -> None:
    assert scorer.extract_label(answer) == label


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("ANSWER: A, C", "A,C"),
        ("ANSWER: A and C", "A,C"),
        ("C; A", "A,C"),
        ("ANSWER: A, B, and D", "A,B,D"),
        ("The answer is B, D and A.", "A,B,D"),
        ("C", "C"),
        ("A and B", None),
        ("ANSWER: A, or C", None),
    ],
)
def test_the_order_of_a_list_of_labels_and_the_word_before_its_last_do_not_count(
    answer: str, right: str | None
) -> None:
    lists = LabelScorer(["A,C", "B", "A,B,D", "C"] * 3)  # UKGovernmentBEIS/inspect_ai#4835
    assert [
        label for label in ("A,C", "B", "A,B,D", "C") if lists.score(answer, label)["accuracy"]
    ] == ([right] if right else [])


def test_lists_that_differ_in_their_order_only_stay_apart() -> None:
    ranks = LabelScorer(["A,B", "B,A"] * 4)
    assert ranks.score("B,A", "A,B") == {"accuracy": 0.0}
    assert ranks.score("B,A", "B,A") == {"accuracy": 1.0}
