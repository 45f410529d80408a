"""Map the file's column names to ours; report missing and unused columns and the likely mapping.

An unused column is always reported. It is an error where it probably belongs to the training data:
a question next to two answers without a prompt, a label next to a text. Naming the intended columns
resolves it (`--columns chosen=chosen,rejected=rejected`).
"""

import difflib
import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tunesmith.data.read.data_formats import COLUMN_NAMES, FormatRule
from tunesmith.data.read.row_errors import RowError
from tunesmith.errors import DataError, truncate_list

MAX_SHOWN_NAMES = 20
"""Column names shown in one message: objects whose keys are data can have thousands."""

_ANSWER_NAMES = (
    "completion",
    "answer",
    "response",
    "output",
    "reply",
    "target",
    "solution",
    "label",
    "labels",
    "category",
    "class",
    "intent",
    "sentiment",
    "summary",
    "label_text",
    "label_name",
)
COMMON_COLUMN_NAMES: dict[str, tuple[str, ...]] = {
    "prompt": (
        "prompt",
        "question",
        "instruction",
        "query",
        "input",
        "problem",
        "user",
        "request",
        "utterance",
        "text",
        "sentence",
        "context",
        "message",
        "review",
        "document",
    ),
    "completion": _ANSWER_NAMES,
    "output": _ANSWER_NAMES,
    "instruction": ("instruction",),
    "input": ("input", "context"),
    "chosen": (
        "chosen",
        "chosen_response",
        "response_chosen",
        "preferred",
        "better",
        "accepted",
        "winner",
        "good",
    ),
    "rejected": (
        "rejected",
        "rejected_response",
        "response_rejected",
        "dispreferred",
        "worse",
        "loser",
        "bad",
    ),
    "system": (
        "system_prompt",
        "system_message",
        "system_instruction",
        "systemprompt",
        "sys_prompt",
        "system",
    ),
    "messages": (
        "messages",
        "conversation",
        "conversations",
        "dialog",
        "dialogue",
        "chat",
        "turns",
    ),
}
"""Common names of each of our columns in other data sets, the most likely first."""


