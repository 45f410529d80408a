"""Run a command while every core is kept busy by other work: `python tools/keep_busy.py COMMAND
...`.

Tests that pass only on an idle machine hold a race or a fixed sleep. One process a core counts in a
loop until the command ends; the exit code is the command's.
"""

import os
import subprocess
import sys

SPIN = "while True: pass"


def main(command: list[str]) -> int:
    spinning = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in os.sched_getaffinity(0)]
    try:
        return subprocess.call(command)
    finally:
        for process in spinning:
            process.kill()
            process.wait()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python tools/keep_busy.py COMMAND ...")
    sys.exit(main(sys.argv[1:]))
