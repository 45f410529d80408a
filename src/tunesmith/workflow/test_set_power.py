"""What this test set can show: planned before anything is spent, and told again as it was measured."""

from collections.abc import Mapping, Sequence

from tunesmith.baselines.output_constraint import infer_output_constraint
from tunesmith.decision.power_statement import Disagreement, build_power_statement, measure_disagreement
from tunesmith.records import Answer, Evaluation, PowerStatement
from tunesmith.workflow.challenger_count import count_challengers
from tunesmith.workflow.data_preparation import PreparedData
from tunesmith.workflow.external_contenders import read_custom_prompts


def compute_planned_power(data: PreparedData, measured: Disagreement | None = None) -> PowerStatement:
    """The statement for the test examples of a run, with how contenders differ where that was seen."""
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
    before: PowerStatement, data: PreparedData, evaluation: Evaluation, answers: Mapping[str, Sequence[Answer]]
) -> PowerStatement:
    """The statement with the disagreement that was seen; the one made before where nothing can be compared."""
    seen = measure_disagreement(evaluation, answers)
    return compute_planned_power(data, seen) if seen else before
