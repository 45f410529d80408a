"""Greedy answers by transformers.generate: `python generate.py JOB.json` prints one JSON object as
its last line.

Prompts go in sorted by length, so little is padded (on the left, as it must be). Loading and one
warm-up batch are not counted. Runs in the peers' virtual environment: nothing of tunesmith is
imported here.
"""

import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from train import load_model, peak_memory_bytes
from transformers import GenerationConfig


def main() -> None:
    warnings.filterwarnings("ignore")
    job = json.loads(Path(sys.argv[1]).read_text())
    model = load_model(job).eval().to("cuda" if torch.cuda.is_available() else "cpu")
    prompts = json.loads(Path(job["data"]).read_text())
    order = sorted(range(len(prompts)), key=lambda p: -len(prompts[p]))
    cuts = range(0, len(order), job["batch_size"])
    batches = [order[begin : begin + job["batch_size"]] for begin in cuts]
    settings = GenerationConfig(
        do_sample=False,
        max_new_tokens=job["max_new_tokens"],
        eos_token_id=job["stop_ids"],
        pad_token_id=job["stop_ids"][0],
        use_cache=True,
    )
    answer(model, [prompts[p] for p in batches[-1][:8]], settings)
    began, began_cpu = time.perf_counter(), time.process_time()
    answers: dict[int, list[int]] = {}
    for batch in batches:
        answers |= zip(batch, answer(model, [prompts[p] for p in batch], settings), strict=True)
    report = {
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - began_cpu,
        "answers": [answers[p] for p in range(len(prompts))],
        "peak_memory_bytes": peak_memory_bytes(),
    }
    print(json.dumps(report))


@torch.inference_mode()
def answer(model: Any, prompts: list[list[int]], settings: GenerationConfig) -> list[list[int]]:
    """New tokens of each prompt, up to its stop token."""
    longest = max(map(len, prompts))
    tokens = torch.tensor(
        [[settings.pad_token_id] * (longest - len(p)) + p for p in prompts], device=model.device
    )
    mask = torch.tensor(
        [[0] * (longest - len(p)) + [1] * len(p) for p in prompts], device=model.device
    )
    new = model.generate(input_ids=tokens, attention_mask=mask, generation_config=settings)[
        :, longest:
    ].tolist()
    ends = [
        next((t for t, token in enumerate(row) if token in settings.eos_token_id), len(row))
        for row in new
    ]
    return [row[:end] for row, end in zip(new, ends, strict=True)]


if __name__ == "__main__":
    main()
