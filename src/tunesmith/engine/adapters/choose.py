"""The kind of adapter that a recipe names, on a model."""

from tunesmith.engine.adapters.dora import DoraLinear
from tunesmith.engine.adapters.full import Full
from tunesmith.engine.adapters.lora import LoraLinear, attach_lora
from tunesmith.engine.adapters.low_rank import Continued, LowRank
from tunesmith.engine.adapters.qlora import check_four_bits
from tunesmith.engine.adapters.trained import Trained
from tunesmith.engine.load import LoadedModel
from tunesmith.records import AdapterRecipe


def trained_of(loaded: LoadedModel, recipe: AdapterRecipe) -> Trained:
    """What is trained: fresh, or the adapter that the model was loaded with. `qlora` needs a model in 4 bits.

    Errors: `ModelError`.
    """
    check_four_bits(loaded.model, wanted=recipe.kind == "qlora")
    if loaded.adapter is not None:
        return Continued(loaded.model, loaded.adapter)
    if recipe.kind == "full":
        return Full(loaded.model)
    attach_lora(
        loaded.model,
        recipe.rank,
        recipe.alpha,
        recipe.dropout,
        rank_stabilized=recipe.kind == "rslora",
        kind=DoraLinear if recipe.kind == "dora" else LoraLinear,
    )
    return LowRank(loaded.model)
