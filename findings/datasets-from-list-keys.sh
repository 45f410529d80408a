#!/usr/bin/env bash
# Version: datasets 5.2.0.
# Expected: `Dataset.from_list` keeps every key of every row, or raises; a key that a row does not
# have stays away.
# Seen: a key that the first row lacks is dropped from all rows, without a warning. One level down
# it is the reverse: every object gets the keys of all others, filled with None, so arguments of
# tool calls are written that no row has.
# Why it matters: rows built in Python often carry optional keys ("system", "tools"). They vanish
# by the order of the rows, and tool calls are trained with arguments that nobody made.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile datasets==5.2.0 pyarrow==26.0.1
export HF_HUB_OFFLINE=1 HF_HOME="$folder/hf"
venv/bin/python -W ignore - <<'PYTHON'
import sys

from datasets import Dataset

rows = [{"prompt": "a"}, {"prompt": "b", "system": "Answer in one word."}]
forward = Dataset.from_list(rows).column_names
backward = Dataset.from_list(rows[::-1]).column_names
calls = Dataset.from_list([{"arguments": {"city": "Bern"}}, {"arguments": {"day": "Monday"}}])[
    "arguments"
][:]
print("the key is in the second row:", forward)
print("the key is in the first row: ", backward)
print("arguments:", calls)
changed = forward != ["prompt"] or backward != ["prompt", "system"]
if changed or calls != [{"city": "Bern", "day": None}, {"city": None, "day": "Monday"}]:
    sys.exit("The behavior changed.")
print("As described.")
PYTHON
