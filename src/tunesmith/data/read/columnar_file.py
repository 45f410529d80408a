"""Read Parquet and Arrow tables through polars, which executes no code from a file.

(It supports no pickled extension types.) The `.arrow` files of a Hugging Face `datasets` folder are
Arrow IPC streams; `.feather` and other `.arrow` files have the IPC file layout. The first bytes
tell them apart. A row's "line" is its number. Columns that `datasets` marks as class labels are
read as the names of the classes.

A damaged table can make the library request more memory than there is, which ends the process; so
every table is first read in a child process.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tunesmith.atomic_io import open_regular_file
from tunesmith.data.read.jsonl_file import check_string
from tunesmith.data.read.row_errors import InvalidRow, Row, RowError
from tunesmith.errors import DataError, truncate_list

MIN_TRIAL_BYTES, MAX_TRIAL_GROWTH = 8 * 2**30, 200
"""Address space of the child: columns with many equal values expand far beyond their file size."""
BASE_TIMEOUT_SECONDS, BYTES_PER_SECOND = 60.0, 10e6
_TRIAL_PROGRAM = """
import resource, sys
import polars
limit = int(sys.argv[2])
hard = resource.getrlimit(resource.RLIMIT_AS)[1]
resource.setrlimit(resource.RLIMIT_AS, (limit if hard < 0 else min(limit, hard), hard))
path = sys.argv[1]
with open(path, "rb") as file:
    start = file.read(6)
try:
    if start.startswith(b"PAR1"):
        polars.read_parquet_metadata(path)
        polars.read_parquet(path, hive_partitioning=False)
    elif start == b"ARROW1":
        polars.read_ipc(path)
    else:
        polars.read_ipc_stream(path)
except BaseException as error:
    print(str(error).split("\\n")[0][:200])
    sys.exit(1)
"""


def read_parquet(path: Path) -> Iterator[Row | RowError]:
    """Each row of a Parquet or Arrow file. Errors: `DataError` when the file is damaged."""
    import polars  # costs 0.1 s, and most data is JSON Lines

    _try_in_child(path)
    try:
        frame = _read_frame(path)
        names, classes = frame.columns, _read_class_names(path)
    except (
        polars.exceptions.PolarsError,
        polars.exceptions.PanicException,
        OSError,
        ValueError,
    ) as error:
        raise _build_damaged_error(path, str(error).split("\n")[0]) from None
    # The schema is untrusted metadata: class names apply only to columns that hold integers.
    classes = {
        name: labels
        for name, labels in classes.items()
        if frame.schema.get(name, polars.Null).is_integer()
    }
    for name, labels in classes.items():
        told = truncate_list([f"{number} = {label}" for number, label in enumerate(labels)], 5)
        yield RowError("class-names", 0, f'"{name}": {told}')
    for number, cells in enumerate(frame.iter_rows(), start=1):
        try:
            for cell in cells:
                if isinstance(cell, str) and "\0" in cell:
                    check_string(cell)
            values = {name: _remove_nulls(cell) for name, cell in zip(names, cells, strict=True)}
            for name, labels in classes.items():
                values[name] = _get_class_name(values[name], labels, name)
            yield Row(number, values)
        except InvalidRow as bad:
            yield RowError(bad.code, number, bad.got)


def _try_in_child(path: Path) -> None:
    """Errors: `DataError` when reading the table fails, kills its process, or takes too long."""
    size = path.stat().st_size
    limit = max(MIN_TRIAL_BYTES, MAX_TRIAL_GROWTH * size)
    try:
        child = subprocess.run(
            # -I ignores the current folder and PYTHON* variables, which could replace polars. One
            # thread, because each further one reserves address space that counts against the limit.
            [sys.executable, "-I", "-c", _TRIAL_PROGRAM, str(path.absolute()), str(limit)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=BASE_TIMEOUT_SECONDS + size / BYTES_PER_SECOND,
            env={**os.environ, "POLARS_MAX_THREADS": "1"},
        )
    except subprocess.TimeoutExpired:
        raise _build_damaged_error(path, "reading it does not finish") from None
    if child.returncode:
        said = child.stdout.decode("utf-8", "replace").strip()
        raise _build_damaged_error(path, said or "reading it takes more memory than available")


def _build_damaged_error(path: Path, got: str) -> DataError:
    return DataError(
        "damaged-table",
        "cannot read the table",
        at=str(path),
        got=got,
        hint="write the file again; it is damaged or not of the type that its first bytes indicate",
    )


def _read_frame(path: Path) -> Any:
    import polars

    with open_regular_file(path) as file:
        start = file.read(6)
    if start.startswith(b"PAR1"):
        return polars.read_parquet(path, hive_partitioning=False)
    return polars.read_ipc(path) if start == b"ARROW1" else polars.read_ipc_stream(path)


def _read_class_names(path: Path) -> Mapping[str, Sequence[str]]:
    """Class names for each class-label column, as `datasets` writes them into the schema."""
    import polars

    with open_regular_file(path) as file:
        start = file.read(16)
        if start.startswith(b"PAR1"):
            return _parse_features(polars.read_parquet_metadata(path).get("huggingface", ""))
        # An IPC message is FF FF FF FF, then the length of the schema. The file layout has 8 bytes
        # of its own before the first message.
        at = 8 if start.startswith(b"ARROW1") else 0
        file.seek(at)
        schema = file.read(8 + min(int.from_bytes(start[at + 4 : at + 8], "little"), 2**24))
    # The schema is a flatbuffer; searching for the JSON inside it avoids a parser for that format.
    begin = schema.find(b'{"info": {"features"')
    return {} if begin < 0 else _parse_features(schema[begin:].decode("utf-8", "replace"))


def _parse_features(text: str) -> Mapping[str, Sequence[str]]:
    try:
        features = json.JSONDecoder().raw_decode(text)[0]["info"]["features"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    found = {}
    for name, feature in features.items() if isinstance(features, dict) else ():
        labels = (
            feature.get("names")
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
            else None
        )
        if isinstance(labels, list) and labels and all(isinstance(label, str) for label in labels):
            found[name] = labels
    return found


def _get_class_name(value: int | None, labels: Sequence[str], name: str) -> str | None:
    """The class's name; None for -1, which `datasets` writes for no label. Errors: `InvalidRow`."""
    if value is None or value == -1:
        return None
    if not 0 <= value < len(labels):
        raise InvalidRow(
            "wrong-type", f'"{name}" should be a class from 0 to {len(labels) - 1}, is {value}'
        )
    return labels[value]


def _remove_nulls(value: Any) -> Any:
    """Drop null keys: Arrow gives all structs of a column every key, absent ones as null."""
    if isinstance(value, dict):
        return {key: _remove_nulls(child) for key, child in value.items() if child is not None}
    return [_remove_nulls(child) for child in value] if isinstance(value, list) else value
