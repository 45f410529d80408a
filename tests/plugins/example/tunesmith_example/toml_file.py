"""A reader of data: a TOML file whose tables `[[examples]]` are the rows."""

import tomllib
from collections.abc import Iterator
from pathlib import Path

from tunesmith.data.read.row_errors import Row, RowError
from tunesmith.errors import DataError


def read_toml(path: Path) -> Iterator[Row | RowError]:
    """Each table as a row, counted from 1. Errors: `DataError` for a file that is no such TOML."""
    try:
        rows = tomllib.loads(path.read_text(encoding="utf-8")).get("examples")
    except ValueError as error:
        raise DataError(
            "not-toml", "file is not valid TOML", at=str(path), got=str(error), hint="fix the file"
        ) from None
    if not isinstance(rows, list):
        raise DataError(
            "no-examples",
            "file contains no examples",
            at=str(path),
            hint="write tables [[examples]]",
        )
    for number, row in enumerate(rows, start=1):
        if isinstance(row, dict):
            yield Row(number, row)
        else:
            yield RowError("unreadable-line", number, repr(row)[:40])
