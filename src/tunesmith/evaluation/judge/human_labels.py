"""Answers rated by people, from a CSV or JSON Lines file: the reference for a judge.

| columns                                   | the rating                 | kind of judge |
|-------------------------------------------|----------------------------|--------------------------|
| question, answer, label, [reference]      | a grade for one answer     | `RubricJudge` |
| question, a, b, winner, [reference]       | the better of two answers  | `PairwiseJudge` |

Grades are numbers (more is better) or words of a known order (`WORD_SCALES`). `winner` is a, b or
tie. Other columns are ignored: people keep notes there. All errors in the file are reported
together, with their lines.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tunesmith.data.read.csv_file import read_csv
from tunesmith.data.read.jsonl_file import read_jsonl
from tunesmith.data.read.row_errors import Row, RowError
from tunesmith.errors import DataError, truncate_list
from tunesmith.evaluation.judge.pairwise_judge import AnswerPair, Winner
from tunesmith.evaluation.scorers.scorer_protocol import ScoringInput

WORD_SCALES = (
    ("bad", "good"),
    ("no", "yes"),
    ("wrong", "right"),
    ("incorrect", "correct"),
    ("fail", "pass"),
    ("false", "true"),
    ("wrong", "partly right", "right"),
    ("incorrect", "partially correct", "correct"),
    ("bad", "ok", "good"),
    ("poor", "fair", "good", "excellent"),
)
MAX_MARKS = 11
"""Maximum number of grades on a numeric scale, enough for 0 to 10."""
WINNERS: dict[str, Winner] = {"a": "a", "b": "b", "tie": "tie"}


@dataclass(frozen=True, slots=True)
class RatedAnswers:
    """Answers with the grades that people gave; `marks` are indices into `scale`, which runs from
    worst to best."""

    items: tuple[ScoringInput, ...]
    marks: tuple[int, ...]
    scale: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RatedPairs:
    """Pairs of answers with the one that people preferred."""

    pairs: tuple[AnswerPair, ...]
    winners: tuple[Winner, ...]


@dataclass(frozen=True, slots=True)
class _ColumnSpec:
    """The columns of one kind of file: those that must have content, those that may be empty."""

    non_empty: tuple[str, ...]
    may_be_empty: tuple[str, ...]


_RATING_COLUMNS = _ColumnSpec(("question", "label"), ("answer",))
_PREFERENCE_COLUMNS = _ColumnSpec(("question", "winner"), ("a", "b"))


def read_human_labels(path: Path) -> RatedAnswers | RatedPairs:
    """The ratings of a file. Errors: `DataError` with every invalid line."""
    if not path.is_file():
        raise DataError(
            "no-labels",
            "file of human-rated answers not found",
            at=str(path),
            hint="check judge.human_labels",
        )
    table = path.suffix.lower() in (".csv", ".tsv")
    parsed = list(read_csv(path) if table else read_jsonl(path))
    rows = [one for one in parsed if isinstance(one, Row)]
    faults = [
        (one.line, one.got) for one in parsed if isinstance(one, RowError) and one.code != "bom"
    ]
    columns = _PREFERENCE_COLUMNS if rows and "winner" in rows[0].values else _RATING_COLUMNS
    faults += [(row.line, fault) for row in rows for fault in _find_row_errors(row, columns)]
    # The scale is inferred only from valid rows, or one fault would be reported twice.
    if not faults and columns is _RATING_COLUMNS:
        scale, faults = _infer_scale([(row.line, str(row.values["label"]).strip()) for row in rows])
    if faults or not rows:
        _raise_label_error(path, sorted(faults))
    if columns is _PREFERENCE_COLUMNS:
        return _build_rated_pairs(rows)
    marks = tuple(_find_scale_index(str(row.values["label"]), scale) for row in rows)
    items = tuple(
        ScoringInput(
            _get_text(row, "answer"), _get_text(row, "reference"), _get_text(row, "question")
        )
        for row in rows
    )
    return RatedAnswers(items, marks, scale)


def _find_row_errors(row: Row, columns: _ColumnSpec) -> Iterator[str]:
    for name in (*columns.non_empty, *columns.may_be_empty):
        if name not in row.values:
            yield f"no {name!r}"
        elif not isinstance(row.values[name], str) and not (
            name == "label" and _is_plain_number(row.values[name])
        ):
            yield f"{name!r} is not text"
        elif name in columns.non_empty and not str(row.values[name]).strip():
            yield f"{name!r} is empty"
    if not isinstance(row.values.get("reference") or "", str):
        yield "'reference' is not text"
    if (
        columns is _PREFERENCE_COLUMNS
        and isinstance(winner := row.values.get("winner"), str)
        and winner.strip().lower() not in WINNERS
    ):
        yield f"winner {winner!r:.40} is not a, b or tie"


def _is_plain_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _infer_scale(
    labels: Sequence[tuple[int, str]],
) -> tuple[tuple[str, ...], list[tuple[int, str]]]:
    """(the scale from worst to best, (line, error) for each label that does not fit it)."""
    numbers = {label: number for _, label in labels if (number := _parse_number(label)) is not None}
    # Numbers in the majority make it a numeric scale, so that one typo is reported as such.
    if 2 * len(numbers) > len({label for _, label in labels}):
        strays = [
            (line, f"label {label!r:.40} is not a number, but others are")
            for line, label in labels
            if label not in numbers
        ]
        values = sorted(set(numbers.values()))
        if not strays and len(values) <= MAX_MARKS:
            return tuple(map(_format_number, _fill_steps(values))), []
        return (), strays or [
            (labels[0][0], f"{len(values)} different numbers; a scale has at most {MAX_MARKS}")
        ]
    words = {label.lower() for _, label in labels}
    # The scale with the most labels in use; of equals the shortest.
    near = max(WORD_SCALES, key=lambda scale: (len(words & set(scale)), -len(scale)))
    known = "; ".join(" < ".join(scale) for scale in WORD_SCALES)
    return near, [
        (line, f"label {label!r:.40} is not on a known scale: numbers, or {known}")
        for line, label in labels
        if label.lower() not in near
    ]


def _fill_steps(values: Sequence[float]) -> Sequence[float]:
    """Integer grades get the unused integers between them: 1, 2, 5 is a scale of five steps."""
    whole = [int(value) for value in values if value == int(value)]
    if len(whole) < len(values) or whole[-1] - whole[0] >= MAX_MARKS:
        return values
    return [float(step) for step in range(whole[0], whole[-1] + 1)]


def _parse_number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if abs(number) < 1e9 else None  # also excludes infinities and NaN


def _format_number(value: float) -> str:
    return f"{value:g}"


def _find_scale_index(label: str, scale: Sequence[str]) -> int:
    number = _parse_number(label.strip())
    return scale.index(label.strip().lower() if number is None else _format_number(number))


def _build_rated_pairs(rows: Sequence[Row]) -> RatedPairs:
    pairs = tuple(
        AnswerPair(
            _get_text(row, "question"),
            _get_text(row, "a"),
            _get_text(row, "b"),
            _get_text(row, "reference"),
        )
        for row in rows
    )
    return RatedPairs(pairs, tuple(WINNERS[row.values["winner"].strip().lower()] for row in rows))


def _get_text(row: Row, name: str) -> str:
    return str(row.values.get(name) or "")


def _raise_label_error(path: Path, faults: Sequence[tuple[int, str]]) -> None:
    lines = sorted({line for line, _ in faults})
    raise DataError(
        "bad-labels",
        (
            f"file of human-rated answers has {len(lines):,} invalid lines"
            if lines
            else "file of human-rated answers is empty"
        ),
        at=f"{path} lines {truncate_list(lines)}" if lines else str(path),
        got=truncate_list([f"{line}: {fault}" for line, fault in faults]),
        hint="use question, answer and label, or question, a, b and winner, in every row",
    )
