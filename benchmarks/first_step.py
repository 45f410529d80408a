"""first-step-100k: seconds from starting `tunesmith train` on 100,000 examples until its first
optimizer step is done.

The model is in the cache and the files are in memory. Reading, checking, splitting, tokenising,
proving the mask, the memory plan and the base model's first look at the validation split all count.
"""

import signal
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.check_100k import write_examples
from benchmarks.jobs import HERE, Bench
from benchmarks.results import Row

EXAMPLES = 100_000
REPETITIONS = 2
MOST_SECONDS = 600


def first_step(bench: Bench) -> list[Row]:
    """The first run warms the caches and is not counted."""
    data, recipe = bench.folder / "made-up.jsonl", bench.folder / "recipe.yaml"
    write_examples(data, EXAMPLES)
    recipe.write_text(f"data:\n  path: {data}\n", encoding="utf-8")
    seconds = [_seconds(recipe, bench.folder / f"runs-{i}") for i in range(REPETITIONS + 1)][1:]
    print("  seconds to the first step:", " ".join(f"{second:.1f}" for second in seconds))
    middle = sum(seconds) / len(seconds)
    return [
        Row("first-step-100k", "seconds_to_first_step", middle, None, "no peer", None, len(seconds))
    ]


def _seconds(recipe: Path, runs: Path) -> float:
    command = [sys.executable, "-m", "tunesmith.cli.main", "train", str(recipe), "--out", str(runs)]
    began = time.perf_counter()
    child = subprocess.Popen(
        command, cwd=HERE.parent, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        while not _has_step(runs):
            if child.poll() is not None or time.perf_counter() - began > MOST_SECONDS:
                raise SystemExit(
                    "no first step:"
                    f" {child.communicate()[1][-2000:] if child.poll() is not None else 'in time'}"
                )
            time.sleep(0.02)
        return time.perf_counter() - began
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()


def _has_step(runs: Path) -> bool:
    return any(
        '"step"' in path.read_text(encoding="utf-8") for path in runs.glob("*/metrics.jsonl")
    )
