"""How each contender of a run was run, and its search index: `prompts/NAME.json`,
`index/NAME.jsonl`.

With them a run's winner works after the data has changed or gone. If an index is searched by
meaning, its sentence vectors are stored next to it: `index/NAME.safetensors`, one row per line,
float32.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunesmith.atomic_io import as_os_error, replace_atomically, write_atomically
from tunesmith.errors import RunError
from tunesmith.records import InferenceConfig
from tunesmith.runs.run_folder import RunFolder, build_unwritable_error

VECTORS_KEY = "vectors"
"""Name of the tensor in the safetensors file."""


def write_inference_config(folder: RunFolder, serving: InferenceConfig) -> None:
    """Store how a contender is run. Errors: `RunError` if it cannot be written."""
    folder.write_file(f"prompts/{serving.contender}.json", serving.model_dump_json(indent=2) + "\n")


def read_inference_config(folder: RunFolder, contender: str) -> InferenceConfig | None:
    """How a contender was run; None if not recorded (an external system, or a run of an earlier
    version).

    Errors: `RunError` if the file is damaged.
    """
    name = f"prompts/{contender}.json"
    if contender not in folder.list_contenders() or not (folder.path / name).is_file():
        return None
    return folder.read_record(InferenceConfig, name)


def write_index(
    folder: Path, name: str, entries: Iterable[Any], vectors: NDArray[np.float32] | None
) -> None:
    """Store a search index, one JSON value per line, and its vectors. `folder` is created if
    missing.

    Errors: `RunError` if it cannot be written.
    """
    from safetensors import SafetensorError

    path = folder / f"{name}.jsonl"
    try:
        write_atomically(
            path, "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries)
        )
        if vectors is not None:
            from safetensors.numpy import save_file

            with replace_atomically(path.with_suffix(".safetensors")) as temporary:
                save_file({VECTORS_KEY: np.ascontiguousarray(vectors, np.float32)}, temporary)
    except (OSError, SafetensorError) as error:
        raise build_unwritable_error(path, as_os_error(error)) from None


def write_json(path: Path, value: Any) -> None:
    """Store a JSON value in a file. Errors: `RunError` if it cannot be written."""
    try:
        write_atomically(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")
    except OSError as error:
        raise build_unwritable_error(path, error) from None


def read_index(folder: Path, name: str) -> tuple[list[Any], NDArray[np.float32] | None]:
    """The entries of an index, and its vectors if there are any. Errors: `RunError` if it is
    missing or damaged.
    """
    path = folder / f"{name}.jsonl"
    vectors = path.with_suffix(".safetensors")
    try:
        entries = [json.loads(line) for line in path.read_bytes().splitlines()]
    except OSError as error:
        raise _build_damage_error(path, error.strerror or str(error)) from None
    except ValueError as error:
        raise _build_damage_error(path, str(error)) from None
    if not vectors.is_file():
        return entries, None
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        rows_ND = load_file(vectors)[VECTORS_KEY]
    except (OSError, KeyError, SafetensorError) as error:
        raise _build_damage_error(vectors, str(error)) from None
    if len(rows_ND) != len(entries):
        raise _build_damage_error(vectors, f"{len(rows_ND):,} rows for {len(entries):,} lines")
    return entries, rows_ND


def _build_damage_error(path: Path, got: str) -> RunError:
    return RunError(
        "damaged",
        f"{path.name} is missing or unreadable",
        at=str(path),
        got=got,
        hint="restore it from a backup; or run the command again",
    )
