"""An adapter: LoRA whose A stays as it was drawn, so that half as much is trained and remembered.

    W x + (alpha / r) B A x        only B is trained

Source: Zhang et al. 2023, LoRA-FA, arXiv:2308.03303. What is written is an ordinary LoRA.
"""

from tunesmith.engine.adapters.adapter_finetune import AdapterFinetune
from tunesmith.engine.adapters.lora import attach_lora, find_lora_layers
from tunesmith.engine.model_loading import LoadedModel
from tunesmith.records import AdapterRecipe


def build_lora_fa(loaded: LoadedModel, recipe: AdapterRecipe) -> AdapterFinetune:
    """A fresh adapter on the model. Errors: `ModelError`."""
    attach_lora(
        loaded.model,
        recipe.rank,
        recipe.alpha,
        recipe.dropout,
        target_modules=recipe.target_modules,
    )
    for layer in find_lora_layers(loaded.model).values():
        layer.lora_A.requires_grad_(False)
    return AdapterFinetune(loaded.model)
