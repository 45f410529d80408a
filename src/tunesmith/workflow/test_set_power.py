"""What this test set can show: planned before anything is spent, and told again as it was measured."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tunesmith.baselines.output_constraint import infer_output_constraint
from tunesmith.decision.power_statement import Disagreement, build_power_statement, measure_disagreement
from tunesmith.records import Answer, Evaluation, PowerStatement, Recipe
from tunesmith.records.contender_kinds import EXTERNAL, PlanCondition, list_contender_kinds

if TYPE_CHECKING:
    from tunesmith.workflow.data_preparation import PreparedData


def compute_planned_power(data: "PreparedData", measured: Disagreement | None = None) -> PowerStatement:
    """The statement for the test examples of a run, with how contenders differ where that was seen."""
    # here: it loads all that measures answers, which `rivals` does without
    from tunesmith.workflow.external_contenders import read_custom_prompts

    recipe, split, test = data.recipe, data.split, data.test
    groups = len({f"(alone) {example.id}" if example.group is None else example.group for example in test})
    limit = recipe.evaluation.test_limit
    return build_power_statement(
        len(test),
        recipe.bar,
        measured,
        comparisons=count_challengers(
            recipe,
            infer_output_constraint([example.answer for example in data.train])[0] is not None,
            len(read_custom_prompts(recipe)),
        ),
        groups=groups if groups < len(test) else None,
        train=len(data.train) if split.method == "hash" else 0,  # given sides are not ours to move
        unused=len(split.test[limit:]) if limit else 0,
    )


def compute_measured_power(
    before: PowerStatement, data: "PreparedData", evaluation: Evaluation, answers: Mapping[str, Sequence[Answer]]
) -> PowerStatement:
    """The statement with the disagreement that was seen; the one made before where nothing can be compared."""
    seen = measure_disagreement(evaluation, answers)
    return compute_planned_power(data, seen) if seen else before


def count_challengers(recipe: Recipe, has_form: bool, own: int = 0) -> int:
    """The most contenders of dearer verdicts that will try to beat the same simpler one, as `lineup.py` makes them.

    `own` is how many prompts of the user's own there are.
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
