"""Fetching one file by its SHA-256: from a folder of wheels in place of the index, so that the real
pip is at work."""

import hashlib
import sys
import zipfile
from pathlib import Path

import pytest

from tunesmith import package_index
from tunesmith.errors import InputError
from tunesmith.package_index import fetch_package_file

WHEEL = "tiny_thing-1.0-py3-none-any.whl"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes as its only source."""
    folder = tmp_path / "index"
    folder.mkdir()
    with zipfile.ZipFile(folder / WHEEL, "w") as wheel:
        wheel.writestr("tiny_thing/__init__.py", "raise SystemExit('this must never run')")
        wheel.writestr(
            "tiny_thing-1.0.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: tiny-thing\nVersion: 1.0\n",
        )
        wheel.writestr(
            "tiny_thing-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        wheel.writestr("tiny_thing-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_is_fetched_once_and_then_needs_no_index(index: Path, tmp_path: Path) -> None:
    expected = sha256(index / WHEEL)
    path = fetch_package_file("tiny-thing==1.0", expected, folder=tmp_path / "cache")
    assert path == tmp_path / "cache" / WHEEL and sha256(path) == expected
    (index / WHEEL).unlink()
    assert fetch_package_file("tiny-thing==1.0", expected, folder=tmp_path / "cache") == path
    assert [p.name for p in (tmp_path / "cache").iterdir()] == [WHEEL], "no leftovers"


def test_another_file_under_the_same_name_is_refused(index: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        fetch_package_file("tiny-thing==1.0", "0" * 64, folder=tmp_path / "cache")
    assert caught.value.code == "input/wrong-file"
    assert sha256(index / WHEEL) in caught.value.got
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_damaged_copy_in_the_cache_is_fetched_again(index: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / WHEEL).write_bytes(b"half a file")
    path = fetch_package_file("tiny-thing==1.0", sha256(index / WHEEL), folder=tmp_path / "cache")
    assert sha256(path) == sha256(index / WHEEL)


def test_what_the_index_does_not_have_is_one_clear_message(index: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        fetch_package_file("no-such-thing==9.9", "0" * 64, folder=tmp_path / "cache")
    error = caught.value
    assert (error.code, error.exit_code) == ("input/not-fetched", 2)
    assert "no-such-thing" in str(error) and "network" in error.hint and "\n" not in error.got


def test_a_python_without_pip_is_told_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = tmp_path / "python"
    bare.write_text(f"#!/bin/sh\necho '{sys.executable}: No module named pip' >&2\nexit 1\n")
    bare.chmod(0o755)
    monkeypatch.setattr(package_index.sys, "executable", str(bare))
    with pytest.raises(InputError) as caught:
        fetch_package_file("tiny-thing==1.0", "0" * 64, folder=tmp_path / "cache")
    assert caught.value.code == "input/no-pip" and "ensurepip" in caught.value.hint


def test_a_requirement_is_never_read_as_a_flag_or_by_a_shell(index: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        fetch_package_file(
            f"$(touch {tmp_path / 'canary'})==1.0", "0" * 64, folder=tmp_path / "cache"
        )
    assert not (tmp_path / "canary").exists()


def test_an_index_that_drips_is_not_waited_for_without_end(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package_index, "FETCH_SECONDS", 0.001)
    with pytest.raises(InputError) as caught:
        fetch_package_file("tiny-thing==1.0", sha256(index / WHEEL), folder=tmp_path / "cache")
    assert caught.value.code == "input/not-fetched" and "no response within" in caught.value.got
    assert list((tmp_path / "cache").iterdir()) == []
