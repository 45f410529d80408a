"""One training run of TRL + PEFT: `python train.py JOB.json` prints one JSON object as its last
line.

The job names a model folder, token arrays in the order of the steps, and the settings; see
`benchmarks/jobs.py`. TRL gets the tokens as they are (input_ids and labels, or prompt, chosen and
rejected ids), so nothing is tokenised twice. It is treated kindly: the examples of a step stand
sorted by length, so little is padded; packing packs each step by itself, so that a step keeps its
examples; the reference of DPO is computed before or during the steps, whichever is faster.

Runs in the peers' virtual environment: nothing of tunesmith is imported here.
"""

import hashlib
import json
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from peft import LoraConfig, set_peft_model_state_dict
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, TrainerCallback
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer, pack_dataset

Job = dict[str, Any]
Sequence = tuple[list[int], list[int]]
"""(token ids, labels): a label is the token where it is trained, -100 elsewhere."""


def main() -> None:
    warnings.filterwarnings("ignore")
    job = json.loads(Path(sys.argv[1]).read_text())
    torch.manual_seed(job["seed"])
    trainer = dpo_trainer(job) if job["method"] == "dpo" else sft_trainer(job)
    if job["adapter"]:
        set_peft_model_state_dict(
            trainer.model, load_file(Path(job["adapter"]) / "adapter_model.safetensors")
        )
    clock = Clock()
    trainer.add_callback(clock)
    trainer.train()
    losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    report = {
        "seconds": clock.seconds,
        "cpu_seconds": clock.cpu_seconds,
        "losses": losses,
        "digest": digest(sequences_of(trainer.train_dataset)),
        "reference_seconds": getattr(trainer, "reference_seconds", 0.0),
        "reference_cpu_seconds": getattr(trainer, "reference_cpu_seconds", 0.0),
        "peak_memory_bytes": peak_memory_bytes(),
    }
    print(json.dumps(report))


class Clock(TrainerCallback):
    """Seconds of each step, from the end of the one before: data loading and bookkeeping count.

    `cpu_seconds` are those of all threads, for a machine that others use as well.
    """

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.cpu_seconds: list[float] = []

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.last, self.last_cpu = time.perf_counter(), time.process_time()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now, cpu = time.perf_counter(), time.process_time()
        self.seconds.append(now - self.last)
        self.cpu_seconds.append(cpu - self.last_cpu)
        self.last, self.last_cpu = now, cpu


def sft_trainer(job: Job) -> SFTTrainer:
    rows = [{"input_ids": tokens, "labels": labels} for tokens, labels in read_sequences(job)]
    per_step = len(rows) // job["steps"]
    steps = [
        sorted(rows[i : i + per_step], key=lambda row: -len(row["input_ids"]))
        for i in range(0, len(rows), per_step)
    ]
    pieces = per_step // job["pack"] if job["pack"] else 0
    if pieces:
        dataset = Dataset.from_list([row for step in steps for row in packed(step, pieces)])
        micro_batch, accumulate = 1, pieces
    else:
        dataset = Dataset.from_list([row for step in steps for row in step])
        micro_batch, accumulate = job["micro_batch"], per_step // job["micro_batch"]
    options = common_options(job, micro_batch, accumulate)
    config = SFTConfig(
        **options,
        max_length=1 << 20,
        packing=bool(pieces),
        packing_strategy="bfd",
        dataset_kwargs={"skip_prepare_dataset": True},
    )
    return SFTTrainer(
        load_model(job),
        config,
        train_dataset=dataset,
        processing_class=tokenizer(job),
        peft_config=lora(job),
    )


