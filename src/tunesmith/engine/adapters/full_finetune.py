"""Full fine-tuning: every weight of the model is trained, including embeddings and output head.

A model that computes in float32 is trained directly. One that computes in bfloat16 has float32
master weights: the optimizer updates the masters, and the model gets them rounded after each step.
An update is often smaller than the resolution of bfloat16 (one part in 256), so without masters it
would be lost. Gradients are accumulated over micro-batches in float32 too. Source: Micikevicius et
al. 2017, arXiv:1710.03740, section 3.1.

Bytes per weight: float32 4 + 4 gradient + 8 AdamW = 16; bfloat16 2 + 4 master + 4 gradient + 8
AdamW = 18.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedModel

from tunesmith.engine.adapters.full_model_io import read_model, write_model
from tunesmith.engine.adapters.lora import check_no_adapter, get_adapter_dtype
from tunesmith.engine.model_loading import LoadedModel
from tunesmith.errors import ModelError
from tunesmith.records import AdapterRecipe


class FullFinetune:
    """All weights of a model; tied weights count as one."""

    def __init__(self, model: PreTrainedModel) -> None:
        check_no_adapter(model)
        self.model = model.requires_grad_(True)
        self.master_dtype = get_adapter_dtype(model)
        self.is_base = True
        self.pairs: dict[str, tuple[nn.Parameter, nn.Parameter]] = {}
        """Name -> (weight in the model, master); the same object in a float32 model."""
        for name, weight in model.named_parameters():
            has_master = weight.dtype != self.master_dtype
            self.pairs[name] = (
                weight,
                (nn.Parameter(weight.detach().to(self.master_dtype)) if has_master else weight),
            )
            # Lets a bfloat16 weight accumulate its gradient in float32.
            weight.grad_dtype = self.master_dtype

    def get_weights(self) -> dict[str, nn.Parameter]:
        """The master weights, by the model's names."""
        return {name: master for name, (_, master) in self.pairs.items()}

    def collect_gradients(self) -> None:
        """Move the gradients to the masters; the model keeps none."""
        for weight, master in self.pairs.values():
            if master is not weight:
                master.grad, weight.grad = weight.grad, None

    def sync_to_model(self) -> None:
        """Copy the masters into the model, rounded to its dtype."""
        self.is_base = False
        with torch.no_grad():
            for weight, master in self.pairs.values():
                if master is not weight:
                    weight.copy_(master)

    @contextmanager
    def use_base_model(self) -> Iterator[None]:
        """The model is its own base until its weights first change.

        Errors: `ModelError` after that.
        """
        if not self.is_base:
            raise ModelError(
                "base-is-gone",
                "base weights were overwritten by full fine-tuning",
                hint="load the base model separately",
            )
        yield

    def write(self, folder: Path, base_model: str, revision: str | None) -> None:
        """Write a model folder in the dtype of the computation: exactly what was evaluated."""
        write_model(self.model, folder)

    def read(self, folder: Path) -> None:
        """Load the folder's weights. Errors: `ModelError` when they do not fit."""
        read_model(self.model, folder)
        self.is_base = False
        with torch.no_grad():
            for weight, master in self.pairs.values():
                if master is not weight:
                    master.copy_(weight)


def build_full(loaded: LoadedModel, recipe: AdapterRecipe) -> FullFinetune:
    """Make every weight of the model trainable. Errors: `ModelError` if an adapter is attached."""
    return FullFinetune(loaded.model)
