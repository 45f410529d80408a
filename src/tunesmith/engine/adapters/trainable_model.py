"""The interface of what can be trained: named float32 weights and their connection to the model.

An adapter's own weights are float32 and part of the model. Full fine-tuning of a bfloat16 model has
float32 masters: `collect_gradients` moves the gradients of a step to them, `sync_to_model` copies
their new values into the model.
"""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from torch import nn


class TrainableModel(Protocol):
    """One kind of adapter on one model. A new kind needs a module in this folder, and a row in
    `records/adapter_kinds.py`.
    """

    def get_weights(self) -> dict[str, nn.Parameter]:
        """Name -> parameter that the optimizer updates, float32 (float64 for a float64 model),
        always in the same order.

        A checkpoint stores exactly these.
        """
        ...

    def collect_gradients(self) -> None:
        """Call after the backward passes of a step: afterwards every weight of `get_weights()` has
        its gradient.
        """
        ...

    def sync_to_model(self) -> None:
        """Call after the weights changed (by the optimizer or a checkpoint), so that the model
        computes with them.
        """
        ...

    def use_base_model(self) -> AbstractContextManager[None]:
        """Within this block the model is its own base.

        Errors: `ModelError` when the base is no longer available.
        """
        ...

    def write(self, folder: Path, base_model: str, revision: str | None) -> None:
        """Write an adapter in PEFT's format or a whole model, atomically."""
        ...

    def read(self, folder: Path) -> None:
        """Load the values that `write` wrote. Errors: `ModelError` when they do not fit."""
        ...