def packed(rows: list[dict[str, list[int]]], pieces: int) -> list[dict[str, list[int]]]:
    """The examples of one step in exactly this many rows, by TRL's own packing at the least length
    that does it."""
    if pieces == len(rows):
        return [
            row
            for one in rows
            for row in pack_dataset(Dataset.from_list([one]), len(one["input_ids"]), "bfd")
        ]
    total, longest = (
        sum(len(row["input_ids"]) for row in rows),
        max(len(row["input_ids"]) for row in rows),
    )
    for length in range(max(longest, -(-total // pieces)), total + 1):
        dataset = pack_dataset(Dataset.from_list(rows), length, "bfd")
        if len(dataset) <= pieces:
            break
    if len(dataset) != pieces:
        raise SystemExit(f"{len(rows)} examples do not pack into {pieces} rows")
    return list(dataset)


def dpo_trainer(job: Job) -> DPOTrainer:
    sequences = list(read_sequences(job))
    rows = []
    for (chosen, labels), (rejected, _) in zip(sequences[::2], sequences[1::2], strict=True):
        prompt = next(t for t, label in enumerate(labels) if label >= 0)
        if chosen[:prompt] != rejected[:prompt]:
            raise SystemExit("the prompts of a pair differ")
        rows.append(
            {
                "prompt_ids": chosen[:prompt],
                "chosen_ids": chosen[prompt:],
                "rejected_ids": rejected[prompt:],
            }
        )
    per_step = len(rows) // job["steps"]
    steps = [rows[i : i + per_step] for i in range(0, len(rows), per_step)]
    ordered = [
        row for step in steps for row in sorted(step, key=lambda row: -sum(map(len, row.values())))
    ]
    options = common_options(job, job["micro_batch"], per_step // job["micro_batch"])
    config = DPOConfig(
        **options,
        max_length=None,
        beta=job["beta"],
        precompute_ref_log_probs=job["reference_first"],
    )
    return TokenDPOTrainer(
        load_model(job),
        args=config,
        train_dataset=Dataset.from_list(ordered),
        processing_class=tokenizer(job),
        peft_config=lora(job),
    )


class TokenDPOTrainer(DPOTrainer):
    """DPOTrainer for examples that are tokens already; knows how long the reference took, where it
    came first."""

    reference_seconds = reference_cpu_seconds = 0.0

    def _prepare_dataset(self, dataset: Dataset, *_: Any, **__: Any) -> Dataset:
        return dataset

    def _precompute_ref_logps(self, *given: Any, **named: Any) -> Dataset:
        began, began_cpu = time.perf_counter(), time.process_time()
        dataset = super()._precompute_ref_logps(*given, **named)
        self.reference_seconds = time.perf_counter() - began
        self.reference_cpu_seconds = time.process_time() - began_cpu
        return dataset


def common_options(job: Job, micro_batch: int, accumulate: int) -> dict[str, Any]:
    return {
        "output_dir": tempfile.mkdtemp(prefix="peer-"),
        "per_device_train_batch_size": micro_batch,
        "gradient_accumulation_steps": accumulate,
        "max_steps": job["steps"],
        "learning_rate": job["learning_rate"],
        "lr_scheduler_type": "constant",
        "adam_beta1": 0.9,
        "adam_beta2": 0.95,
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "bf16": job["precision"].endswith("autocast"),
        "gradient_checkpointing": job.get("checkpointing", False),
        "torch_compile": job.get("compile", False),
        "use_liger_kernel": job.get("liger", False),
        "train_sampling_strategy": "sequential",
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": torch.cuda.is_available(),
        "use_cpu": not torch.cuda.is_available(),
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "seed": job["seed"],
    }


def load_model(job: Job) -> Any:
    """precision: float32; bf16 (weights in bf16); autocast (float32 weights, bf16 products);
    bf16-autocast (both)."""
    dtype = torch.bfloat16 if job["precision"].startswith("bf16") else torch.float32
    quantized = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    return AutoModelForCausalLM.from_pretrained(
        job["model"],
        dtype=dtype,
        attn_implementation="sdpa",
        quantization_config=quantized if job["kind"] == "qlora" else None,
    )


def lora(job: Job) -> LoraConfig | None:
    if job["kind"] == "full":
        return None
    return LoraConfig(
        r=job["rank"], lora_alpha=job["alpha"], target_modules="all-linear", task_type="CAUSAL_LM"
    )


def tokenizer(job: Job) -> Any:
    return AutoTokenizer.from_pretrained(job["model"])


def read_sequences(job: Job) -> Iterator[Sequence]:
    arrays = np.load(job["data"])
    starts = arrays["starts"]
    for begin, end in pairwise(starts):
        tokens = arrays["tokens"][begin:end].tolist()
        trained = arrays["weights"][begin:end] > 0
        yield (
            tokens,
            [
                token if is_trained else -100
                for token, is_trained in zip(tokens, trained, strict=True)
            ],
        )


def sequences_of(dataset: Dataset) -> Iterator[Sequence]:
    """What the trainer holds, sequence by sequence, packed or not."""
    for row in dataset:
        if "prompt_ids" in row:
            for answer in (row["chosen_ids"], row["rejected_ids"]):
                yield row["prompt_ids"] + answer, [-100] * len(row["prompt_ids"]) + answer
            continue
        begin = 0
        for length in row.get("seq_lengths", [len(row["input_ids"])]):
            yield row["input_ids"][begin : begin + length], row["labels"][begin : begin + length]
            begin += length


def digest(sequences: Iterable[Sequence]) -> str:
    """SHA-256 over tokens and masks, whatever their order (the same as `benchmarks/arrays.py`)."""
    each = sorted(
        hashlib.sha256(
            json.dumps([tokens, [int(label >= 0) for label in labels]]).encode()
        ).hexdigest()
        for tokens, labels in sequences
    )
    return hashlib.sha256("".join(each).encode()).hexdigest()


def peak_memory_bytes() -> int:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
