"""A JSON array of objects, as Alpaca and ShareGPT files usually are. A row's line is its number.

The whole file is held in memory once, so it may have at most 256 MiB; JSON Lines has no such limit.
"""

from collections.abc import Iterator
from pathlib import Path

from tunesmith.data.read.faults import BadRow, Fault, Row
from tunesmith.data.read.jsonl import parse_json
from tunesmith.data.read.lines import UTF8_BOM
from tunesmith.errors import DataError

LARGEST_BYTES = 256 * 2**20


def read_json_array(path: Path) -> Iterator[Row | Fault]:
    """Each element as a row. Errors: `DataError` when the array itself cannot be read."""
    if path.stat().st_size > LARGEST_BYTES:
        raise DataError(
            "array-too-large",
            "A JSON array is read whole and may have at most 256 MiB.",
            where=str(path),
            do="write JSON Lines: jq -c '.[]' FILE > FILE.jsonl",
        )
    raw = path.read_bytes()
    if raw.startswith(UTF8_BOM):
        yield Fault("bom", 1, "the bytes EF BB BF")
    try:
        rows = parse_json(raw.removeprefix(UTF8_BOM))
    except BadRow as bad:
        raise DataError(
            bad.code,
            "This JSON array cannot be read.",
            where=str(path),
            found=bad.found,
            do="mend the file, or write JSON Lines, where one bad line spoils only itself",
        ) from None
    for number, row in enumerate(rows, start=1):
        if isinstance(row, dict):
            yield Row(number, row)
        else:
            yield Fault("unreadable-line", number, f"{str(row)[:40]!r}, which is not an object")
