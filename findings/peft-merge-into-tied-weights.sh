#!/usr/bin/env bash
# Version: peft 0.21.2 with torch 2.13.0 and transformers 5.23.0.
# Expected: `merge_and_unload` gives a model with the logits of the model with its adapter.
# Seen: with an adapter on `lm_head` of a model with tied weights, the merged values also become
# the input embeddings, which the adapter had left alone: logits change by more than 0.1. Without
# tied weights they agree to rounding. PEFT warns of complications when the adapter is made and
# when it is merged, and does it.
# Why it matters: small models (of which most are tied) are scored with the adapter and shipped
# merged; the shipped model is not the one that was scored.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile torch==2.13.0 peft==0.21.2 transformers==5.23.0
export HF_HUB_OFFLINE=1 HF_HOME="$folder/hf"
venv/bin/python -W ignore - <<'PYTHON'
import sys

import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

TOKENS = torch.arange(20).view(2, 10)


def change(is_tied: bool) -> float:
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=32,
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            initializer_range=0.2,
            tie_word_embeddings=is_tied,
        )
    )
    adapted = get_peft_model(
        model, LoraConfig(r=4, target_modules=["lm_head"], init_lora_weights=False)
    ).eval()
    with torch.no_grad():
        before = adapted(TOKENS).logits
        return float((adapted.merge_and_unload()(TOKENS).logits - before).abs().max())


tied, apart = change(True), change(False)
print(f"greatest change of a logit by merging: tied {tied:.3f}, not tied {apart:.6f}")
if tied < 0.1 or apart > 1e-4:
    sys.exit("The behavior changed.")
print("As described.")
PYTHON
