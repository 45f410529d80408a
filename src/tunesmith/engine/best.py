"""The best adapter so far, always whole on disk."""

from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedModel

from tunesmith.engine.adapters.peft_format import read_adapter, write_adapter


@dataclass
class BestAdapter:
    """Keeps the adapter with the highest generation score; ties, and trainings without a score, go by held-out loss."""

    model: PreTrainedModel
    folder: Path
    base_model: str
    revision: str | None = None
    step: int = 0
    loss: float | None = None
    score: float | None = None

    def consider(self, step: int, loss: float, score: float | None) -> None:
        """Write the model's adapter if it is the best one yet."""
        if self.loss is None or (score or 0.0, -loss) > (self.score or 0.0, -self.loss):
            self.step, self.loss, self.score = step, loss, score
            write_adapter(self.model, self.folder, self.base_model, self.revision)

    def settle(self, step: int) -> None:
        """Leave the kept adapter on the model; a training that ended unmeasured keeps the current one."""
        if self.step:
            read_adapter(self.model, self.folder)
        elif step:
            self.step = step
            write_adapter(self.model, self.folder, self.base_model, self.revision)
