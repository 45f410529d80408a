#!/usr/bin/env bash
# Version: transformers 5.23.0 with torch 2.13.0.
# Expected: `attn_implementation` chooses how attention is computed, not what: logits agree up to
# rounding (1e-5).
# Seen: a Falcon with `alibi=True` (as Falcon-RW) gives other logits with sdpa than with eager, by
# over 0.05 with random weights. Without alibi they agree.
# Why it matters: a model that is trained with one and served or exported with the other
# (attention weights are only to be had with eager) is another model, though the weights are the
# same.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile torch==2.13.0 transformers==5.23.0
export HF_HUB_OFFLINE=1 HF_HOME="$folder/hf"
venv/bin/python -W ignore - <<'PYTHON'
import sys

import torch
from transformers import FalconConfig, FalconForCausalLM

torch.set_num_threads(1)
TOKENS = torch.arange(20).view(2, 10)


def difference(alibi: bool) -> float:
    logits = []
    for name in ("eager", "sdpa"):
        torch.manual_seed(0)
        config = FalconConfig(
            vocab_size=32,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            alibi=alibi,
            initializer_range=0.2,
            attn_implementation=name,
        )
        with torch.no_grad():
            logits.append(FalconForCausalLM(config).eval()(TOKENS).logits)
    return float((logits[0] - logits[1]).abs().max())


with_alibi, without = difference(True), difference(False)
print(f"greatest difference of a logit with alibi {with_alibi:.3f}, without {without:.6f}")
if with_alibi < 0.05 or without > 1e-3:
    sys.exit("The behavior changed.")
print("As described.")
PYTHON
