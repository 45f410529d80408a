"""Read a JSON document: an array of objects, an object that contains one, or consecutive objects.

Consecutive objects may be broken into lines in any way. A row's "line" is its number in the
document. The whole file is held in memory, so it may have at most 256 MiB; JSON Lines has no such
limit.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tunesmith.data.read.data_formats import COLUMN_NAMES
from tunesmith.data.read.decompression import open_decompressed
from tunesmith.data.read.jsonl_file import parse_documents
from tunesmith.data.read.line_reader import UTF8_BOM
from tunesmith.data.read.row_errors import InvalidRow, Row, RowError
from tunesmith.errors import DataError, NotRows, truncate_list

MAX_JSON_BYTES = 256 * 2**20
_ROWS_HINT = "write a list of objects, one per example (pandas: to_json(orient='records'))"


def read_json(path: Path) -> Iterator[Row | RowError]:
    """Each object as a row. Errors: `DataError` for an unreadable document or one without rows."""
    with open_decompressed(path) as file:
        # One byte over the limit is enough to know that the file is too large.
        raw = file.read(MAX_JSON_BYTES + 1)
    if len(raw) > MAX_JSON_BYTES:
        raise DataError(
            "array-too-large",
            "JSON file is larger than 256 MiB",
            at=str(path),
            hint="write JSON Lines: jq -c '.[]' FILE > FILE.jsonl",
        )
    if raw.startswith(UTF8_BOM):
        yield RowError("bom", 0, "the bytes EF BB BF")
    try:
        documents = parse_documents(raw.removeprefix(UTF8_BOM))
    except InvalidRow as bad:
        raise DataError(
            bad.code,
            "cannot read the JSON file",
            at=str(path),
            got=bad.got,
            hint="fix the file; or write JSON Lines, where an invalid line does not affect "
            "the others",
        ) from None
    if (
        len(documents) == 1
        and isinstance(documents[0], dict)
        and not documents[0].keys() & set(COLUMN_NAMES)
    ):
        name, documents = _find_row_list(path, documents[0])
        yield RowError("rows-inside", 0, f'"{name}"')
    elif len(documents) == 1 and isinstance(documents[0], list):
        documents = documents[0]
    for number, row in enumerate(documents, start=1):
        if isinstance(row, dict):
            yield Row(number, row)
        else:
            yield RowError("unreadable-line", number, f"{str(row)[:40]!r}, which is not an object")


def _find_row_list(path: Path, document: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """(key of the list of rows, the rows). Errors: `DataError` when it is ambiguous or absent."""
    lists = {key: value for key, value in document.items() if _is_list_of_objects(value)}
    if len(lists) == 1:
        return next(iter(lists.items()))
    if lists:
        found = truncate_list(
            [f'"{key}" ({len(value):,} objects)' for key, value in lists.items()], 8
        )
        raise DataError(
            "several-lists",
            "JSON file contains several lists of examples",
            at=str(path),
            got=found,
            hint="write each into its own file; a name such as train or test sets the split",
        )
    # pandas' default to_json() writes {column: {index: value}}.
    are_columns = (
        all(isinstance(value, (list, dict)) and value for value in document.values()) and document
    )
    keys = truncate_list(list(document), 8)
    got = f"an object with the keys {keys}" if document else "an empty object"
    if are_columns:
        what = "JSON file is organized by columns, not by rows"
        raise DataError("columns-not-rows", what, at=str(path), got=got, hint=_ROWS_HINT)
    what = "JSON file contains no list of examples"
    raise NotRows("not-rows", what, at=str(path), got=got, hint=_ROWS_HINT)


def _is_list_of_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)
