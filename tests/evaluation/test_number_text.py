"""Numbers as people, models and accountants write them, and what is no number."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.evaluation.scorers.number import NumberScorer
from tunesmith.evaluation.scorers.number_parsing import (
    NumberStyle,
    infer_style,
    normalize_markup,
    parse_number,
)
from tunesmith.evaluation.scorers.scorer_registry import choose_scorer

POINT, COMMA = NumberStyle("."), NumberStyle(",")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1,234.50", "1234.5"),
        ("1.234,50", "1234.5"),
        ("1 234,50 €", "1234.5"),
        ("1\u202f234,50", "1234.5"),
        ("1'234.50", "1234.5"),
        ("1\u2019234.50", "1234.5"),
        ("12,34,567", "1234567"),
        ("1 234 567", "1234567"),
        ("$1,234.5", "1234.5"),
        ("CHF 1'234.50", "1234.5"),
        ("12,5", "12.5"),
        ("0,125", "0.125"),
        ("0.125", "0.125"),
        (".5", "0.5"),
        ("1e3", "1000"),
        ("1E-2", "0.01"),
        ("1.2 x 10^3", "1200"),
        ("1.2 \u00d7 10\u00b3", "1200"),
        ("3/4", "0.75"),
        ("1 1/2", "1.5"),
        ("1\u00bd", "1.5"),
        ("\\frac{3}{4}", "0.75"),
        ("-5", "-5"),
        ("\u22125", "-5"),
        ("\u20135", "-5"),
        ("-$5", "-5"),
        ("$-5", "-5"),
        ("+5", "5"),
        ("50 %", "50"),
        ("50 percent", "50"),
        ("$1.2 million", "1200000"),
        ("5k", "5000"),
        ("3M", "3000000"),
        ("€3m", "3000000"),
        ("5 m", "5"),
        ("12 kg", "12"),
        ("**18**", "18"),
        ("$18$", "18"),
        ("18.", "18"),
        ("x = 12", "12"),
        ("(12)", "12"),
    ],
)
def test_a_number_is_read_however_it_is_written(text: str, value: str) -> None:
    found = parse_number(normalize_markup(text), POINT)
    assert found is not None and found.value == Decimal(value)


@pytest.mark.parametrize(
    "text",
    [
        "12:30",
        "2024-01-05",
        "7/8/2024",
        "5-6",
        "5\u20136",
        "1.2.3",
        "1,23,4",
        "18 apples in 3 days",
        "1/0",
        "",
        "twelve",
        "A12",
        "1_000",
    ],
)
def test_what_is_no_number_is_compared_as_text(text: str) -> None:
    assert parse_number(normalize_markup(text), POINT) is None
    assert NumberScorer().score(text, text) == {"number_match": 1.0}
    assert NumberScorer().score(f"{text} or so", text) == {"number_match": 0.0}


def test_the_references_say_which_sign_is_the_decimal_sign() -> None:
    assert infer_style(["12,5", "1.234"]) == COMMA
    assert (
        infer_style(["12.5", "1,234"])
        == infer_style(["12,5", "12.5"])
        == infer_style(["1,234"])
        == POINT
    )
    german, english = NumberScorer(["12,5", "1.234"]), NumberScorer(["12.5", "1,234"])
    assert german.score("1234", "1.234") == english.score("1234", "1,234") == {"number_match": 1.0}
    assert (
        german.score("1,234", "1.234") == english.score("1.234", "1,234") == {"number_match": 0.0}
    )
    assert german.score("12.5", "12,5") == english.score("12,5", "12.5") == {"number_match": 1.0}


def test_brackets_are_negative_where_the_references_write_them() -> None:
    assert NumberScorer(["(1,200)", "300"]).score("-1200", "(1,200)") == {"number_match": 1.0}
    assert NumberScorer(["1,200", "300"]).score("(300)", "300") == {"number_match": 1.0}


@pytest.mark.parametrize(
    ("answer", "reference", "score"),
    [
        ("#### 12,6", "#### 12,5", 0.0),
        ("#### 12", "#### 12,5", 0.0),
        ("The answer is 18, because 9 * 2 = 18.", "18", 1.0),
        ("The answer is 18 apples in 3 days.", "3", 0.0),
        ("The answer is the sum of 9 and 9, which is 18", "18", 1.0),
        ("So \\boxed{18} of the 20.", "18", 1.0),
        ("So \\boxed{\\frac{1}{2}}", "0.5", 1.0),
        ("It is $1,234.50.", "1234.5", 1.0),
        ("It is 1 234,50 € in all.", "1234.5", 1.0),
        ("It is due on 2024-01-05", "5", 0.0),
        ("5 g", "5 kg", 0.0),
        ("5 MW", "5 mW", 0.0),
        ("€5", "$5", 0.0),
        ("5", "$5", 1.0),
        ("5 dollars", "$5", 1.0),
        ("5k", "5", 0.0),
        ("5 12", "12", 1.0),
        ("12 to 15", "#### 12 to 15", 1.0),
    ],
)
def test_all_that_stands_behind_a_mark_is_the_number(
    answer: str, reference: str, score: float
) -> None:
    assert NumberScorer([reference]).score(answer, reference) == {"number_match": score}


TITLES = ("monkey", "idiot", "day", "year", "ruler", "wonder", "sister")


@pytest.mark.parametrize(
    ("answers", "name"),
    [
        (["1234.50", "99", "12,000.00"] * 3, "number"),
        ([f"${i}.99" for i in range(30)], "number"),
        ([f"{i} kg" for i in range(30)], "number"),
        ([f"{i}%" for i in range(30)], "number"),
        ([f"#### {i},5" for i in range(30)], "number"),
        ([f"<think>{i} and 1</think>\n{i + 1}" for i in range(30)], "number"),
        (["1", "2", "3", "4", "5"] * 9, "label"),  # ratings
        ([f"0{i}71" for i in range(10, 40)], "normalised"),  # codes: a leading zero counts
        (
            [
                f"{i} {word}s"
                for i, word in enumerate(
                    ["monkey", "idiot", "angry", "year", "day", "men", "ruler"]
                )
            ],
            "normalised",
        ),
        ([f"12:{i}" for i in range(10, 40)], "normalised"),
        ([f"2024-01-{i}" for i in range(10, 30)], "normalised"),
    ],
)
def test_numbers_are_compared_where_all_answers_are_amounts(answers: list[str], name: str) -> None:
    assert choose_scorer(answers)[0].name == name


NUMBERS = st.decimals(-(10**9), 10**9, allow_nan=False, places=2)
WAYS = [
    "{}",
    "#### {}",
    "The answer is {}.",
    "\\boxed{{{}}}",
    "**{}**",
    "It is {} kg.",
    "<b>\n{}",
    "$x = {}$",
    "so {}!",
]


@given(NUMBERS, st.sampled_from(WAYS), st.sampled_from(["{}", "{:,}", "{:.3f}"]))
def test_the_right_number_is_right_in_any_prose_and_another_is_not(
    number: Decimal, way: str, form: str
) -> None:
    text = way.format(form.format(number))
    assert NumberScorer().score(text, str(number)) == {"number_match": 1.0}
    assert NumberScorer().score(text, str(number + 1 + abs(number))) == {"number_match": 0.0}


@given(NUMBERS)
def test_a_decimal_comma_is_the_same_number(number: Decimal) -> None:
    written = f"{number:,}".translate(str.maketrans(",.", ".,"))
    assert NumberScorer(["12,5"]).score(f"#### {written}", str(number).replace(".", ",")) == {
        "number_match": 1.0
    }


@given(st.text(max_size=50), st.text(max_size=50))
def test_scores_are_0_or_1_and_a_text_is_right_as_an_answer_to_itself(a: str, b: str) -> None:
    assert NumberScorer([b]).score(a, b)["number_match"] in (0.0, 1.0)
    assert NumberScorer([b]).score(b, b) == {"number_match": 1.0}


@pytest.mark.parametrize(
    ("answer", "reference", "score"),
    [
        # antirez/ds4#319: the result of the working counts, not its first term
        ("Answer: m+n = 256+37 = 293", "293", 1.0),
        ("Answer: 2*7 + 3*6 + 49 = 81", "81", 1.0),
        ("The answer is 256 + 37 = 293, which is prime.", "293", 1.0),
        ("The answer is 256 + 37 = 293", "256", 0.0),
        # EuroEval/EuroEval#2167: a power is its value, and its exponent is no answer
        ("2^{10}", "1024", 1.0),
        ("2^10", "10", 0.0),
        ("It is 10^6.", "6", 0.0),
        ("10^6", "1000000", 1.0),
        ("x^2", "2", 0.0),
        ("2^-1", "0.5", 1.0),
        # asuzukosi/post-training-experiments#49: two numbers that disagree are no answer, nor is a
        # denied one
        ("12 or 13", "13", 0.0),
        ("Between 290 and 293", "293", 0.0),
        ("5 kg or 6 kg", "6", 0.0),
        ("The answer is not 293", "293", 0.0),
        ("It isn't 293.", "293", 0.0),
        ("not 292, so 293", "293", 1.0),
        ("The answers are 3 and 4", "4", 0.0),
        ("3 and 4 make 7", "7", 1.0),
        # a mark of a source is no number
        ("It is 42 [1].", "42", 1.0),
        ("42\n\nSources: [1], [2]", "42", 1.0),
        ("42 [1, 3]", "3", 0.0),
        ("42【3†source】", "42", 1.0),
        ("[42]", "42", 1.0),
        # marin-community/marin#9163: a box that never closes hides the one before it
        ("\\boxed{12}, no: \\boxed{", "12", 0.0),
        # aisa-group/PostTrainBench#44, NVIDIA-NeMo/Skills#1074
        ("ANSWER: 711", "11", 0.0),
        ("Final answer: 082", "82", 1.0),
    ],
)
def test_numbers_that_other_graders_misread(answer: str, reference: str, score: float) -> None:
    assert NumberScorer([reference]).score(answer, reference) == {"number_match": score}


def test_long_rows_of_powers_equals_and_marks_are_read_quickly() -> None:
    for text in (
        "2^" * 50_000,
        "= " * 50_000,
        "[1" * 50_000,
        "answer is 1+" * 8_000,
        "1 or " * 20_000,
    ):
        assert NumberScorer(["7"]).score(text, "7") == {"number_match": 0.0}
