"""A training as named tensors and plain numbers, and back, bit by bit.

Everything that the next step depends on: the trained weights, the optimizer's moments, the random state (dropout), how
far the training is, how many rows fit into memory (another cut of a batch rounds differently), the best adapter so far.
The position in the data is the step count, because the order of the examples comes from the seed alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from tunesmith.engine.checkpoint import Checkpoints, LoadedCheckpoint, TensorGroups, estimate_bytes
from tunesmith.engine.model_loading import LoadedModel, has_bfloat16_matmul
from tunesmith.errors import RunError
from tunesmith.records import MemoryPlan

if TYPE_CHECKING:
    from tunesmith.engine.trainer import Trainer

CPU = torch.device("cpu")
OPTIMIZER_STATES_PER_WEIGHT = 2  # AdamW keeps two numbers for each weight


@dataclass(frozen=True)
class CheckpointConfig:
    """Where checkpoints go, and the one to go on from.

    `journal` is asked at each save for the state of the files that grow with the training, all of it on the disk;
    it comes back in `Saved.state["journal"]`, so that whoever keeps those files can cut them to it before going on.
    """

    checkpoints: Checkpoints
    journal: Callable[[], Mapping[str, Any]] = dict
    resume_from: LoadedCheckpoint | None = None


def build_numerics_key(loaded: LoadedModel) -> dict[str, str]:
    """What of this process decides how sums are rounded."""
    return {
        "torch": torch.__version__,
        "threads": str(torch.get_num_threads()),
        "processor": torch.backends.cpu.get_cpu_capability() + (" bf16" if has_bfloat16_matmul(CPU) else ""),
        "device": torch.cuda.get_device_name(loaded.device) if loaded.device.type == "cuda" else "cpu",
        "dtype": str(loaded.dtype).removeprefix("torch."),
    }


class Checkpointer:
    """Saves a training now and then, and puts it back. Without safekeeping it does nothing."""

    def __init__(self, config: CheckpointConfig | None, minutes: float) -> None:
        self.config, self.minutes = config, minutes
        self.last_saved_seconds = 0.0
        self.saved_progress: tuple[int, int] | None = None

    def restore_or_start(self, training: "Trainer") -> bool:
        """Before the first step: is there room for checkpoints; put back the one that was given, True if there was one.

        Errors: `DiskFull`, `RunError` when the checkpoint is of another training.
        """
        if self.config is None:
            return False
        self.config.checkpoints.remove_temporaries()
        self.config.checkpoints.check_disk_space(
            estimate_bytes({"weights": training.weights}) * (1 + OPTIMIZER_STATES_PER_WEIGHT)
        )
        if saved := self.config.resume_from:
            restore_tensors(saved, training.weights, training.optimizer, training.loaded.device)
            training.trainable.sync_to_model()
            training.reference = dict(saved.groups.get("reference", {}))
            training.progress.restore(saved.state["progress"])
            training.training_step.set_plan(MemoryPlan.model_validate(saved.state["plan"]))
            training.best.restore(saved.state["best"], training.progress.step)
            self._record_save(training)
        return self.config.resume_from is not None

    def maybe_save(self, training: "Trainer") -> None:
        """Save when the time between checkpoints has passed."""
        if training.progress.seconds - self.last_saved_seconds >= self.minutes * 60:
            self.save(training)

    def save(self, training: "Trainer") -> None:
        """Save now, unless nothing has changed. Errors: as `Checkpoints.save`."""
        if self.config is None or self.saved_progress == (training.progress.step, training.progress.looks):
            return
        state = {
            "progress": training.progress.as_state(),
            "plan": training.training_step.plan.model_dump(),
            "best": training.best.as_state(),
            "journal": self.config.journal(),
        }
        tensors = dict(collect_tensors(training.weights, training.optimizer, training.loaded.device))
        if training.reference:
            tensors["reference"] = training.reference
        self.config.checkpoints.save(training.progress.step, state, tensors)
        self._record_save(training)

    def _record_save(self, training: "Trainer") -> None:
        self.last_saved_seconds = training.progress.seconds
        self.saved_progress = training.progress.step, training.progress.looks


def collect_tensors(
    weights: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer, device: torch.device
) -> TensorGroups:
    """The three files of a checkpoint: weights, optimizer, random."""
    moments = {
        f"{kind}/{name}": value
        for name, weight in weights.items()
        for kind, value in optimizer.state.get(weight, {}).items()
    }
    random = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        random["cuda"] = torch.cuda.get_rng_state(device)
    return {"weights": dict(weights), "optimizer": moments, "random": random}


def restore_tensors(
    saved: LoadedCheckpoint, weights: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer, device: torch.device
) -> None:
    """Put them back. Errors: `RunError` when a tensor is missing, or has another shape or dtype than the model's."""
    _check_tensors(saved, weights)
    with torch.no_grad():
        for name, weight in weights.items():
            weight.copy_(saved.groups["weights"][name])
    for key, value in saved.groups["optimizer"].items():
        kind, _, name = key.partition("/")
        weight = weights[name]
        is_moment = value.shape == weight.shape  # a step count stays where it was, but the fused optimizer has it along
        where = weight.device if is_moment or optimizer.defaults["fused"] else value.device
        optimizer.state[weight][kind] = value.to(where, copy=True)
    torch.set_rng_state(saved.groups["random"]["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(saved.groups["random"]["cuda"], device)


def _check_tensors(saved: LoadedCheckpoint, weights: Mapping[str, nn.Parameter]) -> None:
    there = {name: (tensor.shape, tensor.dtype) for name, tensor in saved.groups["weights"].items()}
    here = {name: (weight.shape, weight.dtype) for name, weight in weights.items()}
    odd = [name for name in sorted(there.keys() | here.keys()) if there.get(name) != here.get(name)]
    for key, moment in saved.groups["optimizer"].items():
        weight = weights.get(key.partition("/")[2])
        if weight is None or (moment.ndim and moment.shape != weight.shape):
            odd.append(key)
    if odd:
        raise RunError(
            "checkpoint-misfit", "This checkpoint is not of this training.", where=f"step {saved.step}",
            found=f"{len(odd):,} tensors differ, first {odd[0]!r}", do="go on with its own recipe and model",
        )  # fmt: skip
