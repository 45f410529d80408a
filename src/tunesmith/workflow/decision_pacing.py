"""The budget of a decision (`costs/budget_replanning.py`) applied to its parts: the runner, the
contenders, the training, and what is stored at the end.

Where fewer test examples are used, the first ids are taken, as by `evaluation.max_test_examples`,
for all contenders alike. Answers of earlier contenders to other examples are left out of the
comparison. The run's recipe stays as it began until the verdict is reached, so that an interrupted
decision is recognized as the same; then recipe, test set and answers are stored as they were
compared, and the verdict can be made again from the folder.
"""

from collections.abc import Sequence
from dataclasses import replace

from tunesmith.contenders.contender_factory import ContenderFactory
from tunesmith.contenders.evaluation_runner import EvaluationRunner
from tunesmith.costs.budget_replanning import (
    BudgetClock,
    BudgetReplanner,
    DecisionPacer,
    UnlimitedTime,
)
from tunesmith.evaluation.contender_answers import select_answers
from tunesmith.evaluation.task_building import build_test_set
from tunesmith.records import BudgetPlan, Example
from tunesmith.runs.run_folder import RunFolder
from tunesmith.training.training_service import TrainingJob
from tunesmith.workflow.data_preparation import PreparedData


def start_pacing(
    clock: BudgetClock | None,
    runner: EvaluationRunner,
    factory: ContenderFactory,
    data: PreparedData,
) -> DecisionPacer:
    """The pacer of a decision; without a clock its time is unlimited."""
    if clock is None:
        return UnlimitedTime()
    session, ids = runner.session, data.split.test
    return BudgetReplanner(
        session.folder.read(BudgetPlan),
        clock,
        session.folder,
        session.listener,
        # The ids of the split, not of the task: a limit keeps the first ids of the split, whatever
        # the task held before, so that a resumed decision drops the same examples.
        lambda size: limit_test_examples(runner, factory, ids, size),
        is_tuned=session.run.result is not None,
    )


def limit_test_examples(
    runner: EvaluationRunner, factory: ContenderFactory, ids: Sequence[str], size: int
) -> None:
    """Compare all contenders on the examples with the first `size` of these ids."""
    runner.task = replace(runner.task, examples=select_first(runner.task.examples, ids, size))
    examples = runner.task.examples
    # Contenders that answered already are compared on the same examples as those to come.
    for answer_sets in (runner.answer_sets, runner.restored_answer_sets):
        answer_sets[:] = [
            replace(one, answers=select_answers(one.answers, examples)) for one in answer_sets
        ]
    factory.test = select_first(factory.test, ids, size)


def select_first(examples: Sequence[Example], ids: Sequence[str], size: int) -> list[Example]:
    """The examples with the first `size` ids, in their order."""
    first = set(ids[:size])
    return [example for example in examples if example.id in first]


def with_training_minutes(job: TrainingJob, minutes: float | None) -> TrainingJob:
    """The job with another time for tuning; the same without one."""
    if minutes is None:
        return job
    training = job.recipe.training.replace(minutes=minutes)
    return replace(job, recipe=job.recipe.replace(training=training))


def finish_pacing(runner: EvaluationRunner, data: PreparedData) -> PreparedData:
    """The data with everything that was changed on the way; it is stored, also in the run's
    record.
    """
    session = runner.session
    folder = session.folder
    budget = find_budget(folder)
    if budget is None or not budget.changes:
        return data
    recipe = budget.apply_changes(data.recipe)
    ids = [example.id for example in runner.task.examples]
    test = [example for example in data.test if example.id in set(ids)]
    # Only at the end: until then the folder's recipe is the one that `resume` recognizes.
    folder.write_recipe(recipe)
    folder.write(build_test_set(runner.task, [example.answer for example in data.train]))
    for one in runner.answer_sets:
        # Stored answers to dropped examples would count again when the verdict is recomputed.
        if len(folder.read_answers(one.name).records) > len(one.answers):
            folder.write_answers(folder.read_contender(one.name), one.answers)
    session.save(session.run.replace(recipe=recipe.fingerprint))
    return replace(data, recipe=recipe, test=test)


def find_budget(folder: RunFolder) -> BudgetPlan | None:
    """The time that a run was given; None if it had none."""
    return folder.read(BudgetPlan) if folder.has(BudgetPlan) else None


def resume_clock(budget: BudgetPlan | None, training_seconds: float) -> BudgetClock | None:
    """The clock of an interrupted decision, which had spent `training_seconds` on a tuning that is
    not finished.
    """
    if budget is None:
        return None
    # The plan is written after each step; the tuning that was cut short is not in it yet.
    spent = budget.spent_seconds + training_seconds
    return BudgetClock(budget.budget_seconds, earlier_seconds=spent)
