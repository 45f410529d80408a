#!/usr/bin/env bash
# Version: lm-eval 0.4.13.
# Expected: a metric called exact match does not take 15 for 1.5, nor 5 for -5.
# Seen: with `ignore_punctuation`, which many of its own tasks set (mgsm, school mathematics,
# among them), the decimal point and the minus sign go too, and both are full matches.
# Why it matters: in tasks with numbers as answers a wrong sign or a factor of ten is right; a
# task file that is copied for one's own data brings the setting along.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile lm-eval==0.4.13
venv/bin/python -W ignore - <<'PYTHON'
import sys

from lm_eval.api.metrics import exact_match_hf_evaluate

PAIRS = [("15", "1.5"), ("5", "-5"), ("6", "5")]
found = []
for answer, expected in PAIRS:
    scores = [
        float(
            exact_match_hf_evaluate([answer], [expected], ignore_punctuation=ignored)["exact_match"]
        )
        for ignored in (True, False)
    ]
    found.append(scores)
    print(
        f"answer {answer}, expected {expected}: ignoring punctuation {scores[0]}, else {scores[1]}"
    )
if found != [[1.0, 0.0], [1.0, 0.0], [0.0, 0.0]]:
    sys.exit("The behavior changed.")
print("As described.")
PYTHON
