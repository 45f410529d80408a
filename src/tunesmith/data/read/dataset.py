"""From a path to examples: find the files, find the shape, read every row, keep count of what is wrong.

Rows never end the reading; they become problems. A file that cannot be used at all is a `DataError`.
"""

import gc
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from tunesmith.data.read.beside import Beside, placeholders
from tunesmith.data.read.columns import NAMES_TOLD, Renaming, nearest, proposed, refuse_unknown_names, told_left_over
from tunesmith.data.read.faults import KINDS, BadRow, Fault, FaultLog, Row
from tunesmith.data.read.folder import Source, find_sources, unreadable
from tunesmith.data.read.message_keys import unused_keys
from tunesmith.data.read.shapes import (
    RULES,
    ShapeRule,
    find_shape,
    read_example,
    read_otherwise,
    read_plain_example,
)
from tunesmith.data.read.split_words import Side
from tunesmith.errors import DataError, name_some
from tunesmith.files import sha256_of
from tunesmith.records import CountedIn, Dataset, Example, Method, Origin, Problem, SourceFile, fingerprint_of
from tunesmith.records.example import identify

ROWS_LOOKED_AT = 100
"""The first rows of each file decide the shape, each with one vote; rows that do not fit it are faults."""


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
    """A data set in memory: its record, its examples in file order, and what was wrong while reading.

    `has_answers` is False where a task of another tool says how answers are checked in place of what they are.
    `ids` are those of the examples as numbers of 64 bits, where the reader has worked them out.
    """

    dataset: Dataset
    examples: list[Example]
    problems: list[Problem]
    parts: tuple[Part, ...]
    has_answers: bool = True
    ids: "array[int] | None" = None

    @property
    def sides(self) -> list[Side] | None:
        """The given side of every example, or None when the files give no split."""
        sides = [part.side for part in self.parts for _ in range(part.end - part.begin)]
        return None if len({part.side for part in self.parts}) < 2 else [side for side in sides if side]


def read_dataset(
    path: str | Path,
    columns: Mapping[str, str] | None = None,
    group: str | None = None,
    method: Method | None = None,
) -> Loaded:
    """Read a file or folder of examples.

    `columns` maps our names to the file's (`{"prompt": "question"}`); `group` names the file's column whose examples
    must stay on one side of a split; rows that fit several shapes are read as `method` learns from them.
    Errors: `DataError` when nothing can be read, or when the columns fit no shape.
    """
    path, columns = Path(path), dict(columns or {})
    refuse_unknown_names(columns)
    examples: list[Example] = []
    problems: list[Problem] = []
    files: list[SourceFile] = []
    parts: list[Part] = []
    rules: list[ShapeRule] = []
    sources = find_sources(path)
    problems += sources.problems
    for source in sources.files:
        begin = len(examples)
        try:
            with pause_collection():
                rule, found = _read_source(source, columns, group, method, examples)
        except OSError as error:
            raise unreadable(source.path, error) from None
        rules.append(rule)
        problems += found
        files.append(_source_file(source.path, len(examples) - begin))
        parts.append(Part(str(source.path), source.side, begin, len(examples), source.counted_in))
    _refuse_mixed_shapes(path, rules)
    ids = array("Q", (int(identify(example), 16) for example in examples))
    dataset = Dataset(
        name=path.resolve().stem,
        shape=rules[0].shape,
        files=tuple(files),
        columns=columns,
        examples=len(examples),
        content=fingerprint_of([f"{number:016x}" for number in ids]),
    )
    return Loaded(dataset, examples, problems, tuple(parts), ids=ids)


@contextmanager
def pause_collection() -> Iterator[None]:
    """Keep Python's collector of circular garbage out while examples are made, and compared.

    They form no circles, and with each quarter more of them it would go through all again: a fifth of the time of
    reading a large file.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _source_file(path: Path, examples: int) -> SourceFile:
    return SourceFile(path=str(path), sha256=sha256_of(path), size_bytes=path.stat().st_size, examples=examples)


def _read_source(
    source: Source,
    columns: Mapping[str, str],
    group: str | None,
    method: Method | None,
    examples: list[Example],
) -> tuple[ShapeRule, list[Problem]]:
    """Append the file's examples; give its shape and problems."""
    log = FaultLog(str(source.path), source.counted_in)
    origin = Origin(str(source.path), source.counted_in)
    rows = _rows(source, log)
    first = list(islice(rows, ROWS_LOOKED_AT))
    if not first:
        raise _nothing_readable(source.path, list(log.problems()))
    renaming = Renaming(columns)
    _refuse_absent_columns(source, first, [*columns.values(), *([group] if group else [])])
    rule = _choose_shape(source.path, first, renaming, method)
    before = len(examples)
    used = {theirs for ours in rule.columns if (theirs := renaming.theirs(ours))} | {group}
    beside = Beside(rule, used)
    unused: Counter[str] = Counter()
    present: set[str] = set()
    plain_columns: Iterable[str] = ()
    for row in chain(first, rows):
        plain = None if columns or group else read_plain_example(rule, row.values, row.line, origin)
        if plain is not None:
            examples.append(plain)
            plain_columns = row.values.keys()
            continue
        unused.update({name: value not in (None, "") for name, value in row.values.items() if name not in used})
        values = renaming.ours(row.values)
        try:
            passed_over = unused_keys(values, rule.columns)
            examples.append(read_example(rule, values, row.line, _group_of(row.values, group), origin))
            for key in passed_over:
                log.add(Fault("unused-keys", row.line, key))
            for code, found in chain(read_otherwise(rule, values), placeholders(rule, values)):
                log.add(Fault(code, row.line, found))
            for fault in beside.look_at(row.line, row.values):
                log.add(fault)
        except BadRow as bad:
            log.add(Fault(bad.code, row.line, bad.found))
        present.update(name for name in rule.columns if values.get(name) not in (None, ""))
    present.update(plain_columns)
    for fault in chain(told_left_over(rule, unused, present, renaming), beside.of_all_rows()):
        log.add(fault)
    problems = list(log.problems())
    if len(examples) == before:
        raise _nothing_readable(source.path, problems)
    return rule, problems


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
                do=nearest(name, names) or "name one of them",
            )


def _names_in(rows: Iterable[Row]) -> dict[str, None]:
    """Every column name, in the order of the file."""
    return {name: None for row in rows for name in row.values}


def _choose_shape(path: Path, first: list[Row], renaming: Renaming, method: Method | None) -> ShapeRule:
    rule = find_shape([renaming.ours(row.values) for row in first], renaming.mapped, method)
    if rule is None:
        names = list(_names_in(first))
        known = "; ".join(f"{rule.shape} ({', '.join(rule.required)})" for rule in RULES)
        likely = None if renaming.mapped else proposed(names)
        asked = f"; mapped to {', '.join(renaming.mapped)}" if renaming.mapped else ""
        raise DataError(
            "unknown-shape",
            "The columns fit no shape that tunesmith knows.",
            where=str(path),
            found=f"columns {name_some(names, NAMES_TOLD)}{asked}",
            do=f"did you mean {likely}?"
            if likely
            else f"say which is which, for example --columns prompt=question,completion=answer; known shapes: {known}",
        )
    return rule


def _group_of(values: Mapping[str, Any], group: str | None) -> str | None:
    """The group's name. An example without one stands alone."""
    value = values.get(group) if group else None
    return None if value is None or value == "" else str(value)


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
