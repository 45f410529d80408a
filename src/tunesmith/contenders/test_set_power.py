"""What this test set can show: planned before money is spent, and again with the measured
disagreement.
"""

from collections.abc import Sequence

from tunesmith.contenders.external_contenders import read_custom_prompts
from tunesmith.decision.power_statement import (
    Disagreement,
    build_power_statement,
)
from tunesmith.records import Example, PowerStatement, Recipe, Split
from tunesmith.records.contender_kinds import EXTERNAL, PlanCondition, list_contender_kinds


def compute_planned_power(
    recipe: Recipe,
    split: Split,
    train: Sequence[Example],
    test: Sequence[Example],
    *,
    has_constraint: bool,
    measured: Disagreement | None = None,
) -> PowerStatement:
    """The power statement for a run's test examples, with the measured disagreement of contenders
    if there is one. `has_constraint`: the answers are labels or JSON, so contenders that are held
    to them take part.
    """
    # An example without a group is a group of its own; the prefix keeps its id from equaling a
    # group's name.
    groups = len(
        {f"(alone) {example.id}" if example.group is None else example.group for example in test}
    )
    limit = recipe.evaluation.max_test_examples
    return build_power_statement(
        len(test),
        recipe.requirements,
        measured,
        comparisons=count_challengers(
            recipe,
            has_constraint,
            len(read_custom_prompts(recipe)),
        ),
        groups=groups if groups < len(test) else None,
        # splits that the user provided must not be changed
        train=len(train) if split.method == "hash" else 0,
        unused=len(split.test[limit:]) if limit else 0,
    )


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
