"""How many contenders will try to beat the same simpler one: a power statement corrects for it."""

from tunesmith.records import Recipe
from tunesmith.records.contender_kinds import EXTERNAL, PlanCondition, list_contender_kinds


def count_challengers(recipe: Recipe, has_form: bool, own: int = 0) -> int:
    """The most contenders of costlier verdicts that will try to beat the same simpler one.

    They are those that `contender_factory.py` makes; `own` is the number of the user's own prompts.
    """
    takes_part: dict[PlanCondition, bool] = {
        "always": True,
        "constrained": has_form and recipe.evaluation.constrained,
        "format": has_form,
        "trials": recipe.evaluation.trials > 0,
        "documents": recipe.retrieval.documents is not None,
    }
    asked = [kind for kind in list_contender_kinds() if kind.contenders]
    simplest = EXTERNAL if recipe.evaluation.answers else asked[0]  # what is there today is simpler than any prompt
    challengers = 0
    for kind in asked:
        if kind.verdict != simplest.verdict:
            each = sum(takes_part[one.condition] for one in kind.contenders) + own * kind.takes_custom_prompts
            challengers += each * (1 if kind.is_trained else 1 + len(recipe.evaluation.remote))
    return challengers
