"""Training of adapters on frozen weights: LoRA and DoRA, on weights in 4 bits too."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from torch import nn
from transformers import PreTrainedModel

from tunesmith.atomic_io import read_regular_file, write_atomically
from tunesmith.engine.adapters.dora import DoraLinear
from tunesmith.engine.adapters.lora import LoraLinear, attach_lora, disable_adapter
from tunesmith.engine.adapters.peft_format import read_adapter, read_base_model, write_adapter
from tunesmith.engine.model_loading import LoadedModel
from tunesmith.errors import ModelError
from tunesmith.model_folder.model_files import ADAPTER_OVERRIDE_FILES, list_settings_files
from tunesmith.records import AdapterRecipe


class AdapterFinetune:
    """The adapter of a model. Its weights are part of the model: nothing to collect or sync."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model

    def get_weights(self) -> dict[str, nn.Parameter]:
        """A and B of every layer, and DoRA's magnitudes."""
        return {
            name: weight for name, weight in self.model.named_parameters() if weight.requires_grad
        }

    def collect_gradients(self) -> None:
        """Nothing to do: the backward passes write the gradients to these weights."""

    def sync_to_model(self) -> None:
        """Nothing to do: the model computes with these weights."""

    def use_base_model(self) -> AbstractContextManager[None]:
        """Within this block the adapter is off, so the model is its base."""
        return disable_adapter(self.model)

    def write(self, folder: Path, base_model: str, revision: str | None) -> None:
        """Write an adapter in PEFT's format."""
        write_adapter(self.model, folder, base_model, revision)

    def read(self, folder: Path) -> None:
        """Load the folder's adapter. Errors: `ModelError` when it does not fit."""
        read_adapter(self.model, folder)


class ContinuedAdapterFinetune(AdapterFinetune):
    """An adapter that was trained before and is trained further (docs/decisions/097).

    The model at the start of this training is the base with this adapter, so this is also the
    reference of preference methods. The result is an adapter on the same base: of the earlier one
    only tokenizer and chat templates are needed, which are copied.
    """

    def __init__(self, model: PreTrainedModel, source: Path) -> None:
        super().__init__(model)
        self.source = source
        self.is_base = True

    def sync_to_model(self) -> None:
        """Only records that the weights are no longer those of the start."""
        self.is_base = False

    @contextmanager
    def use_base_model(self) -> Iterator[None]:
        """The model is its own reference until its weights first change.

        Errors: `ModelError` after that.
        """
        if not self.is_base:
            raise ModelError(
                "base-is-gone",
                "adapter was trained further, so its earlier outputs cannot be computed",
                hint="load the earlier adapter separately",
            )
        yield

    def write(self, folder: Path, base_model: str, revision: str | None) -> None:
        """Write an adapter in PEFT's format on the base of the earlier one."""
        for name, path in list_settings_files(self.source, ADAPTER_OVERRIDE_FILES).items():
            write_atomically(folder / name, read_regular_file(path))
        super().write(folder, *read_base_model(self.source))

    def read(self, folder: Path) -> None:
        """Load the folder's adapter. Errors: `ModelError` when it does not fit."""
        self.is_base = False
        super().read(folder)


def build_lora(loaded: LoadedModel, recipe: AdapterRecipe) -> AdapterFinetune:
    """Attach a new LoRA, or DoRA, to the model. Errors: `ModelError`."""
    attach_lora(
        loaded.model,
        recipe.rank,
        recipe.alpha,
        recipe.dropout,
        rank_stabilized=recipe.use_rslora,
        kind=DoraLinear if recipe.use_dora else LoraLinear,
        target_modules=recipe.target_modules,
    )
    return AdapterFinetune(loaded.model)
