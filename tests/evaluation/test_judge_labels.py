"""Labels that people gave: both kinds of file, their scales, and every wrong line told together."""

import json
from pathlib import Path

import pytest

from tunesmith.errors import DataError
from tunesmith.evaluation.judge.human_labels import RatedAnswers, RatedPairs, read_human_labels


def written(folder: Path, rows: list[dict[str, object]]) -> Path:
    path = folder / "labels.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def labelled(*labels: object) -> list[dict[str, object]]:
    return [{"question": "q", "answer": "a", "label": label} for label in labels]


def test_marks_from_csv(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("question,answer,reference,label,note\nq1,a1,r1,Good,fine\nq2,,,bad,\n")
    found = read_human_labels(path)
    assert isinstance(found, RatedAnswers)
    assert (found.scale, found.marks) == (("bad", "good"), (1, 0))
    assert [(item.question, item.answer, item.reference) for item in found.items] == [
        ("q1", "a1", "r1"),
        ("q2", "", ""),
    ]


@pytest.mark.parametrize(
    ("labels", "scale", "marks"),
    [
        ((1, 3, 5), ("1", "2", "3", "4", "5"), (0, 2, 4)),
        (("1", 2.0, "2"), ("1", "2"), (0, 1, 1)),
        ((0, 0.5, 1), ("0", "0.5", "1"), (0, 1, 2)),
        ((0, 100), ("0", "100"), (0, 1)),
        (("right", "wrong", "Partly right"), ("wrong", "partly right", "right"), (2, 0, 1)),
        (("yes", "no"), ("no", "yes"), (1, 0)),
        (("wrong", "right"), ("wrong", "right"), (0, 1)),
    ],
)
def test_scales(
    tmp_path: Path, labels: tuple[object, ...], scale: tuple[str, ...], marks: tuple[int, ...]
) -> None:
    found = read_human_labels(written(tmp_path, labelled(*labels)))
    assert isinstance(found, RatedAnswers) and (found.scale, found.marks) == (scale, marks)


def test_pairs(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"question": "q", "a": "x", "b": "y", "winner": w} for w in ("A", "b", "tie")
    ]
    found = read_human_labels(written(tmp_path, rows))
    assert (
        isinstance(found, RatedPairs)
        and found.winners == ("a", "b", "tie")
        and found.pairs[0].b == "y"
    )


def test_everything_wrong_is_told_with_its_line(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        [
            *labelled(1),
            {"question": " ", "answer": "a", "label": 1},
            {"question": "q", "answer": 3},
        ],
    )
    with path.open("a") as file:
        file.write("{nonsense\n")
    with pytest.raises(DataError) as caught:
        read_human_labels(path)
    assert str(caught.value) == (
        "error[data/bad-labels]: file of human-rated answers has 3 invalid lines\n  at: "
        f"{path} lines 2, 3, 4\n  got: 2: 'question' is empty, 3: 'answer' is not text, 3: "
        "no 'label' (1 more)\n  hint: use question, answer and label, or question, a, b and "
        "winner, in every row"
    )


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ([], ""),
        (labelled(1, 2, "good"), "3: label 'good' is not a number, but others are"),
        (
            labelled("fine", "good"),
            "1: label 'fine' is not on a known scale: numbers, or bad < good",
        ),
        (labelled(*range(0, 36, 3)), "12 different numbers; a scale has at most 11"),
        (labelled(True, 1), "1: 'label' is not text"),
        (
            [{"question": "q", "a": "x", "b": "y", "winner": "c"}],
            "1: winner 'c' is not a, b or tie",
        ),
        (
            [{"question": "q", "answer": "x", "label": 1, "reference": 4}],
            "1: 'reference' is not text",
        ),
    ],
)
def test_labels_that_cannot_be_used(
    tmp_path: Path, rows: list[dict[str, object]], found: str
) -> None:
    with pytest.raises(DataError, match="bad-labels") as caught:
        read_human_labels(written(tmp_path, rows))
    assert found in caught.value.got


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no-labels"):
        read_human_labels(tmp_path / "none.csv")
