"""Without its public data a benchmark says what to put where."""

from pathlib import Path

import pytest

from benchmarks.public_data import FILES, find_missing_data, main


def write_files(folder: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (folder / name).mkdir(parents=True)
        for file in FILES[name]:
            (folder / name / file).touch()


def test_what_is_missing_is_named_with_its_source(tmp_path: Path) -> None:
    write_files(tmp_path, ("gsm8k",))
    told = find_missing_data(tmp_path)
    assert f"{tmp_path / 'banking77'}: put train.csv and test.csv there" in told
    assert "github.com/PolyAI-LDN" in told and "gsm8k" not in told and "DATA=FOLDER" in told


def test_complete_data_are_not_mentioned(tmp_path: Path) -> None:
    write_files(tmp_path, ("gsm8k", "banking77"))
    assert find_missing_data(tmp_path) == ""


def test_make_bench_stops_before_anything_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["public_data", "--data", str(tmp_path)])
    assert main() == 2
    assert "train.jsonl and test.jsonl" in capsys.readouterr().err
