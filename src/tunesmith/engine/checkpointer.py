"""When a training is saved, and where it resumes: a `TrainerState` to a checkpoint and back.

The tensors of its state dict become the files of the checkpoint; its numbers and words stand in
`checkpoint.json`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from tunesmith.engine.checkpoint import Checkpoints, LoadedCheckpoint, estimate_bytes
from tunesmith.engine.model_loading import LoadedModel, has_bfloat16_matmul
from tunesmith.engine.optimizer import count_values_per_weight
from tunesmith.engine.trainer_state import TENSOR_GROUPS, TrainerState

CPU = torch.device("cpu")


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
        "processor": (
            torch.backends.cpu.get_cpu_capability() + (" bf16" if has_bfloat16_matmul(CPU) else "")
        ),
        "device": (
            torch.cuda.get_device_name(loaded.device) if loaded.device.type == "cuda" else "cpu"
        ),
        "dtype": str(loaded.dtype).removeprefix("torch."),
    }


class Checkpointer:
    """Saves a training every `minutes` and restores it; does nothing without a config."""

    def __init__(self, config: CheckpointConfig | None, minutes: float) -> None:
        self.config, self.minutes = config, minutes
        self.last_saved_seconds = 0.0
        self.saved_progress: tuple[int, int] | None = None

    def restore_or_start(self, state: TrainerState) -> bool:
        """Check the disk space and restore the given checkpoint; True if there was one.

        Errors: `DiskFull`; `RunError` when the checkpoint belongs to another training.
        """
        if self.config is None:
            return False
        self.config.checkpoints.remove_temporaries()
        stored = count_values_per_weight(state.optimizer_name, state.weights.values())
        self.config.checkpoints.check_disk_space(
            int(estimate_bytes({"weights": state.weights}) * (1 + stored))
        )
        if saved := self.config.resume_from:
            state.load_state_dict({**saved.state, **saved.groups})
            self._record_save(state)
        return self.config.resume_from is not None

    def maybe_save(self, state: TrainerState) -> None:
        """Save if the interval between checkpoints has passed."""
        if state.progress.seconds - self.last_saved_seconds >= self.minutes * 60:
            self.save(state)

    def save(self, state: TrainerState) -> None:
        """Save now, unless nothing has changed since the last save.

        Errors: as `Checkpoints.save`.
        """
        if self.config is None or self.saved_progress == (
            state.progress.step,
            state.progress.validations,
        ):
            return
        values = state.state_dict()
        tensors = {name: values.pop(name) for name in TENSOR_GROUPS if name in values}
        values["journal"] = self.config.journal()
        self.config.checkpoints.save(state.progress.step, values, tensors)
        self._record_save(state)

    def _record_save(self, state: TrainerState) -> None:
        self.last_saved_seconds = state.progress.seconds
        self.saved_progress = state.progress.step, state.progress.validations
