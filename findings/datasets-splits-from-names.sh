#!/usr/bin/env bash
# Version: datasets 5.2.0.
# Expected: each data file of a folder is put into one split, and no file of the folder is left
# out without a word.
# Seen: `train_test.jsonl` alone is read twice, as train and as test. Where `train/a.jsonl` and
# `test.jsonl` stand in one folder, only the first is read: there is no test split and no warning.
# Why it matters: a model scored on such a test split is scored on its own training examples; in
# the second case the held-out examples are missing.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile datasets==5.2.0 pyarrow==26.0.1
export HF_HUB_OFFLINE=1 HF_HOME="$folder/hf"
venv/bin/python -W ignore - <<'PYTHON'
import json
import sys
from pathlib import Path

from datasets import disable_progress_bars, load_dataset

disable_progress_bars()


def write(path: str, answers: list[str]) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text("".join(json.dumps({"answer": answer}) + "\n" for answer in answers))


def read(folder: str) -> dict[str, list[str]]:
    return {split: rows["answer"][:] for split, rows in load_dataset(folder).items()}


write("one/train_test.jsonl", ["a", "b"])
write("two/train/a.jsonl", ["a"])
write("two/test.jsonl", ["b", "c"])
one, two = read("one"), read("two")
print("train_test.jsonl alone:", one)
print("train/a.jsonl and test.jsonl:", two)
if one != {"train": ["a", "b"], "test": ["a", "b"]} or two != {"train": ["a"]}:
    sys.exit("The behavior changed.")
print("As described.")
PYTHON
