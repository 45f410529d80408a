"""Parse the header of a safetensors file in pure Python and refuse anything that is malformed.

A weights file comes from untrusted sources. Before any library maps it into memory, its header is
checked here: length within bounds, JSON without a repeated key (the Rust reader silently takes the
last one), shapes that fit the byte ranges, and ranges that cover the data without hole or overlap.
The tensors themselves are never read.

Format: 8 bytes little-endian header length n, n bytes JSON {name: {dtype, shape, data_offsets:
[begin, end]}}, then data. Source: the format description in the README of the safetensors project.
"""

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.atomic_io import open_regular_file
from tunesmith.errors import ModelError

# A model of 1,000 layers with 100 tensors each, 250 bytes of header for each tensor; more is an
# attack on memory or time. (The reference reader allows 100 MB: seconds and a gigabyte in Python.)
MAX_TENSORS = 100_000
MAX_HEADER_BYTES = 250 * MAX_TENSORS
MAX_NAME_CHARACTERS = 1_000
DTYPE_BITS = {
    "BOOL": 8,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "I64": 64,
    "U64": 64,
    "F64": 64,
    "C64": 64,
}


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """One tensor's entry in the header; `begin` and `end` are byte offsets after the header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def element_count(self) -> int:
        """Number of elements, the product of the shape; 1 for a scalar."""
        return math.prod(self.shape)


def read_header(path: Path) -> dict[str, TensorEntry]:
    """The tensors described by a safetensors file, by name.

    Errors: `ModelError` naming the first thing that is wrong with the file.
    """
    tensors, _ = _read_header_and_metadata(path)
    return tensors


def read_metadata(path: Path) -> dict[str, str]:
    """The text metadata (`__metadata__`) of a safetensors file. Errors: as `read_header`."""
    _, metadata = _read_header_and_metadata(path)
    return metadata


def _read_header_and_metadata(path: Path) -> tuple[dict[str, TensorEntry], dict[str, str]]:
    with open_regular_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        # Checked before reading: the length is untrusted and would be allocated at once.
        if size < 8 or not 2 <= length <= min(MAX_HEADER_BYTES, size - 8):
            raise _build_broken_error(path, f"header length {length:,} in a file of {size:,} bytes")
        header = file.read(length)
    entries = _parse_header(path, header)
    metadata = entries.pop("__metadata__", None)
    if len(entries) > MAX_TENSORS:
        raise _build_broken_error(
            path, f"{len(entries):,} tensors; at most {MAX_TENSORS:,} are supported"
        )
    tensors = {name: _read_entry(path, name, entry) for name, entry in entries.items()}
    _check_cover(path, tensors, size - 8 - length)
    is_text = isinstance(metadata, dict) and all(
        isinstance(value, str) for value in metadata.values()
    )
    return tensors, metadata if is_text and metadata else {}


def _parse_header(path: Path, header: bytes) -> dict[str, Any]:
    # Readers differ in which of two equal keys they use: the tensor that is loaded might not be the
    # one that was checked.
    def reject_repeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise _build_broken_error(path, "duplicate key in the header")
        return found

    try:
        entries = json.loads(header.decode("utf-8"), object_pairs_hook=reject_repeated)
    except (ValueError, RecursionError):
        raise _build_broken_error(path, "header is not JSON") from None
    if not isinstance(entries, dict):
        raise _build_broken_error(path, "header is not a JSON object")
    return entries


def _read_entry(path: Path, name: str, entry: Any) -> TensorEntry:
    match entry:
        case {
            "dtype": str(dtype),
            "shape": list(shape),
            "data_offsets": [int(begin), int(end)],
            **rest,
        } if not rest:
            pass
        case _:
            raise _build_broken_error(path, f"invalid entry for tensor {name[:80]!r}")
    if len(name) > MAX_NAME_CHARACTERS or dtype not in DTYPE_BITS:
        raise _build_broken_error(path, f"tensor {name[:80]!r} with dtype {dtype[:20]!r}")
    # 2**48 elements is beyond any model and keeps the product below from growing without bound.
    if not all(type(extent) is int and 0 <= extent < 2**48 for extent in shape) or len(shape) > 16:
        raise _build_broken_error(path, f"tensor {name[:80]!r} with an invalid shape")
    # Compared in bits because F4 and F6 elements do not fill a byte.
    bits = math.prod(shape) * DTYPE_BITS[dtype]
    if not 0 <= begin <= end or bits != (end - begin) * 8:
        raise _build_broken_error(
            path, f"shape of tensor {name[:80]!r} does not match its byte range"
        )
    return TensorEntry(dtype, tuple(shape), begin, end)


def _check_cover(path: Path, tensors: dict[str, TensorEntry], data_bytes: int) -> None:
    position = 0
    # Empty tensors have begin == end, so `end` breaks ties and they come before their neighbor.
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        if tensor.begin != position:
            raise _build_broken_error(path, f"gap or overlap before tensor {name[:80]!r}")
        position = tensor.end
    if position != data_bytes:
        raise _build_broken_error(
            path, f"{data_bytes:,} bytes of data, but the header describes {position:,}"
        )


def _build_broken_error(path: Path, got: str) -> ModelError:
    return ModelError(
        "broken-weights",
        "invalid safetensors file",
        at=str(path),
        got=got,
        hint="download the file again; do not use weights from unknown sources",
    )
