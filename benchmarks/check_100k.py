"""100,000 short examples: read, check, split, prepare, prove the mask. Prints the seconds of each
and the peak memory.

    python benchmarks/check_100k.py [MODEL_FOLDER] [--examples 100000]

With a model folder its real tokenizer is used, else the byte tokenizer of `tunesmith.testing`. The
examples are made up from a seed: support questions with one of 40 labels, 1 % exact duplicates, 1 %
near duplicates. Exits 1 over the bar.
"""

import argparse
import json
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tunesmith.data.check import check_examples
from tunesmith.data.prepare import prepare_split, prove_mask
from tunesmith.data.read import read_dataset
from tunesmith.data.split import select_examples, split_examples
from tunesmith.models.tokenizer import load_tokenizer
from tunesmith.records import ChatTokenizer
from tunesmith.testing.fake_tokenizer import FakeTokenizer

BAR_SECONDS = 90
BAR_BYTES = 2**30
MAX_TOKENS = 1024
FIRST, SECOND = (
    ("ba", "ce", "di", "fo", "gu", "ka", "le", "mi", "no", "pu"),
    (
        "ban",
        "cel",
        "dim",
        "for",
        "gul",
        "nes",
    ),
)
WORDS = [first + second + third for first in FIRST for second in SECOND for third in ("", *FIRST)]

Result = TypeVar("Result")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "model", nargs="?", help="a model folder with tokenizer.json and a chat template"
    )
    parser.add_argument("--examples", type=int, default=100_000)
    given = parser.parse_args()
    tokenizer: ChatTokenizer = load_tokenizer(given.model) if given.model else FakeTokenizer()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made-up.jsonl"
        write_examples(path, given.examples)
        seconds = measure(path, tokenizer)
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(
        f"{seconds:6.1f} s in all (bar {BAR_SECONDS}), peak {peak_bytes / 2**20:,.0f} MiB (bar"
        " 1,024)"
    )
    return 0 if seconds < BAR_SECONDS and peak_bytes < BAR_BYTES else 1


def measure(path: Path, tokenizer: ChatTokenizer) -> float:
    """Seconds from the path to the proven masks of all three splits."""
    began = time.perf_counter()
    loaded = timed("read", lambda: read_dataset(path))
    report = timed(
        "check", lambda: check_examples(loaded, tokenizer=tokenizer, max_tokens=MAX_TOKENS)
    )
    split = timed("split", lambda: split_examples(loaded.examples))
    for name in ("train", "validation", "test"):
        side = select_examples(loaded.examples, getattr(split, name))
        _, arrays = timed(
            f"prepare {name}", lambda n=name, s=side: prepare_split(n, s, tokenizer, MAX_TOKENS)
        )
        timed(f"prove {name}", lambda a=arrays, s=side: prove_mask(a, tokenizer, s))
    for problem in report.problems:
        print(f"         {problem.severity} {problem.code}: {problem.count:,}")
    return time.perf_counter() - began


def timed(name: str, work: Callable[[], Result]) -> Result:
    began = time.perf_counter()
    result = work()
    print(f"{time.perf_counter() - began:6.1f} s {name}")
    return result


def write_examples(path: Path, count: int) -> None:
    dice = random.Random(0)
    questions: list[str] = []
    with path.open("w", encoding="utf-8") as file:
        for i in range(count):
            words = dice.choices(WORDS, k=dice.randint(6, 24))
            if i and i % 100 == 0:
                words = dice.choice(questions).split()
            elif i and i % 100 == 1:
                words = [*dice.choice(questions).split(), "please"]
            questions.append(" ".join(words))
            label = f"topic_{sum(map(len, words[:3])) % 40}"
            file.write(json.dumps({"prompt": questions[-1], "completion": label}) + "\n")


if __name__ == "__main__":
    sys.exit(main())
