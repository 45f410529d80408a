"""Read a path into examples: find the files, detect the format, read every row, count the errors.

An unreadable row never ends the reading; it becomes a problem. A file that is unusable as a whole
is a `DataError`.
"""

import gc
import hashlib
import sys
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from tunesmith.atomic_io import compute_sha256
from tunesmith.data.read.column_mapping import (
    MAX_SHOWN_NAMES,
    ColumnMapping,
    check_column_names,
    propose_mapping,
    report_unused_columns,
    suggest_name,
)
from tunesmith.data.read.contradicting_columns import ExtraColumnChecker, find_placeholders
from tunesmith.data.read.data_formats import (
    FORMAT_RULES,
    FormatRule,
    detect_format,
    find_converted_values,
    read_example,
    read_plain_example,
)
from tunesmith.data.read.message_keys import find_unused_keys
from tunesmith.data.read.row_errors import ROW_ERROR_KINDS, InvalidRow, Row, RowError, RowErrorLog
from tunesmith.data.read.source_files import Source, build_read_error, find_sources
from tunesmith.data.read.split_names import SplitName
from tunesmith.errors import DataError, truncate_list
from tunesmith.records import (
    CountedIn,
    DatasetInfo,
    Example,
    Method,
    Origin,
    Problem,
    SourceFile,
    compute_fingerprint,
)
from tunesmith.records.example import compute_id_number

FORMAT_SAMPLE_ROWS = 100
"""Rows at the start of each file that vote on its format; rows that do not fit it are errors."""


@dataclass(frozen=True, slots=True)
class SourceSpan:
    """The examples of one file, `examples[begin:end]`, and their declared split (None: none).

    `position_unit` is what the examples' `line` counts in this file.
    """

    file: str
    split_name: SplitName | None
    begin: int
    end: int
    position_unit: CountedIn = "lines"


@dataclass(frozen=True, slots=True)
class LoadedDataset:
    """A data set in memory: its record, its examples in file order, and the problems found.

    `has_answers` is False where another tool's task defines how answers are checked instead of the
    answers themselves. `ids` are the examples' ids as 64-bit integers, where the reader computed
    them.
    """

    dataset: DatasetInfo
    examples: list[Example]
    problems: list[Problem]
    spans: tuple[SourceSpan, ...]
    has_answers: bool = True
    ids: "array[int] | None" = None

    @property
    def declared_splits(self) -> list[SplitName] | None:
        """The declared split of every example, or None when the files declare no split."""
        sides = [part.split_name for part in self.spans for _ in range(part.end - part.begin)]
        return (
            None
            if len({part.split_name for part in self.spans}) < 2
            else [side for side in sides if side]
        )


def read_dataset(
    path: str | Path,
    columns: Mapping[str, str] | None = None,
    group: str | None = None,
    method: Method | None = None,
) -> LoadedDataset:
    """Read a file or folder of examples.

    `columns` maps our names to the file's (`{"prompt": "question"}`); `group` names the file's
    column whose equal values must stay in one split; rows that fit several formats are read in the
    one that `method` learns from.
    Errors: `DataError` when nothing can be read, or when the columns fit no format.
    """
    path, columns = Path(path), dict(columns or {})
    check_column_names(columns)
    examples: list[Example] = []
    problems: list[Problem] = []
    files: list[SourceFile] = []
    parts: list[SourceSpan] = []
    rules: list[FormatRule] = []
    sources = find_sources(path)
    problems += sources.problems
    for source in sources.files:
        begin = len(examples)
        try:
            with pause_collection():
                rule, found = _read_source(source, columns, group, method, examples)
        except OSError as error:
            raise build_read_error(source.path, error) from None
        rules.append(rule)
        problems += found
        files.append(_build_source_file(source.path, len(examples) - begin))
        parts.append(
            SourceSpan(
                str(source.path), source.split_name, begin, len(examples), source.position_unit
            )
        )
    _check_same_format(path, rules)
    # Computed once and stored as 8 bytes each: the checks and the fingerprint both need them.
    ids = array("Q", map(compute_id_number, examples))
    dataset = DatasetInfo(
        name=path.resolve().stem,
        format=rules[0].format,
        files=tuple(files),
        columns=columns,
        examples=len(examples),
        content=_compute_content_fingerprint(ids),
    )
    return LoadedDataset(dataset, examples, problems, tuple(parts), ids=ids)


def _compute_content_fingerprint(ids: "array[int]") -> str:
    """The value of `compute_fingerprint` for the list of ids as texts, without making the texts."""
    if not ids:
        return compute_fingerprint([])
    big_endian = array("Q", ids)
    if sys.byteorder == "little":
        big_endian.byteswap()
    digits = big_endian.tobytes().hex(",", 8).replace(",", '","')
    return hashlib.sha256(f'["{digits}"]'.encode()).hexdigest()


