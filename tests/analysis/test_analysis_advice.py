"""Neighbours, suspects, suggestions and the file to fill in."""

import csv
import random
import re
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from worlds import World, example, label_examples

from tunesmith.analysis import error_analysis as analyse_module
from tunesmith.analysis.error_analysis import analyze_errors
from tunesmith.analysis.label_issues import LabelSignal, find_label_issues
from tunesmith.analysis.labeling_sheet import COLUMNS, escape_formula, write_labeling_sheet
from tunesmith.records import Analysis, Example


def test_each_failure_has_its_nearest_train_examples(label_world: World) -> None:
    analysis = analyze_errors(*label_world, "tuned")
    failure = next(one for one in analysis.failures if one.expected == "refund")
    assert len(failure.neighbors) == 3 and failure.predicted == "return"
    assert failure.neighbors_with_reference + failure.neighbors_with_prediction <= 3
    assert {one.answer for one in failure.neighbors} <= {"refund", "return"}


class SortedLetters:
    """An `Embedder` for which texts of the same letters mean the same."""

    name = "letters"

    def embed(self, texts: Sequence[str]) -> Any:
        counts_ND = np.array(
            [[text.count(letter) for letter in string.ascii_lowercase] for text in texts],
            np.float32,
        )
        return counts_ND / np.maximum(np.linalg.norm(counts_ND, axis=1, keepdims=True), 1e-9)


def mislabeled() -> tuple[list[Example], set[str]]:
    """200 train examples, 10 of them with a wrong label, and the ids of those."""
    draw = random.Random(7)
    train, planted = label_examples(200, seed=1), set()
    for place in draw.sample(range(200), 10):
        old = train[place]
        train[place] = example(
            old.line, old.question, {"login": "arrival"}.get(old.answer, "login")
        )
        planted.add(train[place].id)
    return train, planted


def test_planted_wrong_labels_are_found_where_words_and_meaning_agree(label_world: World) -> None:
    evaluation, answers, test, _ = label_world
    train, planted = mislabeled()
    analysis = analyze_errors(evaluation, answers, test, train, "tuned", embedder=SortedLetters())
    found = {one.example for one in analysis.label_issues}
    assert len(found & planted) >= 8 and not found - planted
    assert (
        analysis.label_issue_signals == "nearest neighbors by words, nearest neighbors by meaning"
    )
    assert {one.n_signals for one in analysis.label_issues} == {2}


def test_with_one_signal_nothing_is_suspected(label_world: World) -> None:
    """Three right labels of three were called wrong "with 100 %" by their nearest words alone."""
    evaluation, answers, test, _ = label_world
    train, _ = mislabeled()
    analysis = analyze_errors(evaluation, answers, test, train, "tuned")
    assert (analysis.label_issues, analysis.n_label_issues, analysis.n_checked_labels) == ((), 0, 0)
    assert not [one for one in analysis.suggestions if one.text.startswith("Check")]


def test_what_the_confident_model_contradicts_is_suspect_only_where_the_neighbors_agree(
    label_world: World,
) -> None:
    evaluation, answers, test, _ = label_world
    train, planted = mislabeled()
    wrong = [one for one in train if one.id in planted]
    truth = {
        one.id: other.answer for one, other in zip(train, label_examples(200, seed=1), strict=True)
    }
    right = [one for one in train if one.id not in planted]
    beliefs = {one.id: (truth[one.id], 0.99) for one in wrong[:-1]}
    beliefs |= {
        wrong[-1].id: (truth[wrong[-1].id], 0.6),
        right[0].id: ("login", 0.99),
        right[1].id: ("arrival", 0.99),
    }
    analysis = analyze_errors(evaluation, answers, test, train, "tuned", beliefs)
    found = {one.example for one in analysis.label_issues}
    assert len(found & planted) >= 7 and not found - {one.id for one in wrong[:-1]}
    count = len(found)
    assert (
        f"Check {count} training answers that may be wrong; read each one before you change it."
        in [one.text for one in analysis.suggestions]
    )


def test_a_signal_that_speaks_for_the_answer_acquits_it() -> None:
    one = example(1, "when is my next meeting", "calendar")
    against = {
        "words": {one.id: LabelSignal("bill_due", "w")},
        "meaning": {one.id: LabelSignal("bill_due", "m")},
    }
    assert [found.reason for found in find_label_issues([one], against)] == ["w; m"]
    assert not find_label_issues(
        [one], {**against, "model": {one.id: LabelSignal("calendar", "model")}}
    )
    assert not find_label_issues(
        [one],
        {"words": {one.id: LabelSignal("a", "w")}, "meaning": {one.id: LabelSignal("b", "m")}},
    )


