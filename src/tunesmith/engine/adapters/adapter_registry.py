"""From the adapter kind of a recipe to a trainable model."""

from typing import cast

from tunesmith.engine.adapters.adapter_finetune import ContinuedAdapterFinetune
from tunesmith.engine.adapters.lora import find_lora_layers
from tunesmith.engine.adapters.qlora import check_held_in_four_bits
from tunesmith.engine.adapters.target_modules import find_target_layers
from tunesmith.engine.adapters.trainable_model import TrainableModel
from tunesmith.engine.model_loading import LoadedModel
from tunesmith.errors import ModelError
from tunesmith.records import AdapterRecipe
from tunesmith.records.adapter_kinds import ADAPTERS
from tunesmith.records.recipe import ALL_LINEAR

_MEMBERS = ("get_weights", "collect_gradients", "sync_to_model", "use_base_model", "write", "read")


def build_trainable(loaded: LoadedModel, recipe: AdapterRecipe) -> TrainableModel:
    """Make the model trainable: a new adapter, the adapter it was loaded with, or all its weights.

    With `load_in_4bit` the model must have been loaded in 4 bits. Errors: `ModelError`, also if an
    adapter kind ignores the target modules; `PluginError` for a plugin that does not return a
    `TrainableModel`.
    """
    check_held_in_four_bits(loaded.model, is_expected=recipe.load_in_4bit)
    if loaded.adapter is not None:
        return ContinuedAdapterFinetune(loaded.model, loaded.adapter)
    targets = set[str]()  # empty: every linear layer
    if recipe.kind != "full" and recipe.target_modules != ALL_LINEAR:
        targets = set(find_target_layers(loaded.model, recipe.target_modules))
    trainable = ADAPTERS.load(recipe.kind)(loaded, recipe)
    ADAPTERS.check_part(recipe.kind, trainable, _MEMBERS)
    # A plugin may have been written before there were target modules. One that attaches no LoRA
    # layers cannot be checked.
    adapted = set(find_lora_layers(loaded.model)) if targets else set()
    if adapted and adapted != targets:
        raise ModelError(
            "target-modules-ignored",
            f"adapter kind {recipe.kind} does not adapt the layers of adapter.target_modules",
            got=f"{len(adapted):,} adapted layers for {len(targets):,} named ones",
            hint="pass target_modules=recipe.target_modules to attach_lora in the plugin; or set "
            "adapter.target_modules to all-linear",
        )
    return cast(TrainableModel, trainable)
