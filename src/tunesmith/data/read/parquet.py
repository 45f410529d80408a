"""Parquet and Arrow tables through polars, which runs no code found in a file (no pickled extension types).

The `.arrow` files of a Hugging Face `datasets` folder are Arrow IPC streams; `.feather` and other `.arrow` files have
the IPC file layout. The first bytes tell them apart. A row's line is its number.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tunesmith.data.read.faults import BadRow, Fault, Row
from tunesmith.data.read.jsonl import refuse_broken_string
from tunesmith.errors import DataError


def read_parquet(path: Path) -> Iterator[Row | Fault]:
    """Each row of a Parquet or Arrow file. Errors: `DataError` when the file is damaged."""
    import polars  # costs 0.1 s, and most data is JSON Lines

    try:
        frame = _read_frame(path)
        names = frame.columns
    except (polars.exceptions.PolarsError, polars.exceptions.PanicException, OSError, ValueError) as error:
        raise DataError(
            "damaged-table",
            "This table cannot be read.",
            where=str(path),
            found=str(error).split("\n")[0],
            do="write the file again; it is damaged or not what its first bytes say",
        ) from None
    for number, cells in enumerate(frame.iter_rows(), start=1):
        try:
            for cell in cells:
                if isinstance(cell, str) and "\0" in cell:
                    refuse_broken_string(cell)
            yield Row(number, {name: _without_nulls(cell) for name, cell in zip(names, cells, strict=True)})
        except BadRow as bad:
            yield Fault(bad.code, number, bad.found)


def _read_frame(path: Path) -> Any:
    import polars

    with path.open("rb") as file:
        start = file.read(6)
    if start.startswith(b"PAR1"):
        return polars.read_parquet(path)
    return polars.read_ipc(path) if start == b"ARROW1" else polars.read_ipc_stream(path)


def _without_nulls(value: Any) -> Any:
    """Inside a struct, Arrow cannot tell an absent key from a null one: all structs of a column have the same keys."""
    if isinstance(value, dict):
        return {key: _without_nulls(child) for key, child in value.items() if child is not None}
    return [_without_nulls(child) for child in value] if isinstance(value, list) else value
