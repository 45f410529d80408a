"""Answers of another system: matched, scored, and told apart from what was not given."""

import json
from pathlib import Path

import pytest

from tunesmith.atomic_io import compute_sha256
from tunesmith.contenders.external_answers import read_external_answers
from tunesmith.errors import DataError
from tunesmith.evaluation.harness import Task, evaluate_answers
from tunesmith.evaluation.scorers.scorer_registry import choose_scorer
from tunesmith.records import Example, Message

EXAMPLES = [
    Example(line, (Message("user", question), Message("assistant", answer)))
    for line, (question, answer) in enumerate(
        [("One?", "a"), ("Two  words", "b"), ("Three", "a"), ("three", "b")], 1
    )
]
TASK = Task("task", EXAMPLES, choose_scorer(["a", "b"] * 9)[0], "", 0.1)
ONE, TWO, THREE, FOUR = (example.id for example in EXAMPLES)


def written(folder: Path, text: str, name: str = "other.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_answers_by_id_are_a_contender(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        f"id,answer,seconds,usd\n{ONE},a,1.5,0.01\n{TWO},a,0.5,0.02\n{THREE},a,1,0\n{FOUR},b,1,0\n",
    )
    asked = read_external_answers(path, TASK.examples).score_with(TASK)
    assert [answer.scores for answer in asked.answers] == [
        {"accuracy": value} for value in (1.0, 0.0, 1.0, 1.0)
    ]
    assert [answer.seconds for answer in asked.answers] == [1.5, 0.5, 1.0, 1.0]
    assert (asked.spec.name, asked.spec.kind) == ("other", "outside")
    assert (
        asked.spec.description
        == f"answers of another system, read from other.csv (SHA-256 {compute_sha256(path)})"
    )
    assert asked.usage is not None
    assert (asked.usage.requests, asked.usage.seconds, asked.usage.usd_charged) == (
        4,
        4.0,
        pytest.approx(0.03),
    )
    evaluation = evaluate_answers([asked], TASK)
    assert evaluation.contenders[0].metrics["accuracy"].value == 0.75


def test_answers_by_question_forgive_case_and_spacing_and_serve_all_that_ask_it(
    tmp_path: Path,
) -> None:
    path = written(tmp_path, "question;output\nONE?;a\n two words ;b\nthree;b\nthree;b\n")
    asked = read_external_answers(path, TASK.examples, "rules").score_with(TASK)
    assert [answer.text for answer in asked.answers] == ["a", "b", "b", "b"]
    assert asked.usage is None and asked.name == "rules"


def test_what_is_missing_has_no_answer_and_what_is_unknown_is_told(tmp_path: Path) -> None:
    rows = [
        {"example": ONE, "text": "a"},
        {"example": TWO, "text": None},
        *({"example": f"x{n}", "text": "a"} for n in range(5)),
    ]
    asked = read_external_answers(
        written(tmp_path, "\n".join(map(json.dumps, rows)), "o.jsonl"), TASK.examples
    ).score_with(TASK)
    assert [answer.error for answer in asked.answers] == [None] + ["no answer provided"] * 3
    assert asked.spec.description.endswith(
        "; 5 of its rows do not match a test example (lines 3, 4, 5 (2 more))"
    )
    quantity = evaluate_answers([asked], TASK).contenders[0].metrics["accuracy"]
    assert (quantity.n, quantity.n_failed) == (1, 3)


def test_what_is_not_understood_of_a_log_is_told(tmp_path: Path) -> None:
    rows = [
        {
            "doc_id": 0,
            "doc": {},
            "target": "a",
            "arguments": {"gen_args_0": {"arg_0": "One?", "arg_1": {}}},
            "filtered_resps": ["a"],
            "filter": name,
            "metrics": ["exact_match"],
            "exact_match": 1.0,
        }
        for name in ("strict", "loose")
    ]
    asked = read_external_answers(
        written(tmp_path, "\n".join(map(json.dumps, rows)), "samples_log.jsonl"), TASK.examples
    ).score_with(TASK)
    assert asked.answers[0].text == "a"
    assert asked.spec.description.endswith(
        "; lm-eval: the filter 'loose', in addition to 'strict' (line 2)"
    )


def test_an_empty_cell_is_an_empty_answer(tmp_path: Path) -> None:
    asked = read_external_answers(
        written(tmp_path, f"id,answer\n{ONE},\n"), TASK.examples
    ).score_with(TASK)
    assert (asked.answers[0].error, asked.answers[0].scores) == (None, {"accuracy": 0.0})


def test_an_answer_that_is_json_is_taken_as_its_text(tmp_path: Path) -> None:
    asked = read_external_answers(
        written(tmp_path, json.dumps({"id": ONE, "answer": {"a": [1]}}), "o.jsonl"), TASK.examples
    ).score_with(TASK)
    assert asked.answers[0].text == '{"a":[1]}'


def test_cells_are_text_and_nothing_else(tmp_path: Path) -> None:
    formula = '=HYPERLINK("http://x","y")'
    quoted = formula.replace('"', '""')
    asked = read_external_answers(
        written(tmp_path, f'id,answer\n{ONE},"{quoted}"\n'), TASK.examples
    ).score_with(TASK)
    assert asked.answers[0].text == formula


REFUSED = {
    "answered-twice": f"id,answer\n{ONE},a\n{ONE},a\n",
    "answered-twice ": "question,answer\none?,a\nOne?,b\n",
    "no-answers-columns": "id,label\n1,a\n",
    "no-answers-columns ": "answer\na\n",
    "no-matching-answers": "id,answer\nother,a\n",
    "bad-answers-row": f"id,answer\n{ONE},a,more\n",
    "bad-answers-row ": f"id,answer,seconds\n{ONE},a,soon\n",
    "bad-answers-row  ": f"id,answer,usd\n{ONE},a,-1\n",
    "bad-answers-row   ": f'id,answer\n{ONE},"a\n',
    "no-matching-answers ": "",
}


@pytest.mark.parametrize("code", REFUSED)
def test_files_that_are_wrong_are_refused(tmp_path: Path, code: str) -> None:
    with pytest.raises(DataError) as raised:
        read_external_answers(written(tmp_path, REFUSED[code]), TASK.examples)
    assert raised.value.code == f"data/{code.strip()}" and "other.csv" in str(raised.value)


def test_the_words_of_two_refusals(tmp_path: Path) -> None:
    path = written(tmp_path, f"id,answer\n{ONE},a\n{ONE},a\n")
    with pytest.raises(DataError) as raised:
        read_external_answers(path, TASK.examples)
    assert str(raised.value) == (
        f"error[data/answered-twice]: two rows answer the same test example\n  at: {path} "
        "lines 2, 3\n  hint: keep one answer per test example"
    )
    with pytest.raises(DataError) as raised:
        read_external_answers(tmp_path / "absent.csv", TASK.examples)
    assert "got: no such file" in str(raised.value)
    with pytest.raises(DataError, match=r"ending in '\.xlsx'"):
        read_external_answers(written(tmp_path, "x", "o.xlsx"), TASK.examples)
