"""Save a training run as tensors and plain numbers; restore it bit by bit (docs/decisions/051).

Saved is everything that the next step depends on: the trained weights, the optimizer's moments, the
random state (dropout), the progress, the memory plan (another micro-batch size rounds differently)
and the record of the best adapter. The position in the data is the step count, because the order of
the examples follows from the seed alone.
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
OPTIMIZER_STATES_PER_WEIGHT = 2  # AdamW stores two moments for each weight


@dataclass(frozen=True)
class CheckpointConfig:
    """Where checkpoints are stored, and the one to resume from.

    `journal` is called at each save and must return the state of the files that grow during
    training, after syncing them to disk. It comes back in `LoadedCheckpoint.state["journal"]`, so
    that their owner can truncate them before resuming.
    """

    checkpoints: Checkpoints
    journal: Callable[[], Mapping[str, Any]] = dict
    resume_from: LoadedCheckpoint | None = None


def build_numerics_key(loaded: LoadedModel) -> dict[str, str]:
    """What determines rounding in this process; a resumed run compares it."""
    return {
        "torch": torch.__version__,
        "threads": str(torch.get_num_threads()),
        "processor": torch.backends.cpu.get_cpu_capability() + (" bf16" if has_bfloat16_matmul(CPU) else ""),
        "device": torch.cuda.get_device_name(loaded.device) if loaded.device.type == "cuda" else "cpu",
        "dtype": str(loaded.dtype).removeprefix("torch."),
    }


class Checkpointer:
    """Saves a training every `minutes` and restores it; does nothing without a config."""

    def __init__(self, config: CheckpointConfig | None, minutes: float) -> None:
        self.config, self.minutes = config, minutes
        self.last_saved_seconds = 0.0
        self.saved_progress: tuple[int, int] | None = None

    def restore_or_start(self, training: "Trainer") -> bool:
        """Check the disk space and restore the given checkpoint; True if there was one.

        Errors: `DiskFull`; `RunError` when the checkpoint belongs to another training.
        """
        if self.config is None:
            return False
        self.config.checkpoints.remove_temporaries()
        self.config.checkpoints.check_disk_space(
            estimate_bytes({"weights": training.weights}) * (1 + OPTIMIZER_STATES_PER_WEIGHT)
        )
        if saved := self.config.resume_from:
            restore_tensors(saved, training.weights, training.optimizer, training.loaded.device)
            # The model may compute with copies of the weights in another dtype (full fine-tuning in
            # bfloat16).
            training.trainable.sync_to_model()
            training.reference = dict(saved.groups.get("reference", {}))
            training.progress.restore(saved.state["progress"])
            training.training_step.set_plan(MemoryPlan.model_validate(saved.state["plan"]))
            training.best.restore(saved.state["best"], training.progress.step)
            self._record_save(training)
        return self.config.resume_from is not None

    def maybe_save(self, training: "Trainer") -> None:
        """Save if the interval between checkpoints has passed."""
        if training.progress.seconds - self.last_saved_seconds >= self.minutes * 60:
            self.save(training)

    def save(self, training: "Trainer") -> None:
        """Save now, unless nothing has changed since the last save.

        Errors: as `Checkpoints.save`.
        """
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
    """A checkpoint's tensors by file: weights, optimizer (`moment/weight name`), random."""
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
    """Copy the saved tensors back.

    Errors: `RunError` when one is missing or has another shape or dtype.
    """
    _check_tensors(saved, weights)
    with torch.no_grad():
        for name, weight in weights.items():
            weight.copy_(saved.groups["weights"][name])
    for key, value in saved.groups["optimizer"].items():
        kind, _, name = key.partition("/")
        weight = weights[name]
        # AdamW's step count stays on the CPU, except for the fused optimizer, which needs it on the
        # weight's device.
        is_moment = value.shape == weight.shape
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