@contextmanager
def pause_collection() -> Iterator[None]:
    """Disable Python's cyclic garbage collector while examples are created and compared.

    Examples form no cycles, and the collector would traverse all of them again whenever their
    number has grown by a quarter: a fifth of the time of reading a large file.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _build_source_file(path: Path, examples: int) -> SourceFile:
    return SourceFile(
        path=str(path),
        sha256=compute_sha256(path),
        size_bytes=path.stat().st_size,
        examples=examples,
    )


def _read_source(
    source: Source,
    columns: Mapping[str, str],
    group: str | None,
    method: Method | None,
    examples: list[Example],
) -> tuple[FormatRule, list[Problem]]:
    """Append the file's examples; return its format and problems."""
    log = RowErrorLog(str(source.path), source.position_unit)
    origin = Origin(str(source.path), source.position_unit)
    rows = _iterate_rows(source, log)
    # Only this sample is buffered; the remaining rows stream through once.
    first = list(islice(rows, FORMAT_SAMPLE_ROWS))
    if not first:
        raise _build_no_examples_error(source.path, list(log.build_problems()))
    renaming = ColumnMapping(columns)
    _check_columns_present(source, first, [*columns.values(), *([group] if group else [])])
    rule = _choose_format(source.path, first, renaming, method)
    before = len(examples)
    used = {theirs for ours in rule.columns if (theirs := renaming.find_source_column(ours))} | {
        group
    }
    beside = ExtraColumnChecker(rule, used)
    unused: Counter[str] = Counter()
    present: set[str] = set()
    plain_columns: Iterable[str] = ()
    for row in chain(first, rows):
        # The fast path skips the checks for unused columns, of which a plain row has none.
        plain = None if columns or group else read_plain_example(rule, row.values, row.line, origin)
        if plain is not None:
            examples.append(plain)
            plain_columns = row.values.keys()
            continue
        unused.update(
            {
                name: value not in (None, "")
                for name, value in row.values.items()
                if name not in used
            }
        )
        values = renaming.rename_row(row.values)
        try:
            # Collected before the example is made but logged after it, so that a refused row
            # counts only as refused.
            passed_over = find_unused_keys(values, rule.columns)
            examples.append(
                read_example(rule, values, row.line, _get_group(row.values, group), origin)
            )
            for key in passed_over:
                log.add(RowError("unused-keys", row.line, key))
            for code, found in chain(
                find_converted_values(rule, values), find_placeholders(rule, values)
            ):
                log.add(RowError(code, row.line, found))
            for fault in beside.check_row(row.line, row.values):
                log.add(fault)
        except InvalidRow as bad:
            log.add(RowError(bad.code, row.line, bad.got))
        # Also of refused rows: a column that the file has is not missing because a row is wrong.
        present.update(name for name in rule.columns if values.get(name) not in (None, ""))
    present.update(plain_columns)
    for fault in chain(
        report_unused_columns(rule, unused, present, renaming), beside.of_all_rows()
    ):
        log.add(fault)
    problems = list(log.build_problems())
    if len(examples) == before:
        raise _build_no_examples_error(source.path, problems)
    return rule, problems


def _iterate_rows(source: Source, log: RowErrorLog) -> Iterator[Row]:
    for item in source.read(source.path):
        if isinstance(item, RowError):
            log.add(item)
        else:
            yield item


def _check_columns_present(source: Source, first: list[Row], requested: list[str]) -> None:
    """Every requested column must exist; the whole file is scanned only if the sample lacks one."""
    names = _list_column_names(first)
    if names.keys() >= set(requested):
        return
    names |= _list_column_names(row for row in source.read(source.path) if isinstance(row, Row))
    for name in requested:
        if name not in names:
            raise DataError(
                "unknown-column",
                f'no column "{name}"',
                at=str(source.path),
                got=f"columns {truncate_list(list(names), MAX_SHOWN_NAMES)}",
                hint=suggest_name(name, names) or "use one of them",
            )


def _list_column_names(rows: Iterable[Row]) -> dict[str, None]:
    """Every column name once, in file order (a dict used as an ordered set)."""
    return {name: None for row in rows for name in row.values}


def _choose_format(
    path: Path, first: list[Row], renaming: ColumnMapping, method: Method | None
) -> FormatRule:
    rule = detect_format(
        [renaming.rename_row(row.values) for row in first], renaming.requested_names, method
    )
    if rule is None:
        names = list(_list_column_names(first))
        known = "; ".join(f"{rule.format} ({', '.join(rule.required)})" for rule in FORMAT_RULES)
        likely = None if renaming.requested_names else propose_mapping(names)
        asked = (
            f"; mapped to {', '.join(renaming.requested_names)}" if renaming.requested_names else ""
        )
        raise DataError(
            "unknown-shape",
            "columns match no supported format",
            at=str(path),
            got=f"columns {truncate_list(names, MAX_SHOWN_NAMES)}{asked}",
            hint=(
                f"did you mean {likely}?"
                if likely
                else (
                    "map them, for example --columns prompt=question,completion=answer; "
                    f"formats: {known}"
                )
            ),
        )
    return rule


def _get_group(values: Mapping[str, Any], group: str | None) -> str | None:
    """The name of the row's group; None for an empty one, which makes the example its own group."""
    value = values.get(group) if group else None
    return None if value is None or value == "" else str(value)


def _check_same_format(path: Path, rules: list[FormatRule]) -> None:
    shapes = sorted({rule.format for rule in rules})
    if len(shapes) > 1:
        raise DataError(
            "mixed-shapes",
            "files of the folder have different formats",
            at=str(path),
            got=", ".join(shapes),
            hint="put each format into a folder of its own",
        )


def _build_no_examples_error(path: Path, problems: list[Problem]) -> DataError:
    errors = [problem for problem in problems if problem.severity == "error"]
    if not errors:
        return DataError(
            "no-rows", "file has no rows", at=str(path), hint="pass a file with examples"
        )
    # The most frequent error is most likely the cause that all rows share.
    worst = max(errors, key=lambda problem: problem.count)
    slug = worst.code.removeprefix("data/")
    place = f"{path} {worst.format_places()}"
    return DataError(
        slug,
        "no example could be read",
        at=place,
        got=worst.summary,
        hint=ROW_ERROR_KINDS[slug].hint,
    )