def test_no_sentence_calls_a_suspicion_sure(label_world: World, tmp_path: Path) -> None:
    evaluation, answers, test, _ = label_world
    train, _ = mislabeled()
    analysis = analyze_errors(evaluation, answers, test, train, "tuned", embedder=SortedLetters())
    write_labeling_sheet(analysis, tmp_path / "to_label.csv")
    rows = [
        row
        for row in csv.DictReader((tmp_path / "to_label.csv").open(newline=""))
        if row["task"] == "check"
    ]
    assert len(rows) == len(analysis.label_issues)
    for row, one in zip(rows, analysis.label_issues, strict=True):
        assert re.fullmatch(
            rf"may be wrong: [45] of 5 nearest neighbors by words have {one.predicted}; "
            r"[45] of 5 nearest neighbors by meaning have .*",
            row["why"],
        )
        assert "%" not in row["why"]


def test_where_no_answer_repeats_neighbours_say_nothing(json_world: World) -> None:
    analysis = analyze_errors(*json_world, "tuned")
    assert (analysis.label_issues, analysis.n_checked_labels) == ((), 0)


def test_suggestions_are_ranked_by_what_they_promise(label_world: World) -> None:
    analysis = analyze_errors(*label_world, "tuned")
    first = analysis.suggestions[0]
    assert first.text == "Add 20 examples that distinguish refund from return: 18 of 20 errors."
    assert first.reason.startswith(
        "refund was predicted as return in 18 of 30 cases; the training data has 50 of refund "
        "and 50 of "
    )
    assert first.expected_gain == pytest.approx(18 / 120) and first.max_gain == pytest.approx(
        18 / 120
    )
    assert not first.is_uncertain and first.answers == ("refund", "return")
    told = [one for one in analysis.suggestions if not one.is_uncertain]
    gains = [one.expected_gain or 0 for one in told]
    assert gains == sorted(gains, reverse=True) and len(analysis.suggestions) <= 10
    assert (
        "Constrain the answers (evaluation.constrained): 1 of 20 errors have no known label."
        in [one.text for one in analysis.suggestions]
    )


def test_the_same_errors_ask_for_examples_once(label_world: World) -> None:
    """18 of the 18 errors of the label refund are the errors of the pair refund and return."""
    texts = [one.text for one in analyze_errors(*label_world, "tuned").suggestions]
    assert not [text for text in texts if "examples of refund" in text]


def test_a_missing_field_is_asked_for(json_world: World) -> None:
    texts = [one.text for one in analyze_errors(*json_world, "tuned").suggestions]
    assert "Add 20 examples that have suffix: it is missing in 15 of 18 errors." in texts


def test_the_file_to_fill_in_holds_train_examples_and_never_a_test_example(
    label_world: World, tmp_path: Path
) -> None:
    evaluation, answers, test, train = label_world
    train = [example(train[0].line, train[0].question, "login"), *train[1:]]
    analysis = analyze_errors(
        evaluation, answers, test, train, "tuned", {train[0].id: ("refund", 0.9)}
    )
    path = tmp_path / "to_label.csv"
    count = write_labeling_sheet(analysis, path)
    rows = list(csv.DictReader(path.open(newline="")))
    assert len(rows) == count and tuple(rows[0]) == COLUMNS
    first = [row for row in rows if row["why"] == analysis.suggestions[0].text]
    assert [row["answer"] for row in first[:4]] == ["refund", "return"] * 2 and len(first) == 20
    assert all(row["question"] == "" for row in rows if row["task"] == "write")
    (check,) = [row for row in rows if row["task"] == "check"]
    assert (check["question"], check["similar_answer"], check["instead"]) == (
        train[0].question,
        "login",
        "refund",
    )
    text = path.read_text()
    assert not [one for one in test if one.question in text]


def test_nothing_to_do_writes_no_file(label_world: World, tmp_path: Path) -> None:
    analysis = analyze_errors(*label_world, "tuned").model_copy(
        update={"suggestions": (), "label_issues": ()}
    )
    assert write_labeling_sheet(analysis, tmp_path / "to_label.csv") == 0 and not list(
        tmp_path.iterdir()
    )


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=1+1", "'=1+1"),
        ("+49 30", "'+49 30"),
        ("-5", "'-5"),
        ("@me", "'@me"),
        ("  =cmd", "'  =cmd"),
        ("\t=x", "'\t=x"),
        ("a=b", "a=b"),
        ("", ""),
    ],
)
def test_no_cell_is_a_formula(cell: str, written: str) -> None:
    assert escape_formula(cell) == written


def test_formulas_of_the_data_reach_no_spreadsheet(label_world: World, tmp_path: Path) -> None:
    evaluation, answers, test, train = label_world
    evil = [example(one.line, f"=HYPERLINK({one.question})", one.answer) for one in train]
    analysis = analyze_errors(evaluation, answers, test, evil, "tuned", {evil[0].id: ("=A1", 0.9)})
    write_labeling_sheet(analysis, tmp_path / "to_label.csv")
    cells = [
        cell for row in csv.reader((tmp_path / "to_label.csv").open(newline="")) for cell in row
    ]
    assert any("HYPERLINK" in cell for cell in cells)
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]


def test_plain_text_examples_teach_no_answers(label_world: World) -> None:
    evaluation, answers, test, train = label_world
    with_text = [*train, Example(line=999, text="just prose")]
    assert isinstance(
        analyse_module.analyze_errors(evaluation, answers, test, with_text, "tuned"), Analysis
    )
