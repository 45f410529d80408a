"""Output of the commands: results go to standard output, everything else to standard error.

Control characters in text from data or models are escaped first, so that a file cannot send
commands to the terminal.
"""

import json
import re
import sys
import unicodedata
from collections.abc import Sequence
from typing import Any

from tunesmith.errors import TunesmithError, UsageError, format_command_line


def escape_control_characters(text: object) -> str:
    return "".join(
        # Cc: control codes, Cf: invisible format characters, Cs: lone surrogates that cannot be
        # encoded.
        (
            char
            if char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cf", "Cs")
            else ascii(char)[1:-1]
        )
        for char in str(text)
    )


def print_json(value: Any) -> None:
    """Print one JSON document on standard output and flush it: another program may wait for it."""
    print(json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False), flush=True)


def print_error(error: TunesmithError, *, as_json: bool) -> None:
    """Print the error on standard error; with `--json` also as a document on standard output."""
    print(escape_control_characters(error), file=sys.stderr)
    if as_json:
        print_json({"error": error.as_dict()})


def print_lines(*lines: str) -> None:
    """Print lines on standard output."""
    for line in lines:
        print(escape_control_characters(line))


def print_next_command(*words: object) -> None:
    """Print the last line of a command: the most likely next command, ready to be pasted into a
    shell.
    """
    print(f"next: {escape_control_characters(format_command_line(*words))}")


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[object]], right: Sequence[int] = ()
) -> None:
    """Print a table on standard output; `right` lists the indices of right-aligned columns."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table: Table = Table(box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number in right else "left", overflow="fold")
    for row in rows:
        table.add_row(
            *(Text(escape_control_characters(cell)) for cell in row)
        )  # Text objects have no markup, so brackets in data are not interpreted
    # In a pipe nothing must be wrapped at 80 columns.
    Console(highlight=False, width=None if sys.stdout.isatty() else 1000).print(table)


_SECONDS_PER_UNIT = {"s": 1, "sec": 1, "m": 60, "min": 60, "minutes": 60, "h": 3600, "hours": 3600}


def parse_duration(text: str, flag: str) -> float:
    """`15min`, `1.5h`, `90s` in seconds. Errors: UsageError."""
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-z]+)\s*", text.lower())
    if match is None or match[2] not in _SECONDS_PER_UNIT or float(match[1]) == 0:
        raise UsageError(
            "duration",
            "invalid duration",
            at=flag,
            got=text,
            hint=f"write for example {flag} 15min, {flag} 1h or {flag} 90s",
        )
    return float(match[1]) * _SECONDS_PER_UNIT[match[2]]


def parse_columns(text: str | None) -> dict[str, str]:
    """`prompt=question,completion=answer` as a dictionary (ours -> theirs); a JSON object for names
    with `,` or `=`.

    Errors: UsageError.
    """
    if text and text.lstrip().startswith("{"):
        return _parse_json_columns(text)
    pairs = [part.strip() for part in text.split(",")] if text else []
    if any(
        pair.count("=") != 1 or not all(side.strip() for side in pair.split("=")) for pair in pairs
    ):
        raise UsageError(
            "columns",
            "invalid column mapping",
            at="--columns",
            got=str(text),
            hint="use FIELD=COLUMN pairs, for example --columns prompt=question,completion=answer",
        )
    return {ours.strip(): theirs.strip() for ours, theirs in (pair.split("=") for pair in pairs)}


def _parse_json_columns(text: str) -> dict[str, str]:
    try:
        columns = json.loads(text)
    except ValueError:
        columns = None
    if not isinstance(columns, dict) or not all(
        isinstance(theirs, str) for theirs in columns.values()
    ):
        raise UsageError(
            "columns",
            "invalid column mapping",
            at="--columns",
            got=text,
            hint='use a JSON object of names: --columns \'{"prompt": "question, in full"}\'',
        )
    return columns
