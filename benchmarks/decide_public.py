"""The main job on public data, as a user runs it: `python -m benchmarks.decide_public
banking77|gsm8k [--data FOLDER]`.

banking77: 3,000 train and 400 test messages, 77 intents, all contenders, verdict and report; a
break-even curve must be drawn, and deciding again from the stored answers must give the same
verdict in under 5 s. gsm8k: 400 train and 200 test word problems, of which a model this small
solves next to none: the verdict must be `stop` or `cannot tell`.

The samples are drawn with a fixed seed into a temporary folder. What leaks by nature between
banking77's own files is allowed by name; the report has the score without it.
"""

import argparse
import csv
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.public_data import add_data_argument, find_missing_data

SIZES = {"banking77": (3000, 400), "gsm8k": (400, 200)}
LEAKS = "data.allow_contamination=[normalised,13-gram,near]"
TUNING = {"banking77": ["--minutes", "6"], "gsm8k": ["--minutes", "4"]}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decide_public")
    parser.add_argument("name", choices=SIZES)
    add_data_argument(parser)
    parser.add_argument("--out", type=Path, default=Path("runs"))
    given = parser.parse_args()
    if missing := find_missing_data(given.data):
        parser.error(missing)
    with TemporaryDirectory(prefix="decide-") as folder:
        files = write_samples(given.name, given.data / given.name, Path(folder))
        began = time.perf_counter()
        columns = (
            "prompt=text,completion=category"
            if given.name == "banking77"
            else "prompt=question,completion=answer"
        )
        command = [
            "decide",
            str(files[0]),
            "--columns",
            columns,
            "--set",
            f"data.test_path={files[1]}",
            "--set",
            LEAKS,
        ]
        document = tunesmith([*command, *TUNING[given.name], "--out", str(given.out)])
        seconds = time.perf_counter() - began
        began = time.perf_counter()
        again = tunesmith(["decide", str(Path(document["report"]).parent)])
        seconds_again = time.perf_counter() - began
    print(
        f"{given.name}: {document['verdict']} in {seconds / 60:.1f} min; the winner is"
        f" {document['winner']}"
    )
    for one in document["contenders"]:
        score = one["metrics"][document["metric"]]
        print(
            f"  {one['name']:24} {score['value']:.3f} [{score['low']:.3f}, {score['high']:.3f}]"
            f" n={score['n']}"
        )
    print(f"decided again in {seconds_again:.1f} s: {again['verdict']}, is_same {again['is_same']}")
    return 0 if again["is_same"] else 1


def write_samples(name: str, folder: Path, out: Path) -> list[Path]:
    """Train and test, drawn with a fixed seed."""
    paths = []
    for side, size in zip(("train", "test"), SIZES[name], strict=True):
        suffix = "csv" if name == "banking77" else "jsonl"
        rows = list(read_rows(folder / f"{side}.{suffix}"))
        some = random.Random(0).sample(rows, min(size, len(rows)))
        paths.append(out / f"{name}-{side}.jsonl")
        paths[-1].write_text("".join(json.dumps(row) + "\n" for row in some), encoding="utf-8")
    return paths


def read_rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        if path.suffix == ".csv":
            yield from csv.DictReader(file)
        else:
            yield from (json.loads(line) for line in file)


def tunesmith(words: Sequence[str]) -> dict[str, object]:
    """The document of one command; what it says on the way goes to standard error."""
    command = [sys.executable, "-m", "tunesmith.cli.main", *words, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    found: dict[str, object] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    sys.exit(main())
