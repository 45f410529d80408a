"""On a CUDA machine: a 1B-shape Llama with random weights, bf16 LoRA, QLoRA and full, against TRL
with Liger kernels.

Random weights say nothing about quality and everything about speed. The examples are those of
gsm8k. Beside what every workload has, tokens per second and the share of the bf16 matmul rate of
our side; a token counts as often as the examples hold it, for both sides alike.
"""

import shutil
from dataclasses import replace

from benchmarks.compare import TRL, Sides, loss_row, speed_and_memory
from benchmarks.flops import Shape
from benchmarks.jobs import Bench, Job, has_bf16, run_code, run_matmul
from benchmarks.results import Row, paired
from benchmarks.search import speed_of
from benchmarks.settings import best_settings
from benchmarks.share import share_of, useful_rate
from benchmarks.workloads import Training, training_arrays

LLAMA_1B = {
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "vocab_size": 128_256,
    "tie_word_embeddings": True,
    "max_position_embeddings": 8192,
}
ON_GPU = (
    Training(
        "llama-1b-lora",
        batch_size=64,
        search_batch_size=64,
        steps=10,
        kind="lora",
        learning_rate=1e-4,
    ),
    Training(
        "llama-1b-qlora",
        batch_size=64,
        search_batch_size=64,
        steps=10,
        kind="qlora",
        learning_rate=1e-4,
    ),
    Training(
        "llama-1b-full",
        batch_size=64,
        search_batch_size=64,
        steps=10,
        kind="full",
        learning_rate=1e-5,
    ),
)


def with_llama(bench: Bench) -> Bench:
    """The same bench with the random model, whose tokenizer is the embedded model's; it is made at
    the first call."""
    folder = bench.folder / "llama-1b"
    if not folder.exists():
        folder.mkdir()
        for path in (*bench.model.glob("*token*"), *bench.model.glob("*.jinja")):
            shutil.copy(path, folder)
        run_code(WRITE_MODEL, {"config": LLAMA_1B, "folder": str(folder)})
    return replace(bench, model=folder)


WRITE_MODEL = """
import json, sys, torch
from transformers import AutoModelForCausalLM, LlamaConfig
job = json.load(open(sys.argv[1]))
torch.manual_seed(0)
with torch.device("cuda"):  # on a CPU the random numbers take a minute
    model = AutoModelForCausalLM.from_config(LlamaConfig(**job["config"]), dtype=torch.bfloat16)
model.save_pretrained(job["folder"])
print("{}")
"""


def compare_on_gpu(workload: Training, bench: Bench) -> list[Row]:
    arrays = training_arrays(workload, bench.data, bench.tokenizer)
    sides, shape, rate = (
        Sides(workload, arrays, bench),
        Shape.of(bench.model),
        run_matmul()["square"],
    )
    settings: Job = best_settings(workload.name, has_bf16=has_bf16())
    ours, peer = [], []
    for _ in range(workload.repetitions):
        ours.append(sides.ours("bf16"))
        peer.append(sides.peer(settings))
    tokens_each = arrays.tokens / len(arrays.sequences)
    own, other = (
        [speed_of(report, workload.batch_size) * tokens_each for report in side]
        for side in (ours, peer)
    )
    rates = [useful_rate(workload, sides, shape, report) for report in ours]
    return [
        *speed_and_memory(workload.name, ours, peer, workload.batch_size, f"{TRL} + Liger"),
        paired(workload.name, "tokens_per_second", own, other, f"{TRL} + Liger"),
        *share_of(workload.name, rates, [rate] * len(rates)),
        loss_row(workload.name, "loss_difference", ours[-1], peer[-1]),
    ]
