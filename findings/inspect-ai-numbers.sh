#!/usr/bin/env bash
# Version: inspect_ai 0.3.285.
# Expected: `match(numeric=True)` compares numbers, and `exact()` compares texts as they are.
# Seen: `match(numeric=True)` keeps five significant digits, so 123457 is right where 123456 is
# expected. `exact()` takes off punctuation first, so -5 is right where 5 is expected.
# Why it matters: invoice totals, populations and results of arithmetic beyond five digits are
# scored right when they are wrong, and a score called exact accepts the wrong sign.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile inspect_ai==0.3.285
venv/bin/python -W ignore - <<'PYTHON'
import asyncio
import sys

from inspect_ai.model import ModelOutput
from inspect_ai.scorer import Scorer, Target, exact, match
from inspect_ai.solver import TaskState


def score(scorer: Scorer, answer: str, target: str) -> str:
    output = ModelOutput.from_content("mockllm/model", answer)
    state = TaskState(
        model="mockllm/model", sample_id=1, epoch=1, input="?", messages=[], output=output
    )
    return asyncio.run(scorer(state, Target(target))).value


PAIRS = [("123457", "123456"), ("-5", "5"), ("12346", "12345")]
found = []
for answer, target in PAIRS:
    numeric, as_text = (score(scorer, answer, target) for scorer in (match(numeric=True), exact()))
    found.append((numeric, as_text))
    print(f"answer {answer}, expected {target}: match(numeric=True) {numeric}, exact() {as_text}")
if found != [("C", "I"), ("I", "C"), ("I", "I")]:
    sys.exit("The behavior changed.")
print("As described.")
PYTHON
