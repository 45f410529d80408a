"""From the adapter kind of a recipe to a trainable model."""

from tunesmith.engine.adapters.adapter_finetune import AdapterFinetune, ContinuedAdapterFinetune
from tunesmith.engine.adapters.dora import DoraLinear
from tunesmith.engine.adapters.full_finetune import FullFinetune
from tunesmith.engine.adapters.lora import LoraLinear, attach_lora
from tunesmith.engine.adapters.qlora import check_quantization
from tunesmith.engine.adapters.trainable_model import TrainableModel
from tunesmith.engine.model_loading import LoadedModel
from tunesmith.records import AdapterRecipe


def build_trainable(loaded: LoadedModel, recipe: AdapterRecipe) -> TrainableModel:
    """The trainable form of a model: a new adapter, the adapter that it was loaded with, or all its
    weights.

    `qlora` needs a model in 4 bits. Errors: `ModelError`.
    """
    check_quantization(loaded.model, is_expected=recipe.kind == "qlora")
    if loaded.adapter is not None:
        return ContinuedAdapterFinetune(loaded.model, loaded.adapter)
    if recipe.kind == "full":
        return FullFinetune(loaded.model)
    attach_lora(
        loaded.model,
        recipe.rank,
        recipe.alpha,
        recipe.dropout,
        rank_stabilized=recipe.kind == "rslora",
        kind=DoraLinear if recipe.kind == "dora" else LoraLinear,
    )
    return AdapterFinetune(loaded.model)
