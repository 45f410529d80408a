"""Search for inputs that break a reader.

    python -m tests.fuzz --minutes N [--target NAME ...] [--seed S] [--failures FOLDER]

Every target gets an equal share of the time, in a process of its own. Exit code 1 when an input
failed: it lies with its seed and the traceback in the folder. `--seed` is the first input's number;
a number stands for one input.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.fuzz.child import write_failure
from tests.fuzz.targets import TARGETS

BLOCKED_SECONDS = 30
"""An input under trial for so long blocks the process where no signal reaches it."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--target", action="append", choices=list(TARGETS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--failures", type=Path, default=Path(".cache/fuzz"))
    given = parser.parse_args()
    names = given.target or list(TARGETS)
    failed = 0
    for name in names:
        outcomes = _search(name, given.seed, given.minutes * 60 / len(names), given.failures)
        failed += outcomes["failure"]
        tried, codes = (
            sum(outcomes.values()),
            {code: n for code, n in outcomes.most_common() if code != "failure"},
        )
        told = ", ".join(f"{code} {n:,}" for code, n in codes.items())
        print(f"{name}: {tried:,} inputs, {outcomes['failure']:,} failures; {told}", flush=True)
    if failed:
        print(f"failures lie in {given.failures}")
    return 1 if failed else 0


def _search(name: str, seed: int, seconds: float, failures: Path) -> Counter[str]:
    """Run the target's process again and again until its time is over: an input may end it."""
    outcomes: Counter[str] = Counter()
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            command = [sys.executable, "-m", "tests.fuzz.child", name, str(seed), str(left), place]
            with (folder / "out").open("wb") as out:
                process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
                why = _watch(process, folder)
            said = (folder / "out").read_text(errors="replace").strip().split("\n")
            for found in sorted(folder.glob(f"{name}-*")):
                (failures / found.name).mkdir(parents=True, exist_ok=True)
                for file in found.iterdir():
                    (failures / found.name / file.name).write_bytes(file.read_bytes())
            if why is None and process.returncode == 0:
                return outcomes + Counter(json.loads(said[-1]))
            if not (folder / "input").exists():
                raise SystemExit(f"{name}: the good inputs fail\n" + "\n".join(said))
            ended = why or f"the process ended with {process.returncode}"
            number = f"{seed}-{time.time_ns()}"
            write_failure(
                failures,
                f"{name}-{number}",
                seed,
                (folder / "input").read_bytes(),
                "\n".join([ended, *said]),
            )
            outcomes["failure"] += 1 + len(list(folder.glob(f"{name}-*")))
            seed += 1_000_000
    return outcomes


def _watch(process: "subprocess.Popen[bytes]", folder: Path) -> str | None:
    """Wait for the process; end it when one input takes too long. The reason, None when it ended by
    itself."""
    while process.poll() is None:
        time.sleep(0.2)
        tried = folder / "input"
        if tried.exists() and time.time() - tried.stat().st_mtime > BLOCKED_SECONDS:
            process.kill()
            process.wait()
            return f"one input took more than {BLOCKED_SECONDS} s"
    return None


if __name__ == "__main__":
    sys.exit(main())
