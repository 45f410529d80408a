"""JSON lines survive a cut at any byte: whole lines come back, the cut one is named, the next
writer mends the file."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.errors import RunError
from tunesmith.records import MetricLine
from tunesmith.runs.jsonl_log import append_line, read_lines
from tunesmith.runs.run_folder import RunFolder


def line(step: int, loss: float = 0.5) -> MetricLine:
    return MetricLine(kind="step", step=step, epoch=0.0, loss=loss, seconds=0.0)


def test_a_missing_file_has_no_lines(tmp_path: Path) -> None:
    assert read_lines(tmp_path / "none.jsonl", MetricLine) == ((), None)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=5))
def test_floats_come_back_to_the_bit(
    tmp_path_factory: pytest.TempPathFactory, losses: list[float]
) -> None:
    path = tmp_path_factory.getbasetemp() / "bits.jsonl"
    path.unlink(missing_ok=True)
    for loss in losses:
        append_line(path, line(0, loss))
    assert [record.loss.hex() for record in read_lines(path, MetricLine).records] == [
        loss.hex() for loss in losses
    ]


def test_a_cut_at_every_byte_is_named_and_mended(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    for step in range(3):
        append_line(path, line(step))
    whole = path.read_bytes()
    ends = [at + 1 for at, byte in enumerate(whole) if byte == ord("\n")]
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        kept = sum(end <= size for end in ends)
        records, cut = read_lines(path, MetricLine)
        assert [record.step for record in records] == list(range(kept))
        if size in (0, *ends):
            assert cut is None
        else:
            unfinished = size - max([0, *(end for end in ends if end <= size)])
            assert cut == f"m.jsonl line {kept + 1} is incomplete ({unfinished} bytes)"
        append_line(path, line(9))
        assert [record.step for record in read_lines(path, MetricLine).records] == [*range(kept), 9]


@pytest.mark.parametrize(
    "damage", [b"{}\n", b"\n", b"not json\n", b'{"kind": "step"\n', b"\x00\x00\n"]
)
def test_a_damaged_line_that_was_finished_is_an_error_with_its_number(
    tmp_path: Path, damage: bytes
) -> None:
    path = tmp_path / "m.jsonl"
    append_line(path, line(0))
    path.write_bytes(path.read_bytes() + damage)
    append_line(path, line(1))
    with pytest.raises(RunError) as caught:
        read_lines(path, MetricLine)
    assert caught.value.code == "run/damaged"
    assert caught.value.at == f"{path} line 2"


def test_a_validation_line_is_on_the_disk_and_a_step_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder.create(tmp_path, "x")
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    folder.append_metric(line(1))
    assert len(synced) == 0
    folder.append_metric(line(1).model_copy(update={"kind": "validation"}))
    assert len(synced) == 1


def test_a_full_disk_that_takes_half_a_line_is_written_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:7]))
    path = tmp_path / "m.jsonl"
    append_line(path, line(3))
    assert read_lines(path, MetricLine) == ((line(3),), None)
