"""Examples that a script holds in memory, as a data set.

The rows are written as JSON Lines into the home folder (`datasets/FINGERPRINT/NAME.jsonl`), and
then read as any file is: the same formats, checks, fingerprints and proof of the loss mask. So a
problem names the row by its line, and a run can be resumed and repeated after the script has ended.
Equal rows have the same fingerprint and the same file, whichever library they came from.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from hashlib import sha256
from pathlib import Path, PurePath
from typing import Any
from uuid import UUID

from tunesmith.atomic_io import get_home_folder, write_atomically
from tunesmith.errors import DataError, UsageError

TEXT_TYPES = (datetime, date, time, Decimal, UUID, PurePath)
"""Values that are written as their text, as a CSV file holds them."""


class Dataset:
    """Rows in memory, ready for `train`, `evaluate`, `decide` and `check`.

    Make one with `from_list`, `from_pandas`, `from_polars` or `from_hf`. `name` becomes a part of
    the run's id; `fingerprint` is the SHA-256 of the rows (column order does not count). Rows are
    copied: later changes of the list or table have no effect.
    """

    def __init__(
        self, splits: Mapping[str, Iterable[Mapping[str, Any]]], name: str = "data"
    ) -> None:
        """Rows for each split (`train`, `validation`, `test`); the name "" means: not split yet.

        Errors: `DataError` for a row that is no mapping, or a value that JSON cannot hold.
        """
        self.name = _check_name(name)
        self._lines = {split: tuple(_write_rows(split, rows)) for split, rows in splits.items()}
        content = sha256()
        for split, lines in sorted(self._lines.items()):
            content.update(f"{split}\n{len(lines)}\n".encode())
            content.update(b"".join(lines))
        self.fingerprint = content.hexdigest()

    @classmethod
    def from_list(cls, rows: Iterable[Mapping[str, Any]], name: str = "data") -> "Dataset":
        """From dictionaries, such as `{"prompt": "...", "completion": "..."}` or
        `{"messages": [...]}`.

        Errors: `DataError`.
        """
        return cls({"": rows}, name)

    @classmethod
    def from_pandas(cls, frame: Any, name: str = "data") -> "Dataset":
        """From a pandas DataFrame, a row an example; its index is left out. NaN, NaT and NA are
        missing values.

        Errors: `DataError`.
        """
        if not frame.columns.is_unique:
            twice = sorted(set(frame.columns[frame.columns.duplicated()].astype(str)))
            raise DataError(
                "same-column-name",
                "two columns have the same name",
                at=f"the table {name}",
                got=", ".join(twice),
                hint="rename one of them",
            )
        # as objects: a column of numbers has no place for None
        present = frame.astype(object).where(frame.notna(), None)
        return cls({"": present.to_dict("records")}, name)

    @classmethod
    def from_polars(cls, frame: Any, name: str = "data") -> "Dataset":
        """From a polars DataFrame (a LazyFrame is collected), a row an example.

        Errors: `DataError`.
        """
        table = frame.collect() if hasattr(frame, "collect") else frame
        return cls({"": map(_remove_nulls, table.iter_rows(named=True))}, name)

    @classmethod
    def from_hf(cls, dataset: Any, name: str = "data") -> "Dataset":
        """From a `datasets.Dataset`, or a `DatasetDict` with its splits. Class labels become their
        names, as in a saved folder of it.

        Errors: `DataError`.
        """
        parts = dataset if isinstance(dataset, Mapping) else {"": dataset}
        return cls({split: _iterate_hf_rows(part) for split, part in parts.items()}, name)

    def __len__(self) -> int:
        """Number of rows in all splits."""
        return sum(map(len, self._lines.values()))

    def __repr__(self) -> str:
        return f"Dataset({self.name!r}, {len(self):,} rows, {self.fingerprint[:12]})"

    def save(self) -> Path:
        """Write the rows where runs find them again, unless they are there; return the path.

        The path is a file, or a folder with a file for each split. Errors: `OSError`.
        """
        place = get_home_folder() / "datasets" / self.fingerprint[:16]
        if list(self._lines) == [""]:
            path = place / f"{self.name}.jsonl"
            files = {path: self._lines[""]}
        else:
            path = place / self.name
            files = {path / f"{split}.jsonl": lines for split, lines in self._lines.items()}
        for file, lines in files.items():
            content = b"".join(lines)
            # compared and not trusted: somebody may have edited the file
            if not file.is_file() or file.read_bytes() != content:
                file.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(file, content)
        return path


Data = str | Path | Dataset | Sequence[Mapping[str, Any]]
"""What a command takes as data: a file or folder, a `Dataset`, or a list of dictionaries."""


def locate_data(data: Data) -> str:
    """The path of the data, which are saved first if they are in memory.

    Errors: `UsageError` for anything that is no data, `DataError` for rows that cannot be saved.
    """
    if isinstance(data, str | Path):
        return str(data)
    if isinstance(data, list | tuple):
        data = Dataset.from_list(data)
    if isinstance(data, Dataset):
        return str(data.save())
    library = type(data).__module__.partition(".")[0]
    make = {"pandas": "from_pandas", "polars": "from_polars", "datasets": "from_hf"}.get(library)
    raise UsageError(
        "not-data",
        "data is neither a path nor rows",
        got=f"a {type(data).__name__} of {library}",
        hint=f"write tunesmith.Dataset.{make}(...)"
        if make
        else "give a path, a list of dictionaries or a Dataset",
    )


def _check_name(name: str) -> str:
    if not name or name != PurePath(name).name or name.startswith("."):
        raise UsageError(
            "dataset-name",
            "name of the data set cannot be a file's",
            got=repr(name),
            hint="use a plain word",
        )
    return name


def _write_rows(split: str, rows: Iterable[Mapping[str, Any]]) -> Iterable[bytes]:
    """Each row as a line of JSON. The columns are sorted, so that their order does not count; keys
    within a value keep theirs, because a chat template may print them.
    """
    for number, row in enumerate(rows, 1):
        place = f"row {number:,}" + (f" of {split}" if split else "")
        if not isinstance(row, Mapping):
            raise DataError(
                "row-not-a-mapping",
                "row is not a dictionary",
                at=place,
                got=f"a {type(row).__name__}",
                hint='write rows as {"prompt": "...", "completion": "..."}',
            )
        if odd := [name for name in row if not isinstance(name, str)]:
            raise DataError(
                "column-name-not-text",
                "column name is not a string",
                at=place,
                got=repr(odd[0]),
                hint="rename the column",
            )
        parts = (
            f"{json.dumps(name)}: {_dump_value(row[name], name, place)}" for name in sorted(row)
        )
        yield f"{{{', '.join(parts)}}}\n".encode()


def _dump_value(value: Any, column: str, place: str) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, default=_convert_value)
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(
            "value-not-json",
            f'the value of "{column}" cannot be stored as JSON',
            at=place,
            got=str(error),
            hint="convert it to text, a number, a list or a dictionary, or leave the column out",
        ) from None
    # half a surrogate pair has no UTF-8: escaped, so that the reader can report its line
    return text if text.isascii() or _is_utf8(text) else json.dumps(value, default=_convert_value)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _convert_value(value: Any) -> Any:
    """A value that JSON does not know: arrays and scalars of numpy and others, times, decimals."""
    if isinstance(value, TEXT_TYPES):
        return str(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} of {type(value).__module__}")


def _iterate_hf_rows(dataset: Any) -> Iterable[Mapping[str, Any]]:
    # without a format such as torch, which would give tensors
    plain = dataset.with_format(None)
    classes = {
        name: feature.names
        for name, feature in plain.features.items()
        if hasattr(feature, "int2str")
    }
    for row in plain:
        row = _remove_nulls(row)
        for name, labels in classes.items():
            # -1 is what `datasets` writes for no label
            row[name] = None if row[name] in (None, -1) else labels[row[name]]
        yield row


def _remove_nulls(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row without null keys in its values: Arrow gives every struct of a column all keys."""

    def clean(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: clean(child) for key, child in value.items() if child is not None}
        return [clean(child) for child in value] if isinstance(value, list) else value

    return {name: clean(value) for name, value in row.items()}
