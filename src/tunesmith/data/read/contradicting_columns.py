"""Warn about unused columns whose values contradict how the examples are used.

    split            "test" in a row of a file whose rows would all be split again: test rows would
                     be trained on
    weight           0 in some rows, 1 in others: rows that were switched off would be trained on
    scores of pairs  score_chosen below score_rejected: the pair would teach the worse answer
    placeholders     "nan" or "None" as the input of an instruction, written for an empty cell

None of these columns is used; a plain warning that they are unused would not explain the effect.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from tunesmith.data.read.data_formats import FormatRule
from tunesmith.data.read.row_errors import RowError
from tunesmith.data.read.split_names import find_split_names
from tunesmith.data.read.text_values import as_text
from tunesmith.errors import truncate_list

SPLIT_COLUMNS = frozenset(
    ("split", "splits", "data_split", "dataset_split", "partition", "subset", "set")
)
WEIGHT_COLUMNS = frozenset(
    ("weight", "weights", "sample_weight", "example_weight", "loss_weight", "train_on")
)
PLACEHOLDERS = frozenset(("nan", "none", "null", "n/a", "<na>"))
_SCORE_WORD = re.compile(r"scores?|ratings?|rewards?")
_MAX_VALUES = 20


class ExtraColumnChecker:
    """Checks the columns of one file that are not part of its examples."""

    def __init__(self, rule: FormatRule, used: set[str | None]) -> None:
        self._rule = rule
        self._used = used
        self._splits: dict[str, dict[str, None]] = {}
        self._weights: dict[str, dict[float, None]] = {}
        self._scores: dict[tuple[str, ...], tuple[str, str] | None] = {}

    def check_row(self, line: int, values: Mapping[str, Any]) -> Iterator[RowError]:
        """The errors of one row; `values` under the file's column names."""
        for name, value in values.items():
            if name.lower() in SPLIT_COLUMNS and name not in self._used and value not in (None, ""):
                # At most _MAX_VALUES are stored: a column of free text must not fill memory.
                found = self._splits.setdefault(name, {})
                if len(found) < _MAX_VALUES:
                    found[str(value)] = None
            if name.lower() in WEIGHT_COLUMNS and name not in self._used:
                weight = float(value) if isinstance(value, bool) else _to_number(value)
                if (
                    weight is not None
                    and len(weights := self._weights.setdefault(name, {})) < _MAX_VALUES
                ):
                    weights[weight] = None
        if self._rule.format == "preference":
            yield from self._check_scores(line, values)

    def of_all_rows(self) -> Iterator[RowError]:
        """The errors that show only across rows; call it after the last row.

        A split column: all values are split names, of more than one split. A weight column: numbers
        that differ.
        """
        for name, weights in self._weights.items():
            if len(weights) > 1:
                yield RowError(
                    "weight-column",
                    0,
                    f'"{name}" with {truncate_list([f"{one:g}" for one in sorted(weights)])}',
                )
        for name, values in self._splits.items():
            sides = [find_split_names(value) for value in values]
            if len(values) < _MAX_VALUES and all(sides) and len(set().union(*sides)) > 1:
                yield RowError("split-column", 0, f'"{name}" with {truncate_list(list(values))}')

    def _check_scores(self, line: int, values: Mapping[str, Any]) -> Iterator[RowError]:
        names = tuple(values)
        if names not in self._scores:
            self._scores[names] = _find_score_columns(names, self._used)
        columns = self._scores[names]
        chosen, rejected = (
            (_to_number(values[name]) for name in columns) if columns else (None, None)
        )
        if columns is None or chosen is None or rejected is None or chosen > rejected:
            return
        found = f"{columns[0]} {chosen:g}, {columns[1]} {rejected:g}"
        yield RowError("scores-equal" if chosen == rejected else "scores-disagree", line, found)


def find_placeholders(rule: FormatRule, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Optional texts that spell a missing value; `values` under our column names."""
    for name in ("input", "system"):
        text = as_text(values.get(name)) if name in rule.optional else None
        if text is not None and text.strip().lower() in PLACEHOLDERS:
            yield "placeholder", f'"{name}" is {text!r}'


def _find_score_columns(names: tuple[str, ...], used: set[str | None]) -> tuple[str, str] | None:
    """The score columns of the chosen and rejected answer: names that differ in that word only."""
    found: dict[str, dict[str, str]] = {}
    for name in names:
        words = re.split(r"[\W_]+", name.lower())
        side = [word for word in words if word in ("chosen", "rejected")]
        if (
            name not in used
            and len(side) == 1
            and any(_SCORE_WORD.fullmatch(word) for word in words)
        ):
            # The name without "chosen" or "rejected" is the key under which a pair meets.
            found.setdefault(name.lower().replace(side[0], ""), {})[side[0]] = name
    pairs = [pair for pair in found.values() if len(pair) == 2]
    return (pairs[0]["chosen"], pairs[0]["rejected"]) if len(pairs) == 1 else None


def _to_number(value: Any) -> float | None:
    try:
        return None if value is None or isinstance(value, (bool, list, dict)) else float(value)
    except (ValueError, OverflowError):
        return None
