"""The safetensors header: sound files are read as the reference reads them, everything else is
refused (A4 to A7)."""

import json
import pickle
import struct
import time
from pathlib import Path

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file

from tunesmith.errors import ModelError
from tunesmith.models.safetensors_header import read_header
from tunesmith.testing.tiny_model import build_safetensors

F4 = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


def entry(begin: int, end: int, shape: list[int], dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def test_a_sound_file_reads_as_the_reference_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    arrays = {
        "a": numpy.ones((3, 5), "float32"),
        "b": numpy.zeros((0, 2), "int8"),
        "c": numpy.array(7, "float16"),
    }
    save_file(arrays, path, metadata={"format": "np"})
    tensors = read_header(path)
    with safe_open(path, "numpy") as reference:
        assert set(tensors) == set(reference.keys())
        for name, tensor in tensors.items():
            assert list(tensor.shape) == reference.get_slice(name).get_shape()
            assert tensor.dtype == reference.get_slice(name).get_dtype()
    assert sum(tensor.element_count for tensor in tensors.values()) == 16


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "length"),
        (b"\x01", "length"),
        (struct.pack("<Q", 2**62), "length"),
        (struct.pack("<Q", 101_000_000) + b"{}", "length"),
        (build_safetensors(b"{not json"), "not JSON"),
        (build_safetensors(b"[" * 100_000), "not JSON"),
        (build_safetensors(b"[]"), "not a JSON object"),
        (build_safetensors(b"\xff\xfe{}"), "not JSON"),
        (pickle.dumps({"a": list(range(100))}), "length"),
        (
            build_safetensors(f'{{"a":{json.dumps(F4)},"a":{json.dumps(F4)}}}'.encode(), bytes(4)),
            "duplicate key",
        ),
        (
            build_safetensors(
                b'{"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}', bytes(4)
            ),
            "duplicate key",
        ),
        (build_safetensors({"a": F4}), "bytes of data"),
        (build_safetensors({"a": F4}, bytes(5)), "bytes of data"),
        (build_safetensors({"a": entry(4, 8, [1])}, bytes(8)), "gap"),
        (build_safetensors({"a": F4, "b": entry(2, 6, [1])}, bytes(6)), "gap or overlap"),
        (build_safetensors({"a": entry(0, 4, [2])}, bytes(4)), "does not match its byte range"),
        (
            build_safetensors({"a": entry(0, 4, [2**40, 2**40])}, bytes(4)),
            "does not match its byte range",
        ),
        (build_safetensors({"a": entry(0, 4, [-1])}, bytes(4)), "invalid shape"),
        (build_safetensors({"a": entry(0, 4, [2**60])}, bytes(4)), "invalid shape"),
        (build_safetensors({"a": entry(0, 4, [True])}, bytes(4)), "invalid shape"),
        (build_safetensors({"a": entry(-4, 0, [1])}, bytes(4)), "byte range"),
        (build_safetensors({"a": entry(0, 4, [1], "OBJECT")}, bytes(4)), "dtype"),
        (build_safetensors({"a" * 100_000: F4}, bytes(4)), "tensor"),
        (build_safetensors({"a": {**F4, "more": 1}}, bytes(4)), "invalid entry for tensor"),
        (build_safetensors({"a": [1, 2]}, bytes(4)), "invalid entry for tensor"),
    ],
)
def test_everything_else_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        read_header(path)
    assert caught.value.code == "model/broken-weights"
    assert reason in caught.value.got


def test_a_million_tiny_tensors_are_refused_in_bounded_time(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    one = b'{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'
    path.write_bytes(
        build_safetensors(b"{" + b",".join(b'"%d":%s' % (i, one) for i in range(150_000)) + b"}")
    )
    started = time.process_time()
    with pytest.raises(ModelError, match="150,000 tensors"):
        read_header(path)
    assert time.process_time() - started < 5


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_make_it_fail_otherwise(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "noise.safetensors"
    for content in (noise, build_safetensors(noise)):
        path.write_bytes(content)
        try:
            read_header(path)
        except ModelError:
            continue
        assert json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")]) is not None
