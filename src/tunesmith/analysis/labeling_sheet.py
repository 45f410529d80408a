"""A file to fill in: new examples to write, one row each, and train answers to check.

No row holds a test example, not even as a pattern: a question that was tested must never be trained. What shows the
writer what is meant are train examples that lie near the errors.

| column             | rows "write"                              | rows "check"                     |
|--------------------|-------------------------------------------|----------------------------------|
| `why`              | the suggestion                            | which signals contradict it      |
| `question`         | empty: write it                           | the train example's              |
| `answer`           | the answer it should have, where known    | empty: write the right one       |
| `similar_question` | a train example like it                   | empty                            |
| `similar_answer`   | its answer                                | the answer that is there now     |
| `instead`          | empty                                     | the answer of the signals        |
| `train_line`       | its line in the training file             | its line in the training file    |
| `train_file`       | that file                                 | that file                        |

Spreadsheets run cells that begin with = + - @; such a cell gets an apostrophe in front, which they hide.
"""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from tunesmith.atomic_io import write_atomically
from tunesmith.records import Analysis, Origin, Suggestion

COLUMNS = (
    "task",
    "why",
    "question",
    "answer",
    "similar_question",
    "similar_answer",
    "instead",
    "train_line",
    "train_file",
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_labeling_sheet(analysis: Analysis, path: Path) -> int:
    """Write the file. Returns: how many rows are to be filled in; with none there is no file."""
    rows = [*_list_rows_to_write(analysis), *_list_rows_to_check(analysis)]
    if rows:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([escape_formula(cell) for cell in row] for row in rows)
        write_atomically(path, text.getvalue())
    return len(rows)


def escape_formula(cell: str) -> str:
    """The cell as no spreadsheet runs it."""
    return f"'{cell}" if cell.startswith(_FORMULA) or cell.lstrip().startswith(_FORMULA[:4]) else cell


def _list_rows_to_write(analysis: Analysis) -> Iterator[tuple[str, ...]]:
    for suggestion in analysis.suggestions:
        for number in range(suggestion.rows):
            yield _build_row_to_write(suggestion, number)


def _build_row_to_write(suggestion: Suggestion, number: int) -> tuple[str, ...]:
    """The answers that are wanted take turns, and so do the train examples that show what is meant."""
    answer = suggestion.answers[number % len(suggestion.answers)] if suggestion.answers else ""
    fitting = [one for one in suggestion.neighbours if one.answer == answer] or list(suggestion.neighbours)
    if not fitting:
        return ("write", suggestion.text, "", answer, "", "", "", "", "")
    turn = number // max(1, len(suggestion.answers))
    like = fitting[turn % len(fitting)]
    return (
        "write",
        suggestion.text,
        "",
        answer,
        like.question,
        like.answer,
        "",
        str(like.line),
        _format_file(like.origin),
    )


def _list_rows_to_check(analysis: Analysis) -> Iterator[tuple[str, ...]]:
    for one in analysis.suspects:
        yield (
            "check",
            f"may be wrong: {one.why}",
            one.question,
            "",
            "",
            one.answer,
            one.instead,
            str(one.line),
            _format_file(one.origin),
        )


def _format_file(origin: Origin | None) -> str:
    return origin.file if origin else ""
