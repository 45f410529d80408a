"""What is trained of a model, whatever kind of adapter it is: named float32 weights, and their way into the model.

An adapter's own weights are float32 and part of the model. Full fine-tuning of a bfloat16 model keeps float32 masters:
`collect` brings the gradients of a step to them, `publish` puts their new values into the model.
"""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from torch import nn


class TrainableModel(Protocol):
    """One kind of adapter on one model. Adding a kind: a module beside this, and a line in `choose.py`."""

    def get_weights(self) -> dict[str, nn.Parameter]:
        """Name -> what the optimizer moves, float32 (float64 for a float64 model), always in the same order.

        A checkpoint keeps exactly these.
        """
        ...

    def collect_gradients(self) -> None:
        """After the backward passes of a step: every weight of `weights()` has its gradient."""
        ...

    def sync_to_model(self) -> None:
        """After the weights moved (by the optimizer, or read from a checkpoint): the model computes with them."""
        ...

    def use_base_model(self) -> AbstractContextManager[None]:
        """Within this block the model is its own base. Errors: `ModelError` when the base is gone (full)."""
        ...

    def write(self, folder: Path, base_model: str, revision: str | None) -> None:
        """Write what others can load (an adapter in PEFT's format, or a whole model), in one step."""
        ...

    def read(self, folder: Path) -> None:
        """Take the values that `write` wrote. Errors: `ModelError` when they do not fit."""
        ...
