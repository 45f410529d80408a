#!/usr/bin/env bash
# Version: transformers 5.23.0 with torch 2.13.0.
# Expected: one step over 4 examples is the same with batches of 4 and with 4 accumulated batches
# of 1 (up to rounding), as it is for causal language models.
# Seen: for classifiers the gradient is 4 times as large with 4 batches accumulated, and 2 times
# with 2. `Trainer` takes it that any model whose `forward` has `**kwargs` divides by the number
# of labels, but the loss of classifiers is a mean.
# Why it matters: halving the batch to save memory doubles the step under SGD, reaches gradient
# clipping earlier under any optimizer, and the logged gradient norms cannot be compared.
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
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

torch.set_num_threads(1)
ROWS = [{"input_ids": torch.tensor([5, n, 9, n]), "labels": torch.tensor(n % 2)} for n in range(4)]
CONFIG = BertConfig(
    vocab_size=16,
    hidden_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=16,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
)


def step(batch_size: int) -> torch.Tensor:
    torch.manual_seed(0)
    model = BertForSequenceClassification(CONFIG)
    before = torch.nn.utils.parameters_to_vector(model.parameters()).detach().clone()
    arguments = TrainingArguments(
        "out",
        per_device_train_batch_size=batch_size,
        gradient_accumulation_steps=4 // batch_size,
        max_steps=1,
        optim="sgd",
        learning_rate=0.01,
        max_grad_norm=0.0,
        lr_scheduler_type="constant",
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
        save_strategy="no",
    )
    Trainer(model, arguments, train_dataset=ROWS).train()
    return torch.nn.utils.parameters_to_vector(model.parameters()).detach() - before


steps = {batch_size: step(batch_size) for batch_size in (4, 2, 1)}
ratios = {size: round(float(change.norm() / steps[4].norm()), 2) for size, change in steps.items()}
print("Length of the step, by batch size, against that of one batch of 4:", ratios)
if ratios != {4: 1.0, 2: 2.0, 1: 4.0}:
    sys.exit("The behavior changed.")
print("As described.")
PYTHON
