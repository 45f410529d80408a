"""The failpoints themselves: they act at the nth time and nowhere else."""

import errno
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tunesmith import faults


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    faults.arm(None)


def test_unarmed_nothing_happens(tmp_path: Path) -> None:
    faults.hit("a")
    assert faults.value("a", 1.5) == 1.5
    with (tmp_path / "f").open("wb", buffering=0) as file:
        faults.write("a", file, b"12345")
    assert (tmp_path / "f").read_bytes() == b"12345"


@pytest.mark.parametrize("nth", [1, 3])
def test_it_happens_at_the_nth_time_and_once(nth: int) -> None:
    faults.arm(f"a:{nth}:raise")
    for number in range(1, 6):
        faults.hit("b")
        if number == nth:
            with pytest.raises(faults.InjectedError):
                faults.hit("a")
        else:
            faults.hit("a")


@pytest.mark.parametrize("nth", range(1, 13))
def test_every_byte_counts(tmp_path: Path, nth: int) -> None:
    faults.arm(f"w:{nth}:enospc")
    path = tmp_path / "f"
    with path.open("wb", buffering=0) as file, pytest.raises(OSError) as caught:
        for piece in (b"abc", b"", b"defgh", b"ijkl"):
            faults.write("w", file, piece)
    assert caught.value.errno == errno.ENOSPC
    assert path.read_bytes() == b"abcdefghijkl"[: nth - 1]


def test_a_number_and_a_file_are_spoiled(tmp_path: Path) -> None:
    faults.arm("loss:2:nan")
    assert faults.value("loss", 1.0) == 1.0
    assert math.isnan(faults.value("loss", 1.0))
    (tmp_path / "f").write_bytes(bytes(9))
    faults.arm("file:1:flip")
    faults.hit("file", tmp_path / "f")
    assert sum((tmp_path / "f").read_bytes()) == 1


def test_sleeping_takes_the_given_time() -> None:
    faults.arm("a:1:sleep=0.05")
    began = time.monotonic()
    faults.hit("a")
    assert time.monotonic() - began >= 0.05


def test_a_process_armed_by_its_environment_dies() -> None:
    environment = {**os.environ, faults.VARIABLE: "a:2:kill9"}
    code = "from tunesmith import faults; faults.hit('a'); print('once', flush=True); faults.hit('a'); print('twice')"
    done = subprocess.run([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "once\n")


def test_a_process_stands_still_until_it_is_told_to_go_on() -> None:
    code = "from tunesmith import faults; faults.hit('a'); print('on')"
    environment = {**os.environ, faults.VARIABLE: "a:1:pause"}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True) as process:
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        process.send_signal(signal.SIGCONT)
        assert process.communicate(timeout=30)[0] == "on\n"


@pytest.mark.parametrize("text", ["a", "a:b:raise", "a:1", "a:1:explode", "a:1:sleep=x"])
def test_what_is_no_fault_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=faults.VARIABLE):
        faults.arm(text)
