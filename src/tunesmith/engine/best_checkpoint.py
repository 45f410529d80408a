"""The best weights so far, always complete on disk."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.atomic_io import hash_folder
from tunesmith.engine.adapters.trainable_model import TrainableModel
from tunesmith.records import compute_fingerprint


@dataclass
class BestCheckpoint:
    """Holds the weights with the highest generation score; ties, and trainings without a score, go
    by held-out loss.

    `step`: the step of the best weights, 0 while there are none. `sha256`: fingerprint of the files
    in `folder`, None until they are written.
    """

    trainable: TrainableModel
    folder: Path
    base_model: str
    revision: str | None = None
    step: int = 0
    loss: float | None = None
    score: float | None = None
    sha256: str | None = None

    def consider(self, step: int, loss: float, score: float | None) -> bool:
        """Record this step if it is the best so far; if True, the caller must call `write`."""
        is_best = self.loss is None or (score or 0.0, -loss) > (self.score or 0.0, -self.loss)
        if is_best:
            self.step, self.loss, self.score, self.sha256 = step, loss, score, None
        return is_best

    def write(self) -> None:
        """Write the model's current weights to the folder."""
        self.trainable.write(self.folder, self.base_model, self.revision)
        self.sha256 = self._hash_folder()

    def as_state(self) -> dict[str, Any]:
        """State for a checkpoint, which is written before the weights that it names as the best."""
        return {"step": self.step, "loss": self.loss, "score": self.score, "sha256": self.sha256}

    def restore(self, state: Mapping[str, Any], step: int) -> None:
        """Continue from a checkpoint of this step, whose weights are in the model.

        Files that do not match the checkpoint are from a later validation pass, which will be
        repeated.
        """
        # The best weights are those of the checkpoint itself, but the process may have died before
        # writing them.
        if state["step"] and state["step"] == step:
            self.step, self.loss, self.score = state["step"], state["loss"], state["score"]
            self.write()
        elif state["step"] and state["sha256"] == self._hash_folder():
            self.step, self.loss, self.score, self.sha256 = (
                state[k] for k in ("step", "loss", "score", "sha256")
            )

    def _hash_folder(self) -> str:
        return compute_fingerprint(hash_folder(self.folder))

    def finalize(self, step: int) -> None:
        """Leave the best weights in the model; a training that ended before any validation keeps
        the current ones.
        """
        # Stopped between a validation pass and the write of its weights: the model still holds the
        # best ones.
        is_current = bool(self.step) and self.sha256 is None
        if self.step and not is_current:
            self.trainable.read(self.folder)
        elif step:
            self.step = step
            self.write()
