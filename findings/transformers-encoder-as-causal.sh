#!/usr/bin/env bash
# Version: transformers 5.23.0 with torch 2.13.0.
# Expected: `AutoModelForCausalLM.from_pretrained` gives a model in which a token depends on those
# before it, or raises.
# Seen: a folder with a masked BERT is loaded; what it logs is a hint about `is_decoder`. Its
# logits at the first token change when the last token does: it sees the answer that it is to
# predict.
# Why it matters: fine-tuned this way the loss goes to nearly nothing, because each next token can
# be read off, and what it then generates is nonsense. A loss curve does not show it.
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
from transformers import AutoModelForCausalLM, BertConfig, BertForMaskedLM

torch.manual_seed(0)
BertForMaskedLM(
    BertConfig(
        vocab_size=32,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        initializer_range=0.5,
    )
).save_pretrained("bert")
model = AutoModelForCausalLM.from_pretrained("bert").eval()
with torch.no_grad():
    first, second = model(torch.tensor([[5, 6, 7, 8], [5, 6, 7, 20]])).logits
change = float((first[0] - second[0]).abs().max())
print(f"{type(model).__name__}: the last token moves the logits of the first by {change:.3f}")
if change < 0.01:
    sys.exit("The behavior changed.")
print("As described.")
PYTHON
