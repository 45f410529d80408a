"""Answers from another system: a CSV or JSONL file of outputs as a contender.

    id or question | answer | seconds | usd

A row belongs to the test example with its `id`, or to all examples with its question (the last user
message), ignoring case and spacing. `seconds` and `usd` per request are optional; without them
speed and price are unknown. Test examples without a row have no answer (counted as failed, never
scored 0); rows that match no test example are reported. Files are read like data files: in bounded
memory, and nothing in a cell is executed.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tunesmith.atomic_io import compute_sha256
from tunesmith.data.interop import ImportedAnswers, detect_tool, read_tool_file
from tunesmith.data.normalization import normalize_text
from tunesmith.data.read.csv_file import read_csv
from tunesmith.data.read.jsonl_file import read_jsonl
from tunesmith.data.read.row_errors import Row, RowError
from tunesmith.errors import DataError, truncate_list
from tunesmith.evaluation.contender_answers import ContenderAnswers
from tunesmith.evaluation.harness import Task, build_unscored_answers, score_answers
from tunesmith.records import Completion, ContenderSpec, Example, Usage, dump_canonical_json
from tunesmith.records.contender_kinds import EXTERNAL

READERS = {".csv": read_csv, ".tsv": read_csv, ".jsonl": read_jsonl, ".ndjson": read_jsonl}
COLUMN_ALIASES = {
    "id": ("id", "example", "example_id"),
    "question": ("question", "prompt", "input"),
    "answer": ("answer", "output", "response", "completion", "prediction", "text"),
    "seconds": ("seconds",),
    "usd": ("usd",),
}
"""Our column names, and the names that a file may use for them."""

SCORE_TOLERANCE = 1e-6
NO_ANSWER = "no answer provided"
_NumberedRow = tuple[int, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class ExternalContender:
    """A file's answers, matched with the test examples but not yet scored: a judge may be needed.

    `logged_scores` are the scores from another tool's log, by example id, if that tool's scorer
    (`scored_by`) computes the same as ours.
    """

    spec: ContenderSpec
    completions: Sequence[Completion]
    usage: Usage | None
    logged_scores: Mapping[str, float] = field(default_factory=dict)
    scored_by: str = ""

    def score_with(self, task: Task) -> ContenderAnswers:
        """The scored contender. Logged scores that differ from ours are counted in its
        description."""
        answers = build_unscored_answers(self.completions, task.examples)
        answers = list(
            score_answers(ContenderAnswers(self.spec, answers, self.usage), task).answers
        )
        ours = [
            (one.scores.get(task.scorer.metric), self.logged_scores.get(one.example))
            for one in answers
        ]
        both = [
            (score, theirs) for score, theirs in ours if score is not None and theirs is not None
        ]
        different = sum(abs(score - theirs) > SCORE_TOLERANCE for score, theirs in both)
        if not different:
            return ContenderAnswers(self.spec, answers, self.usage)
        mean = sum(theirs for _, theirs in both) / len(both)
        description = (
            f"{self.spec.description}; {different:,} of {len(both):,} scores differ from those of "
            f"{self.scored_by} in the file"
        )
        scores = f"{description}, whose mean is {mean:.3f}"
        return ContenderAnswers(self.spec.replace(description=scores), answers, self.usage)


class ExternalAnswer(NamedTuple):
    """One row: the answer (None if missing), and its time, cost and logged score if the file has
    them."""

    line: int
    text: str | None
    seconds: float | None
    usd: float | None
    score: float | None = None


def read_external_answers(
    path: str | Path, examples: Sequence[Example], name: str | None = None
) -> ExternalContender:
    """The file's answers to the test examples. Without `name` the contender is named after the
    file.

    Errors: `DataError` if the file cannot be read, a row is invalid or duplicated, or no row
    matches.
    """
    path = Path(path)
    rows, not_understood, scored_by = _read_rows(path)
    matched, unknown = _match_rows(path, rows, examples)
    given = [matched.get(example.id) for example in examples]
    if not matched:
        raise DataError(
            "no-matching-answers",
            "no row of this file answers a test example",
            at=str(path),
            got=f"{len(unknown):,} rows, {len(examples):,} test examples",
            hint="add a column with the id of the test examples; or with their question as in the "
            "data",
        )
    completions = [_build_completion(one) for one in given]
    description = (
        f"answers of another system, read from {path.name} (SHA-256 {compute_sha256(path)})"
    )
    if unknown:
        description += (
            f"; {len(unknown):,} of its rows do not match a test example "
            f"({_get_row_unit(path)} {truncate_list(unknown)})"
        )
    description = "; ".join((description, *not_understood))
    profile = ContenderSpec(name=name or path.stem, kind=EXTERNAL.name, description=description)
    logged = {id_: one.score for id_, one in matched.items() if one.score is not None}
    return ExternalContender(
        profile, completions, _sum_usage([one for one in given if one]), logged, scored_by
    )


def _match_rows(
    path: Path, rows: Iterable[_NumberedRow], examples: Sequence[Example]
) -> tuple[dict[str, ExternalAnswer], list[int]]:
    """(answer for each example id, numbers of the rows that match no test example)."""
    ids = {example.id for example in examples}
    by_question = defaultdict[str, list[str]](list)
    for asked in examples:
        by_question[normalize_text(asked.question)].append(asked.id)
    matched: dict[str, ExternalAnswer] = {}
    unknown: list[int] = []
    for row, values in rows:
        given = _parse_answer(path, row, values)
        if "id" in values:
            # An id identifies one example; a question may occur in more than one.
            answered = [str(values["id"])] if str(values["id"]) in ids else []
        else:
            answered = by_question.get(normalize_text(str(values["question"])), [])
        for example in answered:
            _check_duplicate(path, matched.get(example), given, by_id="id" in values)
            matched[example] = given
        if not answered:
            unknown.append(row)
    return matched, unknown


def _read_rows(path: Path) -> tuple[Iterable[_NumberedRow], tuple[str, ...], str]:
    """(numbered rows with our column names, what could not be imported, the tool's scorer).

    Errors: `DataError`.
    """
    return (
        _read_log_rows(path) if detect_tool(path) is not None else (_read_table_rows(path), (), "")
    )


def _read_table_rows(path: Path) -> Iterator[_NumberedRow]:
    reader = READERS.get(path.suffix.lower())
    if reader is None or not path.is_file():
        raise DataError(
            "no-answers-file",
            "cannot read the answers of the external system",
            at=str(path),
            got="no such file" if reader else f"a file ending in {path.suffix!r}",
            hint=f"use a file that ends in {', '.join(READERS)}",
        )
    for row in reader(path):
        if isinstance(row, Row):
            yield row.line, _map_columns(path, row)
        elif row.code != "bom":  # a byte order mark is harmless in a file of answers
            raise _make_row_error(path, row)


def _read_log_rows(path: Path) -> tuple[Iterable[_NumberedRow], tuple[str, ...], str]:
    """The answers in another evaluation tool's log, with their questions."""
    imported = read_tool_file(path)
    if not isinstance(imported, ImportedAnswers):
        raise DataError(
            "no-answers-in-log",
            f"{imported.format} file has questions but no answers",
            at=str(path),
            hint="use the log of a run",
        )
    rows = [
        {
            "question": one.question,
            "answer": imported.answers.get(one.id),
            "score": imported.scores.get(one.id, {}).get(imported.matching_score),
        }
        for one in imported.task.examples
    ]
    notes = tuple(f"{imported.task.format}: {one}" for one in imported.task.unsupported)
    return enumerate(rows, start=1), notes, imported.matching_score


def _map_columns(path: Path, row: Row) -> Mapping[str, Any]:
    theirs = {name.strip().lower(): value for name, value in row.values.items()}
    # `reversed`: if a file has more than one alias, the first one of the table wins.
    ours = {
        our: theirs[name]
        for our, names in COLUMN_ALIASES.items()
        for name in reversed(names)
        if name in theirs
    }
    if "answer" not in ours or not {"id", "question"} & ours.keys():
        raise DataError(
            "no-answers-columns",
            "answers of an external system need a column answer, and id or question",
            at=f"{path} line {row.line:,}",
            got=f"columns {truncate_list(sorted(theirs), 8)}",
            hint=(
                "name the columns "
                f"{', '.join(names[0] for names in COLUMN_ALIASES.values())} (the last two "
                "are optional)"
            ),
        )
    return ours


def _parse_answer(path: Path, line: int, values: Mapping[str, Any]) -> ExternalAnswer:
    answer = values["answer"]
    text = answer if isinstance(answer, str) or answer is None else dump_canonical_json(answer)
    seconds, usd = (
        _parse_number(path, line, values, "seconds"),
        _parse_number(path, line, values, "usd"),
    )
    return ExternalAnswer(line, text, seconds, usd, values.get("score"))


def _parse_number(path: Path, line: int, values: Mapping[str, Any], name: str) -> float | None:
    value = values.get(name)
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number < math.inf:
        raise _make_row_error(path, RowError(f"bad-{name}", line, f"{name} {str(value)[:40]!r}"))
    return number


def _check_duplicate(
    path: Path, before: ExternalAnswer | None, now: ExternalAnswer, *, by_id: bool
) -> None:
    """A question may occur twice with the same answer: test sets repeat questions, too."""
    if before is not None and (by_id or before.text != now.text):
        raise DataError(
            "answered-twice",
            "two rows answer the same test example",
            at=f"{path} {_get_row_unit(path)} {before.line:,}, {now.line:,}",
            hint="keep one answer per test example",
        )


def _get_row_unit(path: Path) -> str:
    """What row numbers count in this file: lines of a table, or samples of a tool's log."""
    return "lines" if detect_tool(path) is None else "samples"


def _make_row_error(path: Path, fault: RowError) -> DataError:
    return DataError(
        "bad-answers-row",
        "cannot read a row with an answer of the external system",
        at=f"{path} line {fault.line:,}",
        got=f"{fault.got} ({fault.code})",
        hint="fix the file",
    )


def _build_completion(given: ExternalAnswer | None) -> Completion:
    if given is None or given.text is None:
        return Completion("", 0, 0, 0.0, finished=False, error=NO_ANSWER)
    return Completion(given.text.strip(), 0, 0, given.seconds or 0.0)


def _sum_usage(given: Sequence[ExternalAnswer]) -> Usage | None:
    """Total usage according to the file; None if neither all times nor all prices are known. Tokens
    are unknown and count as 0, and so do seconds if only prices are known."""
    seconds, usd = (
        _sum_if_known([one.seconds for one in given]),
        _sum_if_known([one.usd for one in given]),
    )
    if seconds is None and usd is None:
        return None
    return Usage(
        requests=len(given), tokens_in=0, tokens_out=0, seconds=seconds or 0.0, usd_charged=usd
    )


def _sum_if_known(values: Sequence[float | None]) -> float | None:
    """The sum; None unless all values are known."""
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None
