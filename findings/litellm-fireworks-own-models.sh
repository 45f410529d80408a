#!/usr/bin/env bash
# Version: litellm 1.110.2, with the price list that comes with it.
# Expected: the price of a model that is in no price list (somebody's own tuned model) is an error,
# as it is for Together, Replicate and Azure.
# Seen: on Fireworks the price is guessed from digits in the name that its owner chose. Without
# digits it is 0 dollars, in silence; "1.5b" is read as 5 billion parameters and costs twice "0p6b".
# Why it matters: a cost comparison between prompting a base model and one's tuned model says that
# the tuned model is free.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile litellm==1.110.2
export LITELLM_LOCAL_MODEL_COST_MAP=True
venv/bin/python -W ignore - 2>/dev/null <<'PYTHON'
import sys

import litellm

litellm.suppress_debug_info = True


def read_price(model: str) -> float | str:
    """USD for a million tokens read, or the name of the error."""
    try:
        usd = litellm.cost_per_token(model=model, prompt_tokens=1_000_000, completion_tokens=0)[0]
    except Exception as error:
        return type(error).__name__
    return round(usd, 4)


expected = {
    "fireworks_ai/accounts/acme/models/tickets": 0.0,
    "fireworks_ai/accounts/acme/models/tickets-70b": 0.9,
    "fireworks_ai/accounts/acme/models/tickets-0p6b": 0.1,
    "fireworks_ai/accounts/acme/models/tickets-1.5b": 0.2,
    "fireworks_ai/accounts/acme/models/round-4b-of-llama-70b": 0.1,
    "together_ai/acme/tickets": "ModelNotMappedError",
}
seen = {model: read_price(model) for model in expected}
for model, price in seen.items():
    print(f"{model}: {price}")
if seen != expected:
    sys.exit("The behavior changed.")
print("As described.")
PYTHON
