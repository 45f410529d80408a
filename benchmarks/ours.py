"""One measurement of tunesmith: `python -m benchmarks.ours JOB.json` prints one JSON object as its
last line.

Only the engine's doors are used, with the defaults that a recipe gets.
"""

import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.arrays import Arrays
from tunesmith.engine.adapter_training import train_adapter
from tunesmith.engine.adapters.peft_format import write_adapter
from tunesmith.engine.batching import iterate_batches
from tunesmith.engine.generator import Generator
from tunesmith.engine.model_loading import load_model
from tunesmith.records import (
    AdapterRecipe,
    DpoRecipe,
    EvaluationRecipe,
    MetricLine,
    Recipe,
    TokenArrays,
    TrainingRecipe,
)
from tunesmith.testing.resolved_recipes import resolve_test_recipe

Job = dict[str, Any]


DTYPES = {"auto": "auto", "float32": "float32", "bf16": "bfloat16"}
"""The peer's word for a number format -> the recipe's."""


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    report = generate(job) if job["method"] == "generate" else train(job)
    print(json.dumps({**report, "peak_memory_bytes": peak_memory_bytes()}))


def train(job: Job) -> dict[str, Any]:
    """Seconds and loss of each step. What stands before the first step (memory plan, base model's
    loss) is told apart; the reference of DPO is part of the cost, and counted with all that stood
    before it."""
    loaded = load_model(job["model"], DTYPES[job["precision"]], four_bits=job["kind"] == "qlora")
    given = Arrays.read(Path(job["data"]))
    arrays = token_arrays(given, job["method"])
    clock = Clock(job["save_initial"], loaded.model)
    with tempfile.TemporaryDirectory() as folder:
        train_adapter(
            loaded,
            arrays,
            token_arrays(given.first(2), job["method"]),
            resolve_test_recipe(recipe_of(job)),
            adapter_folder=Path(folder),
            on_line=clock,
            on_progress=clock.tell,
        )
    order = next(
        iterate_batches(len(arrays), len(arrays), job["seed"])
    )  # one epoch: all its steps end to end
    return {
        "seconds": clock.seconds,
        "cpu_seconds": clock.cpu_seconds,
        "losses": clock.losses,
        "digest": given.digest(),
        "order": order,
        "reference_seconds": clock.reference_seconds,
        "reference_cpu_seconds": clock.reference_cpu_seconds,
        "before_first_step_seconds": clock.before_seconds,
    }


class Clock:
    """Seconds of each step, from the metric line before it; `cpu_seconds` are those of all
    threads."""

    def __init__(self, save_initial: str | None, model: Any) -> None:
        self.save_initial, self.model = save_initial, model
        self.seconds: list[float] = []
        self.cpu_seconds: list[float] = []
        self.losses: list[float] = []
        self.began = self.last = time.perf_counter()
        self.began_cpu = self.last_cpu = time.process_time()
        self.reference_seconds = self.reference_cpu_seconds = self.before_seconds = 0.0

    def tell(self, what: str, done: int, of: int) -> None:
        self.reference_seconds = time.perf_counter() - self.began
        self.reference_cpu_seconds = time.process_time() - self.began_cpu

    def __call__(self, line: MetricLine) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now, cpu = time.perf_counter(), time.process_time()
        if line.kind == "step":
            self.seconds.append(now - self.last)
            self.cpu_seconds.append(cpu - self.last_cpu)
            self.losses.append(line.loss or 0.0)
        elif line.step == 0:
            self.before_seconds = now - self.began
            if self.save_initial:  # the peer begins with the same weights
                write_adapter(self.model, Path(self.save_initial), "benchmark")
        self.last, self.last_cpu = time.perf_counter(), time.process_time()


def recipe_of(job: Job) -> Recipe:
    adapter = AdapterRecipe(kind="full")
    if job["kind"] != "full":
        adapter = AdapterRecipe(
            rank=job["rank"], alpha=job["alpha"], load_in_4bit=job["kind"] == "qlora"
        )
    return Recipe(
        method=job["method"],
        seed=job["seed"],
        adapter=adapter,
        dpo=DpoRecipe(beta=job["beta"]),
        training=TrainingRecipe(
            learning_rate=job["learning_rate"],
            batch_size=job["batch_size"],
            epochs=1,
            warmup_ratio=0,
            lr_scheduler="constant",
            num_evals=1,
            dtype=DTYPES[job["precision"]],
        ),
    )


def token_arrays(given: Arrays, method: str) -> TokenArrays:
    tokens, weights, starts = given.joined()
    return TokenArrays(tokens, weights, starts, sequences_per_example=2 if method == "dpo" else 1)


def generate(job: Job) -> dict[str, Any]:
    """Seconds of all answers; loading and one warm-up batch are not counted."""
    generator = Generator(
        load_model(job["model"], DTYPES[job["precision"]]), EvaluationRecipe().batch_size
    )
    prompts, stop_ids = json.loads(Path(job["data"]).read_text()), set(job["stop_ids"])
    generator.generate(prompts[:8], job["max_new_tokens"], stop_ids)
    began, began_cpu = time.perf_counter(), time.process_time()
    answers = generator.generate(prompts, job["max_new_tokens"], stop_ids)
    return {
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - began_cpu,
        "answers": [answer.tokens for answer in answers],
    }


def peak_memory_bytes() -> int:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
