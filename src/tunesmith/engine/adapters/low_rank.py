"""Thin matrices beside frozen weights, as what is trained: LoRA, rsLoRA, DoRA, and LoRA on 4-bit weights."""

from contextlib import AbstractContextManager
from pathlib import Path

from torch import nn
from transformers import PreTrainedModel

from tunesmith.engine.adapters.lora import adapter_off
from tunesmith.engine.adapters.peft_format import read_adapter, write_adapter


class LowRank:
    """The adapter on a model. Its weights are part of the model, so there is nothing to collect or to publish."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model

    def weights(self) -> dict[str, nn.Parameter]:
        """A and B of every layer, and DoRA's lengths."""
        return {name: weight for name, weight in self.model.named_parameters() if weight.requires_grad}

    def collect(self) -> None:
        """The backward passes left the gradients where they belong."""

    def publish(self) -> None:
        """The model computes with these very weights."""

    def off(self) -> AbstractContextManager[None]:
        """Within this block the model is its own base."""
        return adapter_off(self.model)

    def write(self, folder: Path, base_model: str, revision: str | None) -> None:
        """An adapter in PEFT's format."""
        write_adapter(self.model, folder, base_model, revision)

    def read(self, folder: Path) -> None:
        """Errors: `ModelError` when the folder's adapter does not fit."""
        read_adapter(self.model, folder)
