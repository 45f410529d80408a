"""A file to fill in: new examples to write, one per row, and training answers to check.

No row contains a test example, not even as a pattern: a test question must never be trained on.
Training examples near the errors illustrate what is needed.

| column             | rows "write"                           | rows "check"                  |
|--------------------|----------------------------------------|-------------------------------|
| `why`              | the suggestion                         | which signals contradict it   |
| `question`         | empty: write it                        | the training example's        |
| `answer`           | the answer it should have, where known | empty: write the right one    |
| `similar_question` | a similar training example             | empty                         |
| `similar_answer`   | its answer                             | the present answer            |
| `instead`          | empty                                  | the answer of the signals     |
| `train_line`       | its line in the training file          | its line in the training file |
| `train_file`       | that file                              | that file                     |

Spreadsheets execute cells that begin with = + - @; such a cell gets a leading apostrophe, which
they hide.
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
    """Write the file. Returns the number of rows to fill in; if there are none, no file is
    written.
    """
    rows = [*_list_rows_to_write(analysis), *_list_rows_to_check(analysis)]
    if rows:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([escape_formula(cell) for cell in row] for row in rows)
        write_atomically(path, text.getvalue())
    return len(rows)


def escape_formula(cell: str) -> str:
    """The cell in a form that no spreadsheet executes."""
    # Spreadsheets trim leading blanks, so a formula after blanks counts too.
    return (
        f"'{cell}" if cell.startswith(_FORMULA) or cell.lstrip().startswith(_FORMULA[:4]) else cell
    )


def _list_rows_to_write(analysis: Analysis) -> Iterator[tuple[str, ...]]:
    for suggestion in analysis.suggestions:
        for number in range(suggestion.n_new_examples):
            yield _build_row_to_write(suggestion, number)


def _build_row_to_write(suggestion: Suggestion, number: int) -> tuple[str, ...]:
    """Row `number` of a suggestion: its expected answers alternate, and so do the illustrating
    training examples.
    """
    answer = suggestion.answers[number % len(suggestion.answers)] if suggestion.answers else ""
    # Prefer illustrations with the answer that the new example should have.
    fitting = [one for one in suggestion.neighbors if one.answer == answer] or list(
        suggestion.neighbors
    )
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
    for one in analysis.label_issues:
        yield (
            "check",
            f"may be wrong: {one.reason}",
            one.question,
            "",
            "",
            one.answer,
            one.predicted,
            str(one.line),
            _format_file(one.origin),
        )


def _format_file(origin: Origin | None) -> str:
    return origin.file if origin else ""
