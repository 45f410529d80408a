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

from tunesmith import failpoints


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    failpoints.arm(None)


def test_unarmed_nothing_happens(tmp_path: Path) -> None:
    failpoints.hit("a")
    assert failpoints.inject_nan("a", 1.5) == 1.5
    with (tmp_path / "f").open("wb", buffering=0) as file:
        failpoints.write_bytes("a", file, b"12345")
    assert (tmp_path / "f").read_bytes() == b"12345"


@pytest.mark.parametrize("nth", [1, 3])
def test_it_happens_at_the_nth_time_and_once(nth: int) -> None:
    failpoints.arm(f"a:{nth}:raise")
    for number in range(1, 6):
        failpoints.hit("b")
        if number == nth:
            with pytest.raises(failpoints.InjectedError):
                failpoints.hit("a")
        else:
            failpoints.hit("a")


@pytest.mark.parametrize("nth", range(1, 13))
def test_every_byte_counts(tmp_path: Path, nth: int) -> None:
    failpoints.arm(f"w:{nth}:enospc")
    path = tmp_path / "f"
    with path.open("wb", buffering=0) as file, pytest.raises(OSError) as caught:
        for piece in (b"abc", b"", b"defgh", b"ijkl"):
            failpoints.write_bytes("w", file, piece)
    assert caught.value.errno == errno.ENOSPC
    assert path.read_bytes() == b"abcdefghijkl"[: nth - 1]


def test_a_number_and_a_file_are_spoiled(tmp_path: Path) -> None:
    failpoints.arm("loss:2:nan")
    assert failpoints.inject_nan("loss", 1.0) == 1.0
    assert math.isnan(failpoints.inject_nan("loss", 1.0))
    (tmp_path / "f").write_bytes(bytes(9))
    failpoints.arm("file:1:flip")
    failpoints.hit("file", tmp_path / "f")
    assert sum((tmp_path / "f").read_bytes()) == 1


def test_sleeping_takes_the_given_time() -> None:
    failpoints.arm("a:1:sleep=0.05")
    began = time.monotonic()
    failpoints.hit("a")
    assert time.monotonic() - began >= 0.05


def test_a_process_armed_by_its_environment_dies() -> None:
    environment = {**os.environ, failpoints.ENV_VARIABLE: "a:2:kill9"}
    code = (
        "from tunesmith import failpoints; failpoints.hit('a'); print('once', flush=True);"
        " failpoints.hit('a'); print('twice')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "once\n")


def test_a_process_stands_still_until_it_is_told_to_go_on() -> None:
    code = "from tunesmith import failpoints; failpoints.hit('a'); print('on')"
    environment = {**os.environ, failpoints.ENV_VARIABLE: "a:1:pause"}
    with subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        process.send_signal(signal.SIGCONT)
        assert process.communicate(timeout=30)[0] == "on\n"


@pytest.mark.parametrize("text", ["a", "a:b:raise", "a:1", "a:1:explode", "a:1:sleep=x"])
def test_what_is_no_fault_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=failpoints.ENV_VARIABLE):
        failpoints.arm(text)
