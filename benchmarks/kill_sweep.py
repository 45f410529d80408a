"""Kill a training at every kind of byte of its saves and between all their steps; resume; compare
every bit.

    python benchmarks/kill_sweep.py                 every point (more than a thousand; minutes)
    python benchmarks/kill_sweep.py --bytes 150
        every step of the program, and so many bytes (the tests do this)

A clean run is traced first: which failpoints it passes how often, and where in its saves each piece
of a file begins and ends (length, header, every tensor, the manifest). Then for each point a fork
trains from the beginning and is killed there by SIGKILL, and another goes on from what lies on the
disk. Fails unless, for every point, each visible checkpoint was whole, at most one step had to be
done again, and the end is that of the run never killed: adapter, weights, optimizer, random state
and lines, bit by bit. The model is tiny and random; nothing is fetched.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["CUDA_VISIBLE_DEVICES"] = ""  # a fork cannot use a device that its parent has opened

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tunesmith import failpoints
from tunesmith.atomic_io import compute_sha256
from tunesmith.engine.adapter_training import train_adapter
from tunesmith.engine.checkpoint import (
    MANIFEST_FILE,
    Checkpoints,
    DamagedCheckpoint,
    read_checkpoint,
)
from tunesmith.engine.checkpointer import CheckpointConfig
from tunesmith.engine.model_loading import LoadedModel
from tunesmith.records import AdapterRecipe, Recipe, TokenArrays, TrainingRecipe
from tunesmith.runs.run_folder import RunFolder
from tunesmith.testing.resolved_recipes import resolve_test_recipe

CLOCKS = ("seconds", "step_seconds", "last_validation_seconds", "validation_seconds")


def tiny_model() -> LoadedModel:
    """A Llama of one layer that has learned nothing."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=32,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=64,
        tie_word_embeddings=True,
        initializer_range=0.2,
        attn_implementation="sdpa",
    )
    model = LlamaForCausalLM(config).requires_grad_(False).eval()
    return LoadedModel(
        model, torch.device("cpu"), torch.float32, 64, sum(p.numel() for p in model.parameters())
    )


def some_arrays(examples: int = 10) -> TokenArrays:
    """Sequences that begin alike and differ in length."""
    dice = np.random.default_rng(0)
    rows = [
        np.concatenate([[1, 3, 4, 5], dice.integers(6, 32, dice.integers(3, 9))])
        for _ in range(examples)
    ]
    weights = [(np.arange(len(row)) >= 5).astype(np.float32) for row in rows]
    starts_S1 = np.cumsum([0, *map(len, rows)]).astype(np.int64)
    return TokenArrays(np.concatenate(rows).astype(np.int32), np.concatenate(weights), starts_S1)


def some_recipe() -> Recipe:
    """Six steps in two epochs, one or two micro-batches each, dropout, a checkpoint after every
    step, three looks.

    The rate is so high that the second look is the best one: what was kept of it must survive until
    the end.
    """
    training = TrainingRecipe(
        learning_rate=0.1,
        lr_scheduler="constant",
        epochs=2.0,
        batch_size=4,
        micro_batch_size=2,
        num_evals=3,
        checkpoint_minutes=0.0,
    )
    return Recipe(adapter=AdapterRecipe(rank=2, alpha=4, dropout=0.1), training=training)


def train(loaded: LoadedModel, place: Path) -> None:
    """Begin, or go on from what lies there, as `workflow/resume.py` does."""
    folder = RunFolder(place)
    folder.remove_temporaries()
    checkpoints = Checkpoints(folder.checkpoints)
    saved = checkpoints.load_latest()
    folder.rewind(saved.state["journal"] if saved else {})
    arrays = some_arrays()
    train_adapter(
        loaded,
        arrays,
        arrays,
        resolve_test_recipe(some_recipe()),
        adapter_folder=folder.adapter,
        on_line=folder.append_metric,
        checkpointing=CheckpointConfig(checkpoints, folder.record_journal, saved),
    )


