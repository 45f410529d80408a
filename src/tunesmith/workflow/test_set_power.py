"""What this test set can show: planned before money is spent, and again with the measured
disagreement.
"""

from collections.abc import Mapping, Sequence

from tunesmith.contenders.challenger_count import count_challengers
from tunesmith.contenders.external_contenders import read_custom_prompts
from tunesmith.decision.power_statement import (
    Disagreement,
    build_power_statement,
    measure_disagreement,
)
from tunesmith.records import Answer, Evaluation, PowerStatement
from tunesmith.workflow.data_preparation import PreparedData


def compute_planned_power(
    data: PreparedData, measured: Disagreement | None = None
) -> PowerStatement:
    """The power statement for a run's test examples, with the measured disagreement of contenders
    if there is one.
    """
    recipe, split, test = data.recipe, data.split, data.test
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
            data.output_constraint[0] is not None,
            len(read_custom_prompts(recipe)),
        ),
        groups=groups if groups < len(test) else None,
        # splits that the user provided must not be changed
        train=len(data.train) if split.method == "hash" else 0,
        unused=len(split.test[limit:]) if limit else 0,
    )


def compute_measured_power(
    before: PowerStatement,
    data: PreparedData,
    evaluation: Evaluation,
    answers: Mapping[str, Sequence[Answer]],
) -> PowerStatement:
    """The statement with the measured disagreement; `before` if nothing can be compared."""
    seen = measure_disagreement(evaluation, answers)
    return compute_planned_power(data, seen) if seen else before
