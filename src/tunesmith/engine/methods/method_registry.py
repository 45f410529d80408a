"""From the method's name in a recipe to its loss."""

from tunesmith.engine.methods.dpo import Dpo, Ipo
from tunesmith.engine.methods.kto import Kto
from tunesmith.engine.methods.orpo import Orpo
from tunesmith.engine.methods.sft import Sft
from tunesmith.engine.methods.simpo import Simpo
from tunesmith.engine.methods.training_method import TrainingMethod
from tunesmith.records import Recipe


def build_method(recipe: Recipe) -> TrainingMethod:
    """The loss of the recipe's method, with the recipe's options."""
    match recipe.method:
        case "sft":
            return Sft()
        case "dpo":
            return Ipo(recipe.dpo.beta) if recipe.dpo.loss == "ipo" else Dpo(recipe.dpo.beta)
        case "orpo":
            return Orpo(recipe.orpo.beta)
        case "simpo":
            return Simpo(recipe.simpo.beta, recipe.simpo.margin)
        case "kto":
            return Kto(recipe.kto.beta, recipe.kto.desirable_weight or 1.0, recipe.kto.undesirable_weight or 1.0)