def in_a_fork(work: Callable[[], None]) -> int:
    """Do it in a process of its own; its exit status as `os.waitstatus_to_exitcode` has it."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def trace(loaded: LoadedModel, place: Path) -> list[str]:
    """Train without a fault; return every point at which a kill is worth a try, as `POINT:NTH`."""

    def work() -> None:
        hits: Counter[str] = Counter()
        written: Counter[str] = Counter()
        points: list[str] = []
        write = failpoints.write_bytes

        def traced_hit(point: str, path: Path | None = None) -> None:
            hits[point] += 1
            points.append(f"{point}:{hits[point]}")

        def traced_write(point: str, file: Any, data: bytes | memoryview) -> None:
            begin, end = written[point], written[point] + len(data)
            written[point] = end
            points.extend(
                f"{point}:{byte + 1}"
                for byte in sorted({begin, begin + 1, (begin + end) // 2, end - 1})
            )
            write(point, file, data)

        failpoints.hit, failpoints.write_bytes = traced_hit, traced_write  # type: ignore[assignment]
        train(loaded, place)
        (place / "points.json").write_text(json.dumps(points))

    assert in_a_fork(work) == 0
    return list(dict.fromkeys(json.loads((place / "points.json").read_text())))


def outcome(place: Path) -> dict[str, Any]:
    """Everything that must be equal, without what a clock said."""
    folder = RunFolder(place)
    saved = Checkpoints(folder.checkpoints).load_latest()
    assert saved is not None and not saved.skipped_damaged
    last = max(folder.checkpoints.iterdir())
    kept = {
        path.name: compute_sha256(path) for path in last.iterdir() if path.name != MANIFEST_FILE
    }
    progress = {key: value for key, value in saved.state["progress"].items() if key not in CLOCKS}
    lines = [line.model_dump(exclude={"seconds"}) for line in folder.read_metrics().records]
    for line in lines:
        line["loss"] = float(line["loss"]).hex()
    adapter = {path.name: compute_sha256(path) for path in folder.adapter.iterdir()}
    return {
        "step": saved.step,
        "files": kept,
        "adapter": adapter,
        "progress": progress,
        "lines": lines,
    }


def problem_at(point: str, loaded: LoadedModel, place: Path, clean: dict[str, Any]) -> str | None:
    """Kill there, look at what is left, go on, compare; what is wrong in one sentence."""
    place.mkdir()

    def victim() -> None:
        failpoints.arm(f"{point}:kill9")
        train(loaded, place)

    if (status := in_a_fork(victim)) != -signal.SIGKILL:
        return f"was not killed: exit status {status}"
    folder = RunFolder(place)
    try:
        for path in folder.checkpoints.glob("step-*"):
            read_checkpoint(path)
    except DamagedCheckpoint as damage:
        return f"torn: {damage}"
    saved = Checkpoints(folder.checkpoints).load_latest()
    done = max((line.step for line in folder.read_metrics().records), default=0)
    if done - (saved.step if saved else 0) > 1:
        return f"{done} steps were done and the checkpoint is of step {saved.step if saved else 0}"
    if (status := in_a_fork(lambda: train(loaded, place))) != 0:
        return f"could not go on: exit status {status}"
    if list(folder.checkpoints.glob(".tmp-*")):
        return "left temporary files"
    found = outcome(place)
    return (
        None
        if found == clean
        else f"differs in {[key for key in clean if clean[key] != found[key]]}"
    )


def is_byte(point: str) -> bool:
    """Whether this is a byte of a file, of which there are many, and not a step of the program."""
    return point.startswith("checkpoint.write:")


def spread(points: list[str], most: int) -> list[str]:
    """At most so many of them, evenly."""
    return [points[i * len(points) // most] for i in range(most)] if most < len(points) else points


def main() -> int:
    """Sweep and tell; the exit code says whether every point held."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--bytes", type=int, help="at most so many of the bytes, spread evenly (default: all)"
    )
    most = parser.parse_args().bytes
    torch.set_num_threads(1)  # threads do not survive a fork
    loaded, began = tiny_model(), time.monotonic()
    memory = Path(
        "/dev/shm"
    )  # where syncing costs nothing; a killed process loses no more there than elsewhere
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        (root := Path(name) / "runs").mkdir()
        (root / "clean").mkdir()
        points = trace(loaded, root / "clean")
        clean = outcome(root / "clean")
        if most is not None:
            points = [point for point in points if not is_byte(point)] + spread(
                list(filter(is_byte, points)), most
            )
        failures = {}
        for number, point in enumerate(points):
            if problem := problem_at(point, loaded, root / str(number), clean):
                failures[point] = problem
                print(f"{point}: {problem}", file=sys.stderr, flush=True)
    kinds = Counter(point.rpartition(":")[0] for point in points)
    seconds = round(time.monotonic() - began, 1)
    print(
        json.dumps(
            {"points": len(points), "failures": failures, "seconds": seconds, "kinds": kinds},
            indent=2,
        )
    )
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
