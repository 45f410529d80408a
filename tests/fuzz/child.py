"""The process in which inputs are tried: one that ends or blocks it is a failure, and not the end
of the search.

    python -m tests.fuzz.child TARGET SEED SECONDS FOLDER

The input under trial stands in FOLDER/input, failures are folders in FOLDER with input, seed and
traceback; the last line of output counts what came of the inputs.
"""

import json
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

from tests.fuzz.mutate import mutate
from tests.fuzz.target import MEMORY_BYTES, SECONDS, Target, run_once
from tests.fuzz.targets import TARGETS


class TooSlow(Exception):
    """More processor time than one input may take."""


def main(name: str, seed: int, seconds: float, folder: Path) -> None:
    """Try inputs for so long."""
    target = TARGETS[name]
    seeds = target.seeds()
    for data in seeds:  # whatever is loaded late is loaded now, before memory is limited
        with tempfile.TemporaryDirectory() as scratch:
            run_once(target, data, Path(scratch))
    _limit_memory()
    signal.signal(signal.SIGPROF, _stop)
    outcomes: Counter[str] = Counter()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        data = mutate(seeds, random.Random(f"{name} {seed}"))
        (folder / "input").write_bytes(data)
        outcomes[try_input(target, data, seed, folder)] += 1
        seed += 1
    print(json.dumps(outcomes))


def try_input(target: Target, data: bytes, seed: int, folder: Path) -> str:
    """What came of it: as `run_once`, or `failure`, which is then written to the folder."""
    with tempfile.TemporaryDirectory() as scratch:
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            return run_once(target, data, Path(scratch))
        except (Exception, TooSlow):
            signal.setitimer(signal.ITIMER_PROF, 0)
            write_failure(folder, target.name, seed, data, traceback.format_exc())
            return "failure"
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)


def write_failure(folder: Path, name: str, seed: int, data: bytes, why: str) -> None:
    """The input, and what came of it."""
    place = folder / f"{name}-{seed}"
    place.mkdir(parents=True, exist_ok=True)
    (place / "input").write_bytes(data)
    (place / "why.txt").write_text(
        f"target {name}, seed {seed}\n\n{why}", encoding="utf-8", errors="backslashreplace"
    )


def _stop(signum: int, frame: Any) -> NoReturn:
    raise TooSlow(f"more than {SECONDS} s of processor time")


def _limit_memory() -> None:
    pages = (
        int(Path("/proc/self/statm").read_text().split()[0])
        if Path("/proc/self/statm").exists()
        else 0
    )
    limit = pages * resource.getpagesize() + MEMORY_BYTES
    if pages:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4]))
