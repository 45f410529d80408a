"""The data that tuning needs, stored in the run's folder until the tuning is finished.

    lesson/    train.safetensors  validation.safetensors  rest.json

So a run can resume after the data file has moved or changed. The token arrays are verified by the
content hash in `prepared.json`. The weights take one byte per token if all are 0 or 1, as they
usually are.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from tunesmith.atomic_io import (
    as_os_error,
    is_real_folder,
    read_own_file,
    replace_atomically,
    write_atomically,
)
from tunesmith.errors import RunError
from tunesmith.records import Example, PreparedSplit, TokenArrays
from tunesmith.records.tokenized_data import name_columns, read_columns
from tunesmith.runs.run_folder import RunFolder, build_unwritable_error

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class TrainingData:
    """Token arrays by the name of their split; the validation examples; the training answers, which
    determine the scorer.
    """

    arrays: Mapping[str, TokenArrays]
    validation: Sequence[Example]
    train_answers: Sequence[str]


@dataclass(frozen=True)
class _Remainder:
    validation: list[Example]
    answers: list[str]
    sequences_per_example: dict[str, int]


_REMAINDER_ADAPTER = TypeAdapter(_Remainder)


def write_training_data(folder: RunFolder, data: TrainingData) -> None:
    """Store the training data in the folder of a run. Errors: `RunError`."""
    from safetensors import SafetensorError

    try:
        with folder.allow_rewriting("lesson"):
            _write_files(folder.path / "lesson", data)
    # on a full disk safetensors raises its own error type
    except (OSError, SafetensorError) as error:
        raise build_unwritable_error(folder.path / "lesson", as_os_error(error)) from None


def _write_files(place: Path, data: TrainingData) -> None:
    from safetensors.numpy import save_file

    for name, arrays in data.arrays.items():
        with replace_atomically(place / f"{name}.safetensors") as temporary:
            save_file(_to_tensors(arrays), temporary)
    per_example = {name: arrays.sequences_per_example for name, arrays in data.arrays.items()}
    rest = _Remainder(list(data.validation), list(data.train_answers), per_example)
    write_atomically(place / "rest.json", _REMAINDER_ADAPTER.dump_json(rest))


def read_training_data(folder: RunFolder, prepared: Mapping[str, PreparedSplit]) -> TrainingData:
    """The verified training data of a run. Errors: `RunError` if it is missing or differs from what
    was written.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    from tunesmith.data.prepare import compute_content_hash

    place = folder.path / "lesson"
    folder.check_integrity("prepared.json", "lesson")
    try:
        rest = _REMAINDER_ADAPTER.validate_json(read_own_file(place / "rest.json"))
        if rest.sequences_per_example.keys() != prepared.keys():
            splits = f"{sorted(prepared)} and {sorted(rest.sequences_per_example)}"
            raise _build_damage_error(
                folder.path / "prepared.json",
                f"it and lesson/rest.json name different splits: {splits}",
            )
        files = {name: load_file(place / f"{name}.safetensors") for name in prepared}
        arrays = {
            name: _from_tensors(tensors, rest.sequences_per_example[name])
            for name, tensors in files.items()
        }
    except (OSError, ValidationError, SafetensorError, KeyError) as error:
        raise _build_damage_error(place, str(error)[:200]) from None
    for name, known in prepared.items():
        if compute_content_hash(arrays[name]) != known.content_sha256:
            raise _build_damage_error(
                place / f"{name}.safetensors", "other tokens than prepared.json lists"
            )
    return TrainingData(arrays, rest.validation, rest.answers)


def remove_training_data(folder: RunFolder) -> None:
    """Remove the training data after the tuning: it will not be resumed."""
    place = folder.path / "lesson"
    if is_real_folder(place):
        with folder.allow_rewriting("lesson"):
            shutil.rmtree(place, ignore_errors=True)


def _to_tensors(arrays: TokenArrays) -> "dict[str, np.ndarray]":
    import numpy as np

    weights_N = arrays.weights_N
    is_plain = bool(((weights_N == 0) | (weights_N == 1)).all())
    parts = {
        "tokens_N": arrays.tokens_N,
        "weights_N": weights_N.astype(np.uint8) if is_plain else weights_N,
        "starts_S1": arrays.starts_S1,
    }
    return parts | name_columns(arrays)


def _from_tensors(tensors: "Mapping[str, np.ndarray]", sequences_per_example: int) -> TokenArrays:
    import numpy as np

    return TokenArrays(
        tensors["tokens_N"],
        tensors["weights_N"].astype(np.float32),
        tensors["starts_S1"],
        sequences_per_example,
        read_columns(tensors),
    )


def _build_damage_error(place: Path, got: str) -> RunError:
    return RunError(
        "damaged",
        "stored training data of this run is damaged",
        at=str(place),
        got=got,
        hint="run the original command again",
    )
