"""Thin matrices beside frozen weights, as what is trained: LoRA, rsLoRA, DoRA, and LoRA on 4-bit weights."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from torch import nn
from transformers import PreTrainedModel

from tunesmith.atomic_io import read_regular_file, write_atomically
from tunesmith.engine.adapters.lora import disable_adapter
from tunesmith.engine.adapters.peft_format import read_adapter, read_base_model, write_adapter
from tunesmith.errors import ModelError
from tunesmith.model_folder.model_files import ADAPTER_OVERRIDE_FILES, list_settings_files


class AdapterFinetune:
    """The adapter on a model. Its weights are part of the model, so there is nothing to collect or to publish."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model

    def get_weights(self) -> dict[str, nn.Parameter]:
        """A and B of every layer, and DoRA's lengths."""
        return {name: weight for name, weight in self.model.named_parameters() if weight.requires_grad}

    def collect_gradients(self) -> None:
        """The backward passes left the gradients where they belong."""

    def sync_to_model(self) -> None:
        """The model computes with these very weights."""

    def use_base_model(self) -> AbstractContextManager[None]:
        """Within this block the model is its own base."""
        return disable_adapter(self.model)

    def write(self, folder: Path, base_model: str, revision: str | None) -> None:
        """An adapter in PEFT's format."""
        write_adapter(self.model, folder, base_model, revision)

    def read(self, folder: Path) -> None:
        """Errors: `ModelError` when the folder's adapter does not fit."""
        read_adapter(self.model, folder)


class ContinuedAdapterFinetune(AdapterFinetune):
    """An adapter that was trained before and is trained further, from the weights that it has.

    The model that training begins with is the base with this adapter, so that is also what preference
    methods refer to. What is written is an adapter on the same base: nothing of the earlier one is needed
    then, but its tokenizer and chat templates, which are copied.
    """

    def __init__(self, model: PreTrainedModel, source: Path) -> None:
        super().__init__(model)
        self.source = source
        self.is_base = True

    def sync_to_model(self) -> None:
        """The model computes with these very weights, which are no longer those it began with."""
        self.is_base = False

    @contextmanager
    def use_base_model(self) -> Iterator[None]:
        """The model is what it began with until its weights first move. Errors: `ModelError` after that."""
        if not self.is_base:
            raise ModelError(
                "base-is-gone", "The adapter was trained further, so the model cannot answer as it did before.",
                do="load the earlier adapter beside it",
            )  # fmt: skip
        yield

    def write(self, folder: Path, base_model: str, revision: str | None) -> None:
        """An adapter in PEFT's format on the base of the earlier one."""
        for name, path in list_settings_files(self.source, ADAPTER_OVERRIDE_FILES).items():
            write_atomically(folder / name, read_regular_file(path))
        super().write(folder, *read_base_model(self.source))

    def read(self, folder: Path) -> None:
        """Errors: `ModelError` when the folder's adapter does not fit."""
        self.is_base = False
        super().read(folder)
