#!/usr/bin/env bash
# Version: bm25s 0.3.16.
# Expected: a question that shares no word with any text finds nothing; equal scores keep the
# order of the texts.
# Seen: `retrieve` always gives k texts. Without a word in common these are the last ones of the
# collection, the last one first, with score 0; texts with equal scores also come from the end.
# Why it matters: in retrieval the model is handed unrelated texts as if they had been found, and
# a hit rate at k measured on a small collection, or one with duplicates, depends on the order in
# which the texts were indexed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile bm25s==0.3.16 numpy==2.4.6
venv/bin/python -W ignore - <<'PYTHON'
import sys

import bm25s

TEXTS = [
    "Reset your password",
    "Ask for a refund",
    "Shipping takes five days",
    "Reset your password",
]


def tokens(texts: list[str]) -> object:
    return bm25s.tokenize(texts, show_progress=False)


index = bm25s.BM25()
index.index(tokens(TEXTS), show_progress=False)
found = {}
for question in ("zebra", "password"):
    positions, scores = index.retrieve(tokens([question]), k=2, show_progress=False)
    found[question] = (positions[0].tolist(), [round(float(score), 2) for score in scores[0]])
    print(question, "finds texts", found[question][0], "with scores", found[question][1])
positions, scores = zip(*found.values(), strict=True)
if positions != ([3, 2], [3, 0]) or scores[0] != [0.0, 0.0] or scores[1][0] != scores[1][1]:
    sys.exit("The behavior changed.")
print("As described.")
PYTHON
