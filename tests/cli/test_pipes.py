"""What a shell does with the output: a reader that goes away, a disk that is full."""

import subprocess
import sys

COMMAND = f"{sys.executable} -m tunesmith.cli.main"


def shell(line: str) -> "subprocess.CompletedProcess[str]":
    program = ["bash", "-c", f"set -o pipefail; {line}"]
    return subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)


def test_a_reader_that_goes_away_is_no_error() -> None:
    for command in ("models", "models --json", "decide --help"):
        done = shell(f"{COMMAND} {command} | true")
        assert (done.returncode, done.stderr) == (0, ""), done.stderr


def test_a_full_disk_is_one_message() -> None:
    done = shell(f"{COMMAND} models --json > /dev/full")
    assert done.returncode == 2
    assert done.stderr.startswith("error[input/machine]") and "No space left" in done.stderr
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr
