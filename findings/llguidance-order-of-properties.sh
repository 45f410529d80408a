#!/usr/bin/env bash
# Version: llguidance 1.9.1, checked with jsonschema 4.26.0.
# Expected: JSON that is valid by a schema can be written under it: in JSON the order of
# properties means nothing.
# Seen: properties must come in the order of the schema, and properties that it does not name only
# behind those that it does. Valid answers in another order are refused at their first key.
# Why it matters: a model fine-tuned on answers in another order than the schema's is forced away
# from what it learned at every key, and scores of training answers under the grammar are zero.
# Write the schema in the data's order.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile llguidance==1.9.1 jsonschema==4.26.0 numpy==2.4.6
venv/bin/python -W ignore - <<'PYTHON'
import json
import sys

from jsonschema import Draft202012Validator
from llguidance import LLMatcher, LLTokenizer

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "day": {"type": "string"}},
    "required": ["city", "day"],
}
ANSWERS = [
    {"city": "Bern", "day": "Monday"},
    {"city": "Bern", "day": "Monday", "note": "x"},
    {"day": "Monday", "city": "Bern"},
    {"note": "x", "city": "Bern", "day": "Monday"},
]
tokenizer = LLTokenizer("byte")
grammar = LLMatcher.grammar_from_json_schema(SCHEMA)
found = []
for answer in ANSWERS:
    matcher, tokens = LLMatcher(tokenizer, grammar), tokenizer.tokenize_str(json.dumps(answer))
    can_be_written = matcher.validate_tokens(tokens) == len(tokens)
    found.append((Draft202012Validator(SCHEMA).is_valid(answer), can_be_written))
    print(f"{json.dumps(answer)}: valid {found[-1][0]}, can be written {found[-1][1]}")
if found != [(True, True), (True, True), (True, False), (True, False)]:
    sys.exit("The behavior changed.")
print("As described.")
PYTHON
