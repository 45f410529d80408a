#!/usr/bin/env bash
# Version: jsonschema 4.26.0, checked with llguidance 1.9.1.
# Expected: amounts with two decimals fit `{"multipleOf": 0.01}`, and two tools read the same
# schema in the same way.
# Seen: jsonschema divides binary fractions and refuses 159 of the 999 amounts from 0.01 to 9.99,
# among them 0.07, 0.14 and 0.29. llguidance computes in decimals and lets each of them be
# written.
# Why it matters: answers generated under the schema are valid by construction, and one in six is
# then counted as invalid by the check, for the same schema.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile jsonschema==4.26.0 llguidance==1.9.1 numpy==2.4.6
venv/bin/python -W ignore - <<'PYTHON'
import json
import sys

from jsonschema import Draft202012Validator
from llguidance import LLMatcher, LLTokenizer

SCHEMA = {"type": "number", "multipleOf": 0.01}
validator = Draft202012Validator(SCHEMA)
tokenizer = LLTokenizer("byte")
grammar = LLMatcher.grammar_from_json_schema(SCHEMA)


def can_be_written(text: str) -> bool:
    matcher = LLMatcher(tokenizer, grammar)
    return matcher.consume_tokens(tokenizer.tokenize_str(text)) and matcher.is_accepting()


amounts = [f"{cents / 100:.2f}" for cents in range(1, 1000)]
refused = [amount for amount in amounts if not validator.is_valid(json.loads(amount))]
written = [amount for amount in amounts if can_be_written(amount)]
print(f"jsonschema refuses {len(refused)} of {len(amounts)} amounts: {', '.join(refused[:5])} ...")
print(f"llguidance writes {len(written)} of them")
if len(refused) != 159 or len(written) != 999:
    sys.exit("The behavior changed.")
print("As described.")
PYTHON
