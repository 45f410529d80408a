#!/usr/bin/env bash
# Version: trl 1.16.0.
# Expected: of a preference pair given as two whole texts, `extract_prompt` finds the prompt: what
# stands before the two answers.
# Seen: the prompt is all that the texts share, so it ends inside the answers, even inside a word:
# of "Capital? Paris" and "Capital? Pamplona" the prompt is "Capital? Pa" and the answers are
# "ris" and "mplona".
# Why it matters: pairs that differ late (one is the corrected other) teach from the middle of the
# answer on, after a prompt that is cut into other tokens than in use. Give `prompt` explicitly.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile trl==1.16.0 torch==2.13.0 transformers==5.23.0
export HF_HUB_OFFLINE=1 HF_HOME="$folder/hf"
venv/bin/python -W ignore - <<'PYTHON'
import sys

from trl import extract_prompt

PAIRS = [
    ("Capital? Paris", "Capital? Pamplona"),
    ("Is it? Yes", "Is it? Yes, soon"),
    ("Is it? Yes", "Is it? No"),
]
found = []
for chosen, rejected in PAIRS:
    found.append(tuple(extract_prompt({"chosen": chosen, "rejected": rejected}).values()))
    print(found[-1])
expected = [
    ("Capital? Pa", "ris", "mplona"),
    ("Is it? Ye", "s", "s, soon"),
    ("Is it?", " Yes", " No"),
]
if found != expected:
    sys.exit("The behavior changed.")
print("As described.")
PYTHON
