"""From the adapter kind of a recipe to a trainable model."""

from typing import cast

from tunesmith.engine.adapters.adapter_finetune import ContinuedAdapterFinetune
from tunesmith.engine.adapters.qlora import check_held_in_four_bits
from tunesmith.engine.adapters.trainable_model import TrainableModel
from tunesmith.engine.model_loading import LoadedModel
from tunesmith.records import AdapterRecipe
from tunesmith.records.adapter_kinds import ADAPTERS

_MEMBERS = ("get_weights", "collect_gradients", "sync_to_model", "use_base_model", "write", "read")


def build_trainable(loaded: LoadedModel, recipe: AdapterRecipe) -> TrainableModel:
    """Make the model trainable: a new adapter, the adapter it was loaded with, or all its weights.

    With `load_in_4bit` the model must have been loaded in 4 bits. Errors: `ModelError`;
    `PluginError` for a plugin that does not return a `TrainableModel`.
    """
    check_held_in_four_bits(loaded.model, is_expected=recipe.load_in_4bit)
    if loaded.adapter is not None:
        return ContinuedAdapterFinetune(loaded.model, loaded.adapter)
    trainable = ADAPTERS.load(recipe.kind)(loaded, recipe)
    ADAPTERS.check_part(recipe.kind, trainable, _MEMBERS)
    return cast(TrainableModel, trainable)
