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

from tunesmith.engine.checkpoint import Checkpoints, Groups, Saved, bytes_of
from tunesmith.engine.load import LoadedModel, multiplies_bfloat16
from tunesmith.errors import RunError
from tunesmith.records import MemoryPlan

if TYPE_CHECKING:
    from tunesmith.engine.loop import Training

CPU = torch.device("cpu")
MOMENTS = 2  # AdamW keeps two numbers for each weight


@dataclass(frozen=True)
class Safekeeping:
    """Where checkpoints go, and the one to go on from.

    `journal` is asked at each save for the state of the files that grow with the training, all of it on the disk;
    it comes back in `Saved.state["journal"]`, so that whoever keeps those files can cut them to it before going on.
    """

    checkpoints: Checkpoints
    journal: Callable[[], Mapping[str, Any]] = dict
    saved: Saved | None = None


def identity_of(loaded: LoadedModel) -> dict[str, str]:
    """What of this process decides how sums are rounded."""
    return {
        "torch": torch.__version__,
        "threads": str(torch.get_num_threads()),
        "processor": torch.backends.cpu.get_cpu_capability() + (" bf16" if multiplies_bfloat16(CPU) else ""),
        "device": torch.cuda.get_device_name(loaded.device) if loaded.device.type == "cuda" else "cpu",
        "dtype": str(loaded.dtype).removeprefix("torch."),
    }


class Keeper:
    """Saves a training now and then, and puts it back. Without safekeeping it does nothing."""

    def __init__(self, safekeeping: Safekeeping | None, minutes: float) -> None:
        self.safekeeping, self.minutes = safekeeping, minutes
        self.saved_at = 0.0
        self.saved_progress: tuple[int, int] | None = None

    def begin(self, training: "Training") -> bool:
        """Before the first step: is there room for checkpoints; put back the one that was given, True if there was one.

        Errors: `DiskFull`, `RunError` when the checkpoint is of another training.
        """
        if self.safekeeping is None:
            return False
        self.safekeeping.checkpoints.sweep()
        self.safekeeping.checkpoints.check_room(bytes_of({"weights": training.weights}) * (1 + MOMENTS))
        if saved := self.safekeeping.saved:
            put_tensors(saved, training.weights, training.optimizer, training.loaded.device)
            training.trained.publish()
            training.reference = dict(saved.groups.get("reference", {}))
            training.progress.restore(saved.state["progress"])
            training.stepper.follow(MemoryPlan.model_validate(saved.state["plan"]))
            training.best.restore(saved.state["best"], training.progress.step)
            self._remember(training)
        return self.safekeeping.saved is not None

    def save_if_due(self, training: "Training") -> None:
        """Save when the time between checkpoints has passed."""
        if training.progress.seconds - self.saved_at >= self.minutes * 60:
            self.save(training)

    def save(self, training: "Training") -> None:
        """Save now, unless nothing has changed. Errors: as `Checkpoints.save`."""
        if self.safekeeping is None or self.saved_progress == (training.progress.step, training.progress.looks):
            return
        state = {
            "progress": training.progress.as_state(),
            "plan": training.stepper.plan.model_dump(),
            "best": training.best.as_state(),
            "journal": self.safekeeping.journal(),
        }
        tensors = dict(take_tensors(training.weights, training.optimizer, training.loaded.device))
        if training.reference:
            tensors["reference"] = training.reference
        self.safekeeping.checkpoints.save(training.progress.step, state, tensors)
        self._remember(training)

    def _remember(self, training: "Training") -> None:
        self.saved_at = training.progress.seconds
        self.saved_progress = training.progress.step, training.progress.looks


def take_tensors(weights: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer, device: torch.device) -> Groups:
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


def put_tensors(
    saved: Saved, weights: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer, device: torch.device
) -> None:
    """Put them back. Errors: `RunError` when a tensor is missing, or has another shape or dtype than the model's."""
    _check_fit(saved, weights)
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


def _check_fit(saved: Saved, weights: Mapping[str, nn.Parameter]) -> None:
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
