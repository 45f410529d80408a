"""What the columns beside an example say of it, where that contradicts how the example is used.

    split            "test" in a row of a file whose rows would all be split anew: test rows would be trained
    weight           0 in some rows, 1 in others: rows that were switched off would be trained
    scores of pairs  score_chosen below score_rejected: the pair would teach the worse answer
    placeholders     "nan" or "None" as the input of an instruction: pandas wrote an empty cell as a word

None of these columns is used; a warning that they are not used would not say what it means.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from tunesmith.data.read.faults import Fault
from tunesmith.data.read.plain_text import as_text
from tunesmith.data.read.shapes import ShapeRule
from tunesmith.data.read.split_words import sides_in
from tunesmith.errors import name_some

SPLIT_COLUMNS = frozenset(("split", "splits", "data_split", "dataset_split", "partition", "subset", "set"))
WEIGHT_COLUMNS = frozenset(("weight", "weights", "sample_weight", "example_weight", "loss_weight", "train_on"))
PLACEHOLDERS = frozenset(("nan", "none", "null", "n/a", "<na>"))
_SCORE_WORD = re.compile(r"scores?|ratings?|rewards?")
_MOST_VALUES = 20


class Beside:
    """Looks at the columns of one file that are not part of its examples."""

    def __init__(self, rule: ShapeRule, used: set[str | None]) -> None:
        self._rule = rule
        self._used = used
        self._splits: dict[str, dict[str, None]] = {}
        self._weights: dict[str, dict[float, None]] = {}
        self._scores: dict[tuple[str, ...], tuple[str, str] | None] = {}

    def look_at(self, line: int, values: Mapping[str, Any]) -> Iterator[Fault]:
        """What this row says; `values` under the names of the file."""
        for name, value in values.items():
            if name.lower() in SPLIT_COLUMNS and name not in self._used and value not in (None, ""):
                found = self._splits.setdefault(name, {})
                if len(found) < _MOST_VALUES:
                    found[str(value)] = None
            if name.lower() in WEIGHT_COLUMNS and name not in self._used:
                weight = float(value) if isinstance(value, bool) else _as_number(value)
                if weight is not None and len(weights := self._weights.setdefault(name, {})) < _MOST_VALUES:
                    weights[weight] = None
        if self._rule.shape == "preference":
            yield from self._scores_of(line, values)

    def of_all_rows(self) -> Iterator[Fault]:
        """What columns say as a whole. Once all rows were looked at.

        A split: all values are names of splits, of more than one. A weight: numbers that differ.
        """
        for name, weights in self._weights.items():
            if len(weights) > 1:
                yield Fault("weight-column", 0, f'"{name}" with {name_some([f"{one:g}" for one in sorted(weights)])}')
        for name, values in self._splits.items():
            sides = [sides_in(value) for value in values]
            if len(values) < _MOST_VALUES and all(sides) and len(set().union(*sides)) > 1:
                yield Fault("split-column", 0, f'"{name}" with {name_some(list(values))}')

    def _scores_of(self, line: int, values: Mapping[str, Any]) -> Iterator[Fault]:
        names = tuple(values)
        if names not in self._scores:
            self._scores[names] = _score_columns(names, self._used)
        columns = self._scores[names]
        chosen, rejected = (_as_number(values[name]) for name in columns) if columns else (None, None)
        if columns is None or chosen is None or rejected is None or chosen > rejected:
            return
        found = f"{columns[0]} {chosen:g}, {columns[1]} {rejected:g}"
        yield Fault("scores-equal" if chosen == rejected else "scores-disagree", line, found)


def placeholders(rule: ShapeRule, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Optional texts that are the word for nothing; `values` under our names."""
    for name in ("input", "system"):
        text = as_text(values.get(name)) if name in rule.optional else None
        if text is not None and text.strip().lower() in PLACEHOLDERS:
            yield "placeholder", f'"{name}" is {text!r}'


def _score_columns(names: tuple[str, ...], used: set[str | None]) -> tuple[str, str] | None:
    """The columns with the score of the chosen and of the rejected answer: names that differ in nothing else."""
    found: dict[str, dict[str, str]] = {}
    for name in names:
        words = re.split(r"[\W_]+", name.lower())
        side = [word for word in words if word in ("chosen", "rejected")]
        if name not in used and len(side) == 1 and any(_SCORE_WORD.fullmatch(word) for word in words):
            found.setdefault(name.lower().replace(side[0], ""), {})[side[0]] = name
    pairs = [pair for pair in found.values() if len(pair) == 2]
    return (pairs[0]["chosen"], pairs[0]["rejected"]) if len(pairs) == 1 else None


def _as_number(value: Any) -> float | None:
    try:
        return None if value is None or isinstance(value, (bool, list, dict)) else float(value)
    except (ValueError, OverflowError):
        return None
