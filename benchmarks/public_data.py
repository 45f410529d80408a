"""The public data of the benchmarks: where it is looked for, and how to get it.

Two folders below `--data FOLDER`, as their makers publish them:

    banking77/train.csv, test.csv    columns text, category
    gsm8k/train.jsonl, test.jsonl    question, answer
"""

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDER_VARIABLE = "TUNESMITH_BENCH_DATA"
FILES = {"banking77": ("train.csv", "test.csv"), "gsm8k": ("train.jsonl", "test.jsonl")}
SOURCES = {
    "banking77": "https://github.com/PolyAI-LDN/task-specific-datasets, folder banking_data "
    "(CC BY 4.0)",
    "gsm8k": "https://github.com/openai/grade-school-math, folder grade_school_math/data (MIT)",
}


def add_data_argument(parser: argparse.ArgumentParser) -> None:
    """`--data FOLDER`; by default the folder of `TUNESMITH_BENCH_DATA`, else `shared/data` beside
    the repository."""
    default = Path(os.environ.get(FOLDER_VARIABLE, ROOT.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=default, help="banking77 and gsm8k lie in it")


def find_missing_data(folder: Path) -> str:
    """How to get what the folder lacks; "" if it lacks nothing."""
    missing = {
        name: [file for file in files if not (folder / name / file).is_file()]
        for name, files in FILES.items()
    }
    lines = [
        f"  {folder / name}: put {' and '.join(files)} there, from {SOURCES[name]}"
        for name, files in missing.items()
        if files
    ]
    if not lines:
        return ""
    advice = f"or name another folder: make bench DATA=FOLDER, --data FOLDER or {FOLDER_VARIABLE}"
    return "\n".join(["the benchmarks need public data that is not part of this", *lines, advice])


def main() -> int:
    """`python -m benchmarks.public_data [--data FOLDER]`: says what is missing, and needs nothing
    but Python, so that `make bench` asks before it installs anything."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.public_data")
    add_data_argument(parser)
    missing = find_missing_data(parser.parse_args().data)
    if missing:
        print(missing, file=sys.stderr)
    return 2 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
