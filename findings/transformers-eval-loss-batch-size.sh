#!/usr/bin/env bash
# Version: transformers 5.23.0 with torch 2.13.0.
# Expected: `eval_loss` of a causal language model is a property of the model and the examples. In
# training, `Trainer` divides by the trained tokens of all accumulated batches, so the loss does
# not depend on the batch size there.
# Seen: in evaluation each batch is averaged over its own tokens and the batches are averaged by
# examples. With short and long answers the same model has another loss for every
# `per_device_eval_batch_size`.
# Why it matters: early stopping, the choice of a checkpoint and perplexities compare such losses;
# a run with another batch size (a larger GPU) looks better or worse by more than many changes of
# a recipe achieve.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile torch==2.13.0 transformers==5.23.0 accelerate==1.15.0
export HF_HUB_OFFLINE=1 HF_HOME="$folder/hf"
venv/bin/python -W ignore - <<'PYTHON'
import sys

import torch
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

torch.set_num_threads(1)
torch.manual_seed(0)
model = LlamaForCausalLM(
    LlamaConfig(
        vocab_size=32,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        initializer_range=0.5,
    )
)
ROWS = [[3] * length if length < 9 else list(range(length)) for length in (3, 31, 4, 29)]


def collate(rows: list[list[int]]) -> dict[str, torch.Tensor]:
    longest = max(map(len, rows))
    return {
        "input_ids": torch.tensor([row + [0] * (longest - len(row)) for row in rows]),
        "attention_mask": torch.tensor(
            [[1] * len(row) + [0] * (longest - len(row)) for row in rows]
        ),
        "labels": torch.tensor([row + [-100] * (longest - len(row)) for row in rows]),
    }


losses = {}
for size in (1, 2, 4):
    arguments = TrainingArguments(
        "out",
        per_device_eval_batch_size=size,
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
    )
    losses[size] = Trainer(model, arguments, eval_dataset=ROWS, data_collator=collate).evaluate()[
        "eval_loss"
    ]
    print(f"batch size {size}: eval_loss {losses[size]:.3f}")
if abs(losses[1] - losses[4]) < 0.05:
    sys.exit("The behavior changed.")
print("As described.")
PYTHON
