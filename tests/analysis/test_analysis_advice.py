"""Neighbours, suspects, suggestions and the file to fill in."""

import csv
import random
from pathlib import Path

import pytest
from worlds import World, example, label_examples

from tunesmith.analysis import analyse as analyse_module
from tunesmith.analysis.analyse import analyse
from tunesmith.analysis.neighbours import TrainIndex
from tunesmith.analysis.suspects import suspects_by_neighbours
from tunesmith.analysis.to_label import COLUMNS, safe, write_to_label
from tunesmith.records import Analysis, Example


def test_each_failure_has_its_nearest_train_examples(label_world: World) -> None:
    analysis = analyse(*label_world, "tuned")
    failure = next(one for one in analysis.failures if one.wanted == "refund")
    assert len(failure.neighbours) == 3 and failure.said == "return"
    assert failure.taught + failure.misled <= 3
    assert {one.answer for one in failure.neighbours} <= {"refund", "return"}


def test_what_the_model_contradicts_surely_is_suspect_the_surest_first(label_world: World) -> None:
    evaluation, answers, test, train = label_world
    beliefs = {train[0].id: ("login", 0.85), train[1].id: ("login", 0.99), train[2].id: ("login", 0.6),
               train[3].id: (train[3].answer.upper(), 0.99)}  # fmt: skip
    analysis = analyse(evaluation, answers, test, train, "tuned", beliefs)
    assert [one.line for one in analysis.suspects] == [train[1].line, train[0].line]
    assert (analysis.suspected, analysis.suspects_among) == (2, 4)
    assert analysis.suspects_by == "the tuned model's own answers"
    assert "Check 2 train answers: another answer is more likely." in [one.text for one in analysis.suggestions]


def test_planted_wrong_labels_are_found_by_their_neighbours() -> None:
    draw = random.Random(7)
    train, planted = label_examples(200, seed=1), set()
    for place in draw.sample(range(200), 10):
        wrong = example(
            train[place].line, train[place].question, {"login": "arrival"}.get(train[place].answer, "login")
        )
        train[place] = wrong
        planted.add(wrong.id)
    suspects, among = suspects_by_neighbours(train, TrainIndex(train))
    found = {one.example for one in suspects}
    assert among == 200
    assert len(found & planted) >= 8 and len(found - planted) <= 4


def test_where_no_answer_repeats_neighbours_say_nothing(json_world: World) -> None:
    analysis = analyse(*json_world, "tuned")
    assert (analysis.suspects, analysis.suspects_among) == ((), 0)


def test_suggestions_are_ranked_by_what_they_promise(label_world: World) -> None:
    analysis = analyse(*label_world, "tuned")
    first = analysis.suggestions[0]
    assert first.text == "Add 20 examples that tell refund from return: 18 of 20 errors."
    assert first.reason.startswith("refund was taken for return 18 of 30 times; training has 50 of refund and 50 of ")
    assert first.expected_gain == pytest.approx(18 / 120) and first.most_gain == pytest.approx(18 / 120)
    assert not first.may_be_chance and first.answers == ("refund", "return")
    told = [one for one in analysis.suggestions if not one.may_be_chance]
    gains = [one.expected_gain or 0 for one in told]
    assert gains == sorted(gains, reverse=True) and len(analysis.suggestions) <= 10
    assert "Constrain the answers (evaluation.constrained): 1 of 20 errors name no known label." in [
        one.text for one in analysis.suggestions
    ]


def test_the_same_errors_ask_for_examples_once(label_world: World) -> None:
    """18 of the 18 errors of the label refund are the errors of the pair refund and return."""
    texts = [one.text for one in analyse(*label_world, "tuned").suggestions]
    assert not [text for text in texts if "examples of refund" in text]


def test_a_missing_field_is_asked_for(json_world: World) -> None:
    texts = [one.text for one in analyse(*json_world, "tuned").suggestions]
    assert "Add 20 examples that have suffix: it is missing in 15 of 18 errors." in texts


def test_the_file_to_fill_in_holds_train_examples_and_never_a_test_example(label_world: World, tmp_path: Path) -> None:
    evaluation, answers, test, train = label_world
    analysis = analyse(evaluation, answers, test, train, "tuned", {train[0].id: ("login", 0.9)})
    path = tmp_path / "to_label.csv"
    count = write_to_label(analysis, path)
    rows = list(csv.DictReader(path.open(newline="")))
    assert len(rows) == count and tuple(rows[0]) == COLUMNS
    first = [row for row in rows if row["why"] == analysis.suggestions[0].text]
    assert [row["answer"] for row in first[:4]] == ["refund", "return"] * 2 and len(first) == 20
    assert all(row["question"] == "" for row in rows if row["task"] == "write")
    (check,) = [row for row in rows if row["task"] == "check"]
    assert (check["question"], check["similar_answer"], check["instead"]) == (
        train[0].question,
        train[0].answer,
        "login",
    )
    text = path.read_text()
    assert not [one for one in test if one.question in text]


def test_nothing_to_do_writes_no_file(label_world: World, tmp_path: Path) -> None:
    analysis = analyse(*label_world, "tuned").model_copy(update={"suggestions": (), "suspects": ()})
    assert write_to_label(analysis, tmp_path / "to_label.csv") == 0 and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("cell", "written"),
    [("=1+1", "'=1+1"), ("+49 30", "'+49 30"), ("-5", "'-5"), ("@me", "'@me"), ("  =cmd", "'  =cmd"),
     ("\t=x", "'\t=x"), ("a=b", "a=b"), ("", "")],
)  # fmt: skip
def test_no_cell_is_a_formula(cell: str, written: str) -> None:
    assert safe(cell) == written


def test_formulas_of_the_data_reach_no_spreadsheet(label_world: World, tmp_path: Path) -> None:
    evaluation, answers, test, train = label_world
    evil = [example(one.line, f"=HYPERLINK({one.question})", one.answer) for one in train]
    analysis = analyse(evaluation, answers, test, evil, "tuned", {evil[0].id: ("=A1", 0.9)})
    write_to_label(analysis, tmp_path / "to_label.csv")
    cells = [cell for row in csv.reader((tmp_path / "to_label.csv").open(newline="")) for cell in row]
    assert any("HYPERLINK" in cell for cell in cells)
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]


def test_plain_text_examples_teach_no_answers(label_world: World) -> None:
    evaluation, answers, test, train = label_world
    with_text = [*train, Example(line=999, text="just prose")]
    assert isinstance(analyse_module.analyse(evaluation, answers, test, with_text, "tuned"), Analysis)
