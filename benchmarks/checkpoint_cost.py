"""Seconds and bytes of saving and of verifying a checkpoint: LoRA and full fine-tuning of
SmolLM2-135M, by size alone.

python benchmarks/checkpoint_cost.py [FOLDER]
    the folder says which disk (default: the temporary folder)
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor

from tunesmith.engine.checkpoint import Checkpoints, estimate_bytes

TIMES = 5
WEIGHTS = {"LoRA, rank 16, all linear layers": 4_884_480, "full": 134_515_008}
TENSORS = 272


def groups_of(weights: int) -> dict[str, dict[str, Tensor]]:
    """Weights and two moments of about so many numbers in as many tensors as the model has."""
    each = {f"layer.{i}": torch.randn(weights // TENSORS) for i in range(TENSORS)}
    moments = {
        f"{kind}/{name}": torch.randn_like(value)
        for kind in ("mean", "square")
        for name, value in each.items()
    }
    return {"weights": each, "optimizer": moments, "random": {"cpu": torch.get_rng_state()}}


def main() -> None:
    """Print the medians."""
    for name, weights in WEIGHTS.items():
        groups = groups_of(weights)
        saving, reading = [], []
        with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as folder:
            checkpoints = Checkpoints(Path(folder) / "checkpoints")
            for step in range(TIMES):
                began = time.perf_counter()
                checkpoints.save(step, {}, groups)
                saving.append(time.perf_counter() - began)
                began = time.perf_counter()
                checkpoints.load_latest()
                reading.append(time.perf_counter() - began)
        size = f"{estimate_bytes(groups) / 1e6:,.0f} MB"
        print(
            f"{name}: {size}, save {statistics.median(saving):.2f} s, verify"
            f" {statistics.median(reading):.2f} s"
        )


if __name__ == "__main__":
    main()