class ColumnMapping:
    """Renames the columns of each row from the file's names to ours.

    A mapped name hides a column of the file that has our name already. `requested_names` are those
    of our names that the user mapped. It works row by row, because a later row may have columns
    that the first ones lack.
    """

    def __init__(self, columns: Mapping[str, str]) -> None:
        theirs = [*columns.values()]
        if twice := [name for name in theirs if theirs.count(name) > 1]:
            raise DataError(
                "column-used-twice",
                f'column "{twice[0]}" is mapped twice',
                at="--columns",
                got=truncate_list([f"{ours}={name}" for ours, name in columns.items()]),
                hint="map it once",
            )
        self._source_by_own = dict(columns)
        self._own_by_source = {theirs: ours for ours, theirs in columns.items()}
        self.requested_names = tuple(columns)

    def rename_row(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """The row under our names, without the columns that a mapped one hides."""
        if not self._source_by_own:
            return values
        return {
            self._own_by_source.get(name, name): value
            for name, value in values.items()
            # A mapped name of ours wins over a column of the file with that name.
            if name in self._own_by_source or name not in self._source_by_own
        }

    def find_source_column(self, own_name: str) -> str | None:
        """The file's name of our column; None when that column is mapped to another of ours."""
        return self._source_by_own.get(
            own_name, None if own_name in self._own_by_source else own_name
        )


def check_column_names(columns: Iterable[str]) -> None:
    """Errors: `DataError` for a name on the left of `=` that is not one of ours."""
    for name in columns:
        if name not in COLUMN_NAMES:
            raise DataError(
                "unknown-column-name",
                f'unknown field "{name}" in the column mapping',
                at="--columns",
                got=f"known: {', '.join(COLUMN_NAMES)}",
                hint=suggest_name(name, COLUMN_NAMES) or "use FIELD=COLUMN",
            )


def suggest_name(name: str, known: Iterable[str]) -> str:
    """`did you mean "question"?`, or an empty string when no known name is similar."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f'did you mean "{near[0]}"?' if near else ""


_MAPPING_RULES: tuple[tuple[tuple[str, ...], str | None], ...] = (
    (("messages",), None),
    (("chosen", "rejected"), "prompt"),
    (("instruction", "output"), "input"),
    (("prompt", "completion"), None),
)
"""(columns that a mapping needs, a column that is added to it if present), most likely first."""


def propose_mapping(names: Sequence[str]) -> str | None:
    """The most likely mapping as a flag that can be copied; None where no mapping fits."""
    for wanted, more in _MAPPING_RULES:
        found = {
            ours: theirs
            for ours in wanted
            if (theirs := _find_likely_column(ours, names)) is not None
        }
        if len(found) == len(wanted) and len(set(found.values())) == len(found):
            theirs = _find_likely_column(more, names) if more else None
            return _format_flag({**({more: theirs} if more and theirs else {}), **found})
    return None


def _find_likely_column(own_name: str, names: Sequence[str]) -> str | None:
    # Reversed, so that of two columns that differ only in case the first one wins.
    by_lower = {name.strip().lower(): name for name in reversed(names)}
    return next(
        (by_lower[word] for word in COMMON_COLUMN_NAMES[own_name] if word in by_lower), None
    )


def _format_flag(mapping: Mapping[str, str]) -> str:
    return f"--columns {shlex.quote(format_mapping(mapping))}"


def format_mapping(mapping: Mapping[str, str]) -> str:
    """`prompt=question,completion=answer`, or JSON where a name holds `,`, `=`, `{` or a space."""
    if any(set(name) & set(",={") or name != name.strip() for name in mapping.values()):
        return json.dumps(dict(mapping), ensure_ascii=False)
    return ",".join(f"{ours}={theirs}" for ours, theirs in mapping.items())


def report_unused_columns(
    rule: FormatRule,
    counts: Mapping[str, int],
    present: Iterable[str],
    column_mapping: ColumnMapping,
) -> Iterator[RowError]:
    """One error for each unused column, all with the same text, and one for each likely mapping.

    `counts`: rows with a value for each unused column; `present`: our names of the columns in use.
    """
    # One entry for each column, because the log counts entries and shows the text of the first.
    told = [
        f"{name} (in {count:,} row{'s' * (count > 1)})" if count else f"{name} (empty)"
        for name, count in counts.items()
    ]
    pairs = "; --method dpo reads the pairs" if {"chosen", "rejected"} <= counts.keys() else ""
    for _ in counts:
        found = (
            f"{truncate_list(told, MAX_SHOWN_NAMES)}; the examples are read as {rule.format}{pairs}"
        )
        yield RowError("unused-columns", 0, found)
    # A user who mapped a required column has decided which columns are meant.
    if set(column_mapping.requested_names) & set(rule.required):
        return
    missing = _find_missing_part(rule, set(present))
    filled = [name for name, count in counts.items() if count]
    theirs = _find_likely_column(missing, filled) if missing else None
    if missing and theirs is not None:
        mapping = _build_mapping(rule, missing, theirs)
        as_it_is = ",".join(f"{name}={name}" for name in rule.required)
        code = "likely-answer" if missing == "completion" else "likely-prompt"
        yield RowError(
            code, 0, f'"{theirs}": {_format_flag(mapping)}; to ignore it: --columns {as_it_is}'
        )
    theirs = _find_likely_column("system", filled)
    if theirs is not None and "system" in rule.optional and "system" not in present:
        as_it_is = ",".join(f"{name}={name}" for name in rule.required)
        mapping = {"system": theirs}
        yield RowError(
            "likely-system",
            0,
            f'"{theirs}": {_format_flag(mapping)}; to ignore it: --columns {as_it_is}',
        )


def _find_missing_part(rule: FormatRule, present: set[str]) -> str | None:
    """The part of an example that the file has no column for, though similar formats have it."""
    if rule.format == "preference" and "prompt" not in present:
        return "prompt"
    if rule.format == "alpaca" and "input" not in present:
        return "prompt"
    return "completion" if rule.format == "text" else None


def _build_mapping(rule: FormatRule, missing: str, source_column: str) -> dict[str, str]:
    if rule.format == "text":
        return {"prompt": "text", "completion": source_column}
    return {"input" if rule.format == "alpaca" else missing: source_column}
