#!/usr/bin/env bash
# Version: datasets 5.2.0 with pyarrow 26.0.1.
# Expected: a JSON string is read as text, whatever it says, and one example more does not change
# the others.
# Seen: where every text of a field is a date ("2024-05-01"), the field is read as points in time,
# also inside a list of messages. One answer that is no date makes all of them text again.
# Why it matters: in extraction tasks the answer often is a date. A template then writes
# "2024-05-01 00:00:00", a form that stands nowhere in the file, and training and test file can
# come out differently.
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
from datetime import datetime
from pathlib import Path

from datasets import disable_progress_bars, load_dataset

disable_progress_bars()


def read_answers(name: str, answers: list[str]) -> list[object]:
    rows = [{"messages": [{"role": "assistant", "content": answer}]} for answer in answers]
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [
        row["messages"][0]["content"]
        for row in load_dataset("json", data_files=name, split="train")
    ]


dates = read_answers("dates.jsonl", ["2024-05-01", "2024-06-30"])
mixed = read_answers("mixed.jsonl", ["2024-05-01", "2024-06-30", "not given"])
print("all answers are dates:", dates)
print("one answer is not:    ", mixed)
print("in a prompt:          ", f"The invoice is of {dates[0]}.")
expected = [datetime(2024, 5, 1), datetime(2024, 6, 30)]
if dates != expected or mixed != ["2024-05-01", "2024-06-30", "not given"]:
    sys.exit("The behavior changed.")
print("As described.")
PYTHON
