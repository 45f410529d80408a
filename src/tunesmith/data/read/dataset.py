"""From a path to examples: find the files, find the shape, read every row, keep count of what is wrong.

Rows never end the reading; they become problems. A file that cannot be used at all is a `DataError`.
"""

import difflib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from tunesmith.data.read.faults import KINDS, BadRow, Fault, FaultLog, Row
from tunesmith.data.read.folder import Side, Source, find_sources, unreadable
from tunesmith.data.read.message_keys import unused_keys
from tunesmith.data.read.shapes import COLUMN_NAMES, RULES, ShapeRule, find_shape, read_example
from tunesmith.errors import DataError, name_some
from tunesmith.files import sha256_of
from tunesmith.records import CountedIn, Dataset, Example, Problem, SourceFile, fingerprint_of

ROWS_LOOKED_AT = 100
"""The first rows of each file decide the shape, each with one vote; rows that do not fit it are faults."""

NAMES_TOLD = 20
"""Column names in one message: objects whose keys are data can have thousands."""


@dataclass(frozen=True, slots=True)
class Part:
    """Which of the examples came from one file: `examples[begin:end]`, and the side it gives them (None: none).

    `counted_in` says what the examples' `line` counts in this file.
    """

    file: str
    side: Side | None
    begin: int
    end: int
    counted_in: CountedIn = "lines"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A data set in memory: its record, its examples in file order, and what was wrong while reading."""

    dataset: Dataset
    examples: list[Example]
    problems: list[Problem]
    parts: tuple[Part, ...]

    @property
    def sides(self) -> list[Side] | None:
        """The given side of every example, or None when the files give no split."""
        sides = [part.side for part in self.parts for _ in range(part.end - part.begin)]
        return None if len({part.side for part in self.parts}) < 2 else [side for side in sides if side]


def read_dataset(path: str | Path, columns: Mapping[str, str] | None = None, group: str | None = None) -> Loaded:
    """Read a file or folder of examples.

    `columns` maps our names to the file's (`{"prompt": "question"}`); `group` names the file's column whose examples
    must stay on one side of a split.
    Errors: `DataError` when nothing can be read, or when the columns fit no shape.
    """
    path, columns = Path(path), dict(columns or {})
    _refuse_unknown_names(columns)
    examples: list[Example] = []
    problems: list[Problem] = []
    files: list[SourceFile] = []
    parts: list[Part] = []
    rules: list[ShapeRule] = []
    for source in find_sources(path):
        begin = len(examples)
        try:
            rule, found = _read_source(source, columns, group, examples)
        except OSError as error:
            raise unreadable(source.path, error) from None
        rules.append(rule)
        problems += found
        files.append(_source_file(source.path, len(examples) - begin))
        parts.append(Part(str(source.path), source.side, begin, len(examples), source.counted_in))
    _refuse_mixed_shapes(path, rules)
    dataset = Dataset(
        name=path.resolve().stem,
        shape=rules[0].shape,
        files=tuple(files),
        columns=columns,
        examples=len(examples),
        content=fingerprint_of([example.id for example in examples]),
    )
    return Loaded(dataset, examples, problems, tuple(parts))


def _source_file(path: Path, examples: int) -> SourceFile:
    return SourceFile(path=str(path), sha256=sha256_of(path), size_bytes=path.stat().st_size, examples=examples)


def _read_source(
    source: Source, columns: Mapping[str, str], group: str | None, examples: list[Example]
) -> tuple[ShapeRule, list[Problem]]:
    """Append the file's examples; give its shape and problems."""
    log = FaultLog(str(source.path), source.counted_in)
    rows = _rows(source, log)
    first = list(islice(rows, ROWS_LOOKED_AT))
    if not first:
        raise _nothing_readable(source.path, list(log.problems()))
    renaming = _Renaming(columns)
    _refuse_absent_columns(source, first, [*columns.values(), *([group] if group else [])])
    rule = _choose_shape(source.path, first, renaming)
    before = len(examples)
    used = {theirs for ours in rule.columns if (theirs := renaming.theirs(ours))} | {group}
    unused: Counter[str] = Counter()
    for row in chain(first, rows):
        unused.update(name for name in row.values if name not in used)
        try:
            values = renaming.ours(row.values)
            passed_over = unused_keys(values, rule.columns)
            examples.append(read_example(rule, values, row.line, _group_of(row.values, group)))
            for key in passed_over:
                log.add(Fault("unused-keys", row.line, key))
        except BadRow as bad:
            log.add(Fault(bad.code, row.line, bad.found))
    _note_unused(log, rule, unused)
    problems = list(log.problems())
    if len(examples) == before:
        raise _nothing_readable(source.path, problems)
    return rule, problems


