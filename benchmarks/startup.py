"""Seconds until `--help` and until a usage error: median of ten fresh processes each. The bar is
0.5 s.

python benchmarks/startup.py
"""

import statistics
import subprocess
import sys
import time

BAR_SECONDS = 0.5
TIMES = 10
COMMANDS = {"--help": (["--help"], 0), "usage error": (["check", "--no-such-flag"], 2)}


def seconds_of(arguments: list[str], expected: int) -> float:
    """Wall time of one fresh process, which must end with this exit code."""
    command = [sys.executable, "-m", "tunesmith.cli.main", *arguments]
    began = time.perf_counter()
    code = subprocess.run(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
    ).returncode
    if code != expected:
        raise SystemExit(f"{arguments} ended with {code}, not {expected}")
    return time.perf_counter() - began


def main() -> int:
    """Print the medians; 1 when one is over the bar."""
    slowest = 0.0
    for name, (arguments, expected) in COMMANDS.items():
        times = [seconds_of(arguments, expected) for _ in range(TIMES)]
        slowest = max(slowest, statistics.median(times))
        print(
            f"{name:12} median {statistics.median(times):.3f} s  range {min(times):.3f} to"
            f" {max(times):.3f} s"
        )
    print(f"bar {BAR_SECONDS} s: {'held' if slowest <= BAR_SECONDS else 'MISSED'}")
    return int(slowest > BAR_SECONDS)


if __name__ == "__main__":
    raise SystemExit(main())
