"""The number of contenders that compete with the same simpler one: a power statement corrects for
it.
"""

from tunesmith.records import Recipe
from tunesmith.records.contender_kinds import EXTERNAL, PlanCondition, list_contender_kinds


def count_challengers(recipe: Recipe, has_form: bool, own: int = 0) -> int:
    """The maximum number of contenders with costlier verdicts that compete with the same simpler
    one, as `contender_factory.py` builds them.

    `own` is the number of the user's own prompts.
    """
    takes_part: dict[PlanCondition, bool] = {
        "always": True,
        "constrained": has_form and recipe.evaluation.constrained,
        "format": has_form,
        "trials": recipe.evaluation.prompt_trials > 0,
        "documents": recipe.retrieval.documents is not None,
    }
    asked = [kind for kind in list_contender_kinds() if kind.contenders]
    # the user's current system is simpler than any prompt
    simplest = EXTERNAL if recipe.evaluation.external_answers else asked[0]
    challengers = 0
    for kind in asked:
        if kind.verdict != simplest.verdict:
            each = (
                sum(takes_part[one.condition] for one in kind.contenders)
                + own * kind.takes_custom_prompts
            )
            challengers += each * (1 if kind.is_trained else 1 + len(recipe.evaluation.remote))
    return challengers
