#!/usr/bin/env bash
# Version: together 3.1.1 (`together files check` and the check before an upload).
# Expected: the local check of a fine-tuning file looks at its format (`messages`, or `prompt` and
# `completion`, or `text`), as the fields `text_field` and `key_value` of its report say.
# Seen: any JSON object passes with both fields true: a conversation without an answer, a pair whose
# preferred and rejected answers are equal, a file of mixed formats, a row with none of these keys.
# Whether a row can be trained on is found out on the server, after the upload.
# Why it matters: "Checks passed" in a log is read as "this file can be trained on".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile together==3.1.1
venv/bin/python -W ignore - <<'PYTHON'
import json
import sys
from pathlib import Path

from together.lib.utils.files import check_file

question, answer = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}
files = {
    "no answer": [{"messages": [question]}],
    "equal pair": [
        {
            "input": {"messages": [question]},
            "preferred_output": [answer],
            "non_preferred_output": [answer],
        }
    ],
    "mixed formats": [{"messages": [question, answer]}, {"prompt": "a", "completion": "b"}],
    "no known key": [{"color": "red"}],
}
changed = False
for name, rows in files.items():
    path = Path("rows.jsonl")
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = check_file(path)
    seen = [report[key] for key in ("is_check_passed", "text_field", "key_value")]
    print(f"{name}: passed, text_field, key_value = {seen}")
    changed |= seen != [True, True, True]
if changed:
    sys.exit("The behavior changed.")
print("As described.")
PYTHON
