"""Safetensors files written by hand, valid or broken, for tests that need weights but no model."""

import json
import struct
from pathlib import Path
from typing import Any


def build_safetensors(header: dict[str, Any] | bytes, data: bytes = b"") -> bytes:
    """A safetensors file with this header (a dictionary, or raw bytes) and this data."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    # Format: header length as little-endian uint64, JSON header, tensor data.
    return struct.pack("<Q", len(raw)) + raw + data


def write_tiny_weights(path: Path, rows: int = 400, columns: int = 4) -> None:
    """Write one float32 tensor of zeros."""
    size = rows * columns * 4
    entry = {"dtype": "F32", "shape": [rows, columns], "data_offsets": [0, size]}
    path.write_bytes(
        build_safetensors({"__metadata__": {"format": "pt"}, "layers.0.weight": entry}, bytes(size))
    )
