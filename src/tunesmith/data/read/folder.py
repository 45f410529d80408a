"""Which files a path stands for, of which format, and on which side of a given split.

A folder may be what Hugging Face `datasets` saves (`data-*.arrow`; one subfolder a split when `dataset_dict.json` is
there), or any folder of Parquet, JSON Lines or CSV files. A file or subfolder called train, validation or test (or
`train-00000-of-00002.parquet`) gives the split.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from tunesmith.data.read.csv import read_csv
from tunesmith.data.read.faults import Fault, Row
from tunesmith.data.read.json_array import read_json_array
from tunesmith.data.read.jsonl import read_jsonl
from tunesmith.data.read.parquet import read_parquet
from tunesmith.errors import DataError, name_some
from tunesmith.records import CountedIn

Side = Literal["train", "validation", "test"]
Reader = Callable[[Path], Iterator[Row | Fault]]

_SIDE_NAMES: dict[str, Side] = {
    "train": "train", "training": "train",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation", "eval": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
_READERS: dict[str, Reader] = {
    ".jsonl": read_jsonl, ".ndjson": read_jsonl, ".csv": read_csv, ".tsv": read_csv,
    ".parquet": read_parquet, ".arrow": read_parquet, ".feather": read_parquet,
}  # fmt: skip
_REFUSED = {
    b"\x1f\x8b": "a gzip archive", b"PK\x03\x04": "a zip archive or Excel sheet", b"\x28\xb5\x2f\xfd": "a zstd archive",
    b"\xff\xfe": "UTF-16 text", b"\xfe\xff": "UTF-16 text",
}  # fmt: skip
_KNOWN = "JSON Lines, a JSON array, CSV, TSV, Parquet, Arrow, or a folder of these"


class Source(NamedTuple):
    """One file to read."""

    path: Path
    read: Reader
    side: Side | None

    @property
    def counted_in(self) -> CountedIn:
        """What the numbers of its rows count."""
        return "lines" if self.read is read_jsonl else "rows"


def find_sources(path: Path) -> list[Source]:
    """The files that a path stands for. Errors: `DataError` when there is nothing to read."""
    try:
        if path.is_dir():
            return _sources_in(path)
        if not path.exists():
            raise DataError("missing", "There is no such file or folder.", where=str(path), do="check the path")
        if not path.is_file():  # opening a pipe would wait for ever, and it can be read only once
            raise DataError(
                "not-a-file", "This is neither a file nor a folder.", where=str(path), found="a pipe or a device",
                do="save the examples in a file",
            )  # fmt: skip
        return [Source(path, _reader_of(path), None)]
    except OSError as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: OSError) -> DataError:
    """The error for a file that this user, or nobody, can read."""
    if not isinstance(error, PermissionError):
        found = error.strerror or str(error)
        return DataError("unreadable", "This cannot be read.", where=str(path)[:300], found=found, do="check the path")
    return DataError(
        "no-permission",
        "This may not be read.",
        where=str(error.filename or path),
        found="permission denied",
        do="give yourself the right to read it (chmod u+r)",
    )


def _sources_in(folder: Path) -> list[Source]:
    files = sorted(file for file in folder.rglob("*") if _is_data(file, folder))
    if not files:
        raise DataError(
            "no-data-files",
            "This folder holds nothing that can be read.",
            where=str(folder),
            found=name_some(sorted(file.name for file in folder.iterdir())) or "an empty folder",
            do=f"give {_KNOWN}",
        )
    sources = [Source(file, _reader_of(file), _side_of(file, folder)) for file in files]
    without = [str(source.path.relative_to(folder)) for source in sources if source.side is None]
    if 0 < len(without) < len(sources):
        raise DataError(
            "unclear-split",
            "Some files of this folder say which split they are, others do not.",
            where=str(folder),
            found=f"{name_some(without)} without a split in the name",
            do="name them train, validation or test, or take them out",
        )
    return sources


def _is_data(file: Path, folder: Path) -> bool:
    """Data files, without hidden ones and without the caches that `datasets` leaves beside `data-*.arrow`."""
    is_hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
    is_cache = file.suffix == ".arrow" and file.name.startswith("cache-")
    return file.suffix in _READERS and not is_hidden and not is_cache and file.is_file()


def _side_of(file: Path, folder: Path) -> Side | None:
    """The split that the file's name begins with, else the name of the nearest folder inside."""
    names = [file.name, *(parent.name for parent in file.relative_to(folder).parents)]
    first_words = (re.split(r"[-_. ]", name.lower())[0] for name in names)
    return next((_SIDE_NAMES[word] for word in first_words if word in _SIDE_NAMES), None)


def _reader_of(path: Path) -> Reader:
    """By the first bytes where they tell, else by the extension, else by the first character."""
    with path.open("rb") as file:
        start = file.read(4096)
    if not start:
        raise DataError("empty-file", "The file is empty.", where=str(path), do="give a file with examples")
    for magic, name in _REFUSED.items():
        if start.startswith(magic):
            raise DataError(
                "wrong-format",
                "This kind of file is not read.",
                where=str(path),
                found=name,
                do=f"unpack or save it as UTF-8; known are {_KNOWN}",
            )
    if start.startswith((b"PAR1", b"ARROW1", b"\xff\xff\xff\xff")):
        return read_parquet
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if path.suffix.lower() not in (".csv", ".tsv") and text.startswith(b"["):
        return read_json_array
    if reader := _READERS.get(path.suffix.lower()):
        return reader
    if text.startswith(b"{"):
        return read_jsonl
    first_line = start.split(b"\n")[0]
    if b"\0" not in start and any(separator in first_line for separator in (b",", b";", b"\t")):
        return read_csv
    raise DataError(
        "unknown-format",
        "It is not clear what this file is.",
        where=str(path),
        found=f"starts with {start[:16]!r}",
        do=f"known are {_KNOWN}",
    )
