"""Temporaries say whose they are: what the dead left goes away, what the living write stays."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tunesmith import temporary_files
from tunesmith.atomic_io import replace_atomically, write_atomically
from tunesmith.temporary_files import (
    is_stale_temporary,
    make_private_folder,
    make_temporary_folder,
    make_temporary_path,
    remove_stale_temporaries,
)

MAKE = """
import os, signal, sys
from pathlib import Path
from tunesmith.atomic_io import replace_atomically
from tunesmith.temporary_files import make_temporary_folder
folder = Path(sys.argv[1])
with make_temporary_folder(folder / "model") as place, replace_atomically(folder / "x.json") as file:
    (place / "weights").write_text("x")
    print(place.name, file.name, flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
"""  # noqa: E501


@pytest.fixture
def owner(tmp_path: Path) -> "subprocess.Popen[str]":
    """A process that stands still with a temporary file and a temporary folder in `tmp_path`."""
    process = subprocess.Popen(
        [sys.executable, "-c", MAKE, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    return process


def test_a_killed_process_leaves_nothing_once_another_writes_there(
    owner: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    before = sorted(path.name for path in tmp_path.iterdir())
    assert len(before) == 2
    write_atomically(tmp_path / "y.json", "{}")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *before,
        "y.json",
    ], "its owner lives"
    owner.kill()
    owner.communicate()
    write_atomically(tmp_path / "y.json", "{}")
    assert [path.name for path in tmp_path.iterdir()] == ["y.json"]


def test_a_process_number_that_was_given_again_is_another_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path := make_temporary_path(tmp_path / "x")).write_text("")
    assert not is_stale_temporary(path)
    monkeypatch.setattr(temporary_files, "_read_start_ticks", lambda _: 1)
    assert is_stale_temporary(path)


def test_what_was_made_before_the_machine_started_is_left_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_temporary_path(tmp_path / "x")
    monkeypatch.setattr(temporary_files, "_compute_boot_id", lambda: "0" * 8)
    assert is_stale_temporary(path)


def test_what_another_machine_left_on_a_shared_disk_stays_for_a_week(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path := make_temporary_path(tmp_path / "x")).write_text("")
    monkeypatch.setattr(temporary_files, "_compute_machine_id", lambda: "0" * 8)
    assert not is_stale_temporary(path)
    a_week_ago = path.stat().st_mtime - temporary_files.FOREIGN_MAX_AGE_SECONDS - 1
    os.utime(path, (a_week_ago, a_week_ago))
    assert is_stale_temporary(path)


def test_files_of_others_that_begin_alike_are_left_alone(tmp_path: Path) -> None:
    names = [".tmp-", ".tmp-x", ".tmp-1234-step-00000001", ".tmp-abcdefgh-12345678-1-1-x", "step-1"]
    for name in names:
        (tmp_path / name).write_text("x")
    remove_stale_temporaries(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)


def test_a_link_named_as_a_temporary_goes_away_and_what_it_points_to_stays(tmp_path: Path) -> None:
    (victim := tmp_path / "victim").mkdir()
    (victim / "precious").write_text("x")
    (folder := tmp_path / "folder").mkdir()
    (folder / ".tmp-a").symlink_to(victim)
    remove_stale_temporaries(folder, remove_all=True)
    assert list(folder.iterdir()) == [] and (victim / "precious").exists()
    (link := tmp_path / "link").symlink_to(victim)
    (victim / ".tmp-a").write_text("x")
    remove_stale_temporaries(link, remove_all=True)
    assert (victim / ".tmp-a").exists(), "a folder that is a link is not entered"


def test_a_name_as_long_as_the_disk_takes_is_written(tmp_path: Path) -> None:
    write_atomically(tmp_path / ("x" * 255), "{}")
    with make_temporary_folder(tmp_path / ("y" * 255)) as place:
        assert place.is_dir()
    assert [path.name for path in tmp_path.iterdir()] == ["x" * 255]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_who_may_read_what_is_written_is_for_the_umask_to_say(
    tmp_path: Path, umask: int, mode: int
) -> None:
    before = os.umask(umask)
    try:
        with replace_atomically(tmp_path / "x") as path:
            path.write_text("x")
    finally:
        os.umask(before)
    assert (tmp_path / "x").stat().st_mode & 0o777 == mode


def test_a_private_folder_is_its_users_alone_and_goes_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a killed process had in there, such as a scorer's files, goes away with the next one."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with make_private_folder("tunesmith-child") as place:
        assert place.parent == tmp_path and place.stat().st_mode & 0o777 == 0o700
        (place / "x").write_text("x")
        monkeypatch.setattr(temporary_files, "_read_start_ticks", lambda _: 1)
        with make_private_folder("tunesmith-child"):
            assert not place.exists(), "its owner has died, by its start"
    assert list(tmp_path.iterdir()) == []
