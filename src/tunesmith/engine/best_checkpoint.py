"""The best weights so far, always whole on disk."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.atomic_io import hash_folder
from tunesmith.engine.adapters.trainable_model import TrainableModel
from tunesmith.records import compute_fingerprint


@dataclass
class BestCheckpoint:
    """Keeps the weights with the highest generation score; ties, and trainings without a score, go by held-out loss."""

    trainable: TrainableModel
    folder: Path
    base_model: str
    revision: str | None = None
    step: int = 0
    loss: float | None = None
    score: float | None = None
    sha256: str | None = None

    def consider(self, step: int, loss: float, score: float | None) -> bool:
        """Remember this step if it is the best one yet. Whoever asked then calls `write`."""
        is_best = self.loss is None or (score or 0.0, -loss) > (self.score or 0.0, -self.loss)
        if is_best:
            self.step, self.loss, self.score, self.sha256 = step, loss, score, None
        return is_best

    def write(self) -> None:
        """Put the weights as they are now in the folder."""
        self.trainable.write(self.folder, self.base_model, self.revision)
        self.sha256 = self._hash_folder()

    def as_state(self) -> dict[str, Any]:
        """What is known of it, for a checkpoint; a checkpoint is written before the weights it calls the best."""
        return {"step": self.step, "loss": self.loss, "score": self.score, "sha256": self.sha256}

    def restore(self, state: Mapping[str, Any], step: int) -> None:
        """Go on from a checkpoint of this step, whose weights are on the model.

        What is in the folder and is not what the checkpoint knows is of a later look, which will come again.
        """
        if state["step"] and state["step"] == step:
            self.step, self.loss, self.score = state["step"], state["loss"], state["score"]
            self.write()
        elif state["step"] and state["sha256"] == self._hash_folder():
            self.step, self.loss, self.score, self.sha256 = (state[k] for k in ("step", "loss", "score", "sha256"))

    def _hash_folder(self) -> str:
        return compute_fingerprint(hash_folder(self.folder))

    def finalize(self, step: int) -> None:
        """Leave the kept weights in the model; a training that ended unmeasured keeps the current ones."""
        is_current = bool(self.step) and self.sha256 is None  # stopped between a look and the writing of its weights
        if self.step and not is_current:
            self.trainable.read(self.folder)
        elif step:
            self.step = step
            self.write()