class _Renaming:
    """Their names to ours, row by row, for a later row may have columns that the first ones lack.

    A mapped name hides a column of the file that has our name already.
    """

    def __init__(self, columns: Mapping[str, str]) -> None:
        theirs = [*columns.values()]
        if twice := [name for name in theirs if theirs.count(name) > 1]:
            raise DataError(
                "column-used-twice", f'The column "{twice[0]}" is mapped twice.', where="--columns", do="map it once"
            )
        self._ours_to_theirs = dict(columns)
        self._theirs_to_ours = {theirs: ours for ours, theirs in columns.items()}
        self.mapped = tuple(ours for ours, theirs in columns.items() if theirs != ours)

    def ours(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """The row under our names, without the columns that a mapped one hides."""
        if not self._ours_to_theirs:
            return values
        return {
            self._theirs_to_ours.get(name, name): value
            for name, value in values.items()
            if name in self._theirs_to_ours or name not in self._ours_to_theirs
        }

    def theirs(self, ours: str) -> str | None:
        """What the file calls our column; None when its name there is mapped to another of ours."""
        return self._ours_to_theirs.get(ours, None if ours in self._theirs_to_ours else ours)


def _rows(source: Source, log: FaultLog) -> Iterator[Row]:
    for item in source.read(source.path):
        if isinstance(item, Fault):
            log.add(item)
        else:
            yield item


def _refuse_absent_columns(source: Source, first: list[Row], asked: list[str]) -> None:
    """Every column asked for must stand in some row; only where the first rows lack one are all of them looked at."""
    names = _names_in(first)
    if names.keys() >= set(asked):
        return
    names |= _names_in(row for row in source.read(source.path) if isinstance(row, Row))
    for name in asked:
        if name not in names:
            raise DataError(
                "unknown-column",
                f'There is no column "{name}".',
                where=str(source.path),
                found=f"columns {name_some(list(names), NAMES_TOLD)}",
                do=_nearest(name, names) or "name one of them",
            )


def _names_in(rows: Iterable[Row]) -> dict[str, None]:
    """Every column name, in the order of the file."""
    return {name: None for row in rows for name in row.values}


def _choose_shape(path: Path, first: list[Row], renaming: _Renaming) -> ShapeRule:
    rule = find_shape([renaming.ours(row.values) for row in first], renaming.mapped)
    if rule is None:
        known = "; ".join(f"{rule.shape} ({', '.join(rule.required)})" for rule in RULES)
        raise DataError(
            "unknown-shape",
            "The columns fit no shape that tunesmith knows.",
            where=str(path),
            found=f"columns {name_some(list(_names_in(first)), NAMES_TOLD)}",
            do=f"say which is which, for example --columns prompt=question,completion=answer; known shapes: {known}",
        )
    return rule


def _note_unused(log: FaultLog, rule: ShapeRule, unused: Counter[str]) -> None:
    """One note for the file: each column with the number of rows that have it."""
    code = "columns-beside-text" if rule.shape == "text" else "unused-columns"
    told = [f"{name} (in {count:,} row{'s' * (count > 1)})" for name, count in unused.items()]
    for _ in unused:
        log.add(Fault(code, 0, f"{name_some(told, NAMES_TOLD)}; the examples are read as {rule.shape}"))


def _group_of(values: Mapping[str, Any], group: str | None) -> str | None:
    """The group's name. An example without one stands alone."""
    value = values.get(group) if group else None
    return None if value is None or value == "" else str(value)


def _refuse_unknown_names(columns: Iterable[str]) -> None:
    for name in columns:
        if name not in COLUMN_NAMES:
            raise DataError(
                "unknown-column-name",
                f'tunesmith has no column "{name}".',
                where="--columns",
                found=f"known are {', '.join(COLUMN_NAMES)}",
                do=_nearest(name, COLUMN_NAMES) or "write OURS=THEIRS, ours first",
            )


def _refuse_mixed_shapes(path: Path, rules: list[ShapeRule]) -> None:
    shapes = sorted({rule.shape for rule in rules})
    if len(shapes) > 1:
        raise DataError(
            "mixed-shapes",
            "The files of this folder have different shapes.",
            where=str(path),
            found=", ".join(shapes),
            do="put each shape in a folder of its own",
        )


def _nothing_readable(path: Path, problems: list[Problem]) -> DataError:
    errors = [problem for problem in problems if problem.severity == "error"]
    if not errors:
        return DataError("no-rows", "The file has no rows.", where=str(path), do="give a file with examples")
    worst = max(errors, key=lambda problem: problem.count)
    slug = worst.code.removeprefix("data/")
    place = f"{path} {worst.places()}"
    return DataError(slug, "No example can be read.", where=place, found=worst.message, do=KINDS[slug].do)


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f'did you mean "{near[0]}"?' if near else ""
