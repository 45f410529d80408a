#!/usr/bin/env bash
# Version: peft 0.21.2 with torch 2.13.0 and transformers 5.23.0.
# Expected: `add_weighted_adapter(..., combination_type="linear")` with weights 0.5 and 0.5 gives
# the mean of what the two adapters add to a weight.
# Seen: A and B are mixed apart, so their product has the cross terms of two unrelated adapters:
# the result is off by as much as the mean itself. "cat" gives the mean to rounding.
# Why it matters: the mixed adapter is said to be between two trained ones and is not; the cross
# terms are noise that neither was trained with, and scores of mixtures are blamed on the tasks.
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

torch.manual_seed(0)
config = LoraConfig(r=4, target_modules=["0"], init_lora_weights=False)
model = get_peft_model(torch.nn.Sequential(torch.nn.Linear(32, 32)), config, "one")
model.add_adapter("two", config)
layer = model.base_model.model[0]
with torch.no_grad():
    mean = 0.5 * layer.get_delta_weight("one") + 0.5 * layer.get_delta_weight("two")
    off = {}
    for kind in ("linear", "cat"):
        model.add_weighted_adapter(["one", "two"], [0.5, 0.5], kind, combination_type=kind)
        off[kind] = float((layer.get_delta_weight(kind) - mean).norm() / mean.norm())
        print(f"{kind}: differs from the mean by {off[kind]:.1%} of its size")
if off["linear"] < 0.5 or off["cat"] > 1e-4:
    sys.exit("The behavior changed.")
print("As described.")
PYTHON
