"""Choose the reader of a file: by its first bytes if distinctive, then its suffix, then its first
line.

The suffix is compared in lower case and without that of a compressed file: `DATA.JSONL.GZ` is JSON
Lines.
"""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tunesmith.atomic_io import open_regular_file
from tunesmith.data.read.columnar_file import read_parquet
from tunesmith.data.read.csv_file import SEPARATORS, read_csv
from tunesmith.data.read.data_formats import COLUMN_NAMES
from tunesmith.data.read.decompression import detect_compression, open_decompressed
from tunesmith.data.read.json_file import read_json
from tunesmith.data.read.jsonl_file import read_jsonl
from tunesmith.data.read.row_errors import MAX_LINE_BYTES, ROW_ERROR_KINDS, Row, RowError
from tunesmith.errors import DataError
from tunesmith.plugins import Registry

FileReader = Callable[[Path], Iterator[Row | RowError]]

_PACKAGE = "tunesmith.data.read"
READERS: Registry[FileReader] = Registry(
    "tunesmith.readers",
    "data reader",
    {
        "jsonl": f"{_PACKAGE}.jsonl_file:read_jsonl",
        "ndjson": f"{_PACKAGE}.jsonl_file:read_jsonl",
        "json": f"{_PACKAGE}.json_file:read_json",
        "csv": f"{_PACKAGE}.csv_file:read_csv",
        "tsv": f"{_PACKAGE}.csv_file:read_csv",
        "parquet": f"{_PACKAGE}.columnar_file:read_parquet",
        "arrow": f"{_PACKAGE}.columnar_file:read_parquet",
        "feather": f"{_PACKAGE}.columnar_file:read_parquet",
    },
)
"""By the suffix of the file, in lower case and without its dot."""
LINE_READERS = (read_jsonl, read_csv)
"""The readers whose row numbers are line numbers of the file."""
KNOWN_FORMATS = (
    "JSON Lines, JSON, CSV, TSV, Parquet, Arrow (text also compressed as .gz or "
    ".zst), or a folder of these"
)
# Order matters: UTF-32 LE begins with the byte-order mark of UTF-16 LE.
_COMPRESSION_SUFFIXES = (".gz", ".zst", ".zstd")
_REJECTED_SIGNATURES = {
    b"PK\x03\x04": "a zip archive or Excel sheet",
    b"\xd0\xcf\x11\xe0": "an old Excel sheet or Word file",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ\0": "an xz archive",
    b"7z\xbc\xaf": "a 7-Zip archive",
    b"\xff\xfe\0\0": "UTF-32 text",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
    b"%PDF-": "a PDF file",
    b"SQLite format 3\0": "an SQLite database",
}
_TABLE_SIGNATURES = (b"PAR1", b"ARROW1", b"\xff\xff\xff\xff")
_UTF8_HINT = "save it as UTF-8 (in Excel: CSV UTF-8)"
_START_BYTES = 4096


def get_data_suffix(path: Path) -> str:
    """The lower-case suffix of the content, without the suffix of a compression."""
    return Path(
        path.stem if path.suffix.lower() in _COMPRESSION_SUFFIXES else path.name
    ).suffix.lower()


def choose_reader(path: Path) -> FileReader:
    """The reader of this file. Errors: `DataError` for an empty file or an unsupported kind."""
    ending = get_data_suffix(path)
    if ending[1:] not in READERS.builtins and ending[1:] in READERS:
        # Before the signature: a plugin may read what is refused below, such as Excel sheets.
        return partial(_read_with_plugin, ending[1:])
    with open_regular_file(path) as file:
        packed = file.read(_START_BYTES)
    with open_decompressed(path) as unpacked:
        start = unpacked.read(_START_BYTES)
    _check_signature(path, start)
    if start.startswith(_TABLE_SIGNATURES):
        if detect_compression(packed):
            raise _build_format_error(
                path,
                "a compressed table",
                "decompress it: Parquet and Arrow are compressed internally",
            )
        return read_parquet
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    is_table = ending in (".csv", ".tsv")
    if text.startswith(b"{") and (is_table or ending[1:] not in READERS or ending == ".json"):
        # Content before suffix: exports often write JSON Lines under .json, and the reverse.
        reader = _choose_json_reader(path)
        if reader is read_jsonl or not is_table:
            return reader
    if text.startswith(b"[") and not is_table:
        return read_json
    if ending in (".jsonl", ".ndjson") and text.split(b"\n", 1)[0].strip() == b"{":
        return read_json  # one object spread over several lines, whatever the suffix
    if ending[1:] in READERS and READERS.load(ending[1:]) is not read_parquet:
        return READERS.load(ending[1:])
    first_line = start.split(b"\n")[0]
    if b"\0" not in start and any(separator.encode() in first_line for separator in SEPARATORS):
        return read_csv
    raise DataError(
        "unknown-format",
        "unknown file format",
        at=str(path),
        got=f"starts with {start[:16]!r}",
        hint=f"supported: {KNOWN_FORMATS}",
    )


def _read_with_plugin(name: str, path: Path) -> Iterator[Row | RowError]:
    """The rows of a plugin's reader. Errors: `PluginError` if it gives something else;
    `DataError`."""
    for row in READERS.load(name)(path):
        if not isinstance(row, Row | RowError) or (
            isinstance(row, RowError) and row.code not in ROW_ERROR_KINDS
        ):
            READERS.reject(name, f"it returned {str(row)[:60]!r} instead of a row")
        yield row


def _check_signature(path: Path, start: bytes) -> None:
    """Errors: `DataError` for files that are never read, whatever their name."""
    if not start:
        raise DataError(
            "empty-file", "file is empty", at=str(path), hint="pass a file with examples"
        )
    if start.startswith(b"version https://git-lfs.github.com/spec/"):
        raise DataError(
            "lfs-pointer",
            "file is a Git LFS pointer, not the data itself",
            at=str(path),
            got="a few lines with the file's hash",
            hint="download the file: git lfs pull",
        )
    for magic, name in _REJECTED_SIGNATURES.items():
        if start.startswith(magic):
            raise _build_format_error(
                path,
                name,
                _UTF8_HINT if "text" in name else "decompress it, or save it in another format",
            )
    # UTF-16 without a byte-order mark: Latin text has a zero in every second byte, all on one side.
    even, odd = start[::2].count(0), start[1::2].count(0)
    if (
        not start.startswith(_TABLE_SIGNATURES)
        and min(even, odd) == 0
        and 3 * max(even, odd) > len(start)
    ):
        raise _build_format_error(path, "UTF-16 text", _UTF8_HINT)


def _build_format_error(path: Path, got: str, hint: str) -> DataError:
    return DataError(
        "wrong-format",
        "unsupported file type",
        at=str(path),
        got=got,
        hint=f"{hint}; supported: {KNOWN_FORMATS}",
    )


def _choose_json_reader(path: Path) -> FileReader:
    """The reader of a file that begins with an object.

    JSON Lines when its first or second line is a whole object, except a single line that is a
    document with a list of rows inside.
    """
    with open_decompressed(path) as file:
        lines = [file.readline(MAX_LINE_BYTES) for _ in range(2)]
    first, second = (_parse_object(line) for line in lines)
    if second is not None or (first is not None and lines[1]):
        return read_jsonl
    # One line only: an object with our column names is a row, any other one holds the rows.
    if first is not None and first.keys() & set(COLUMN_NAMES):
        return read_jsonl
    return read_json


def _parse_object(line: bytes) -> dict[str, object] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
