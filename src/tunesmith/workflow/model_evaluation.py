"""Models + examples -> evaluation: any models on the same examples, one after the other, compared
pairwise.

An evaluation is a run like a training or a decision: it can be stopped or killed at any moment, and
`resume` continues it without asking for an answer twice.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tunesmith.contenders.custom_parts import NO_CUSTOM_PARTS, CustomParts
from tunesmith.contenders.evaluation_runner import EvaluationRunner
from tunesmith.contenders.zero_shot_contenders import build_plain_contender
from tunesmith.evaluation.harness import evaluate_answers
from tunesmith.progress_listener import NULL_LISTENER, ProgressListener
from tunesmith.records import Evaluation, Recipe
from tunesmith.runs.continued_training import collect_training_ids
from tunesmith.runs.session import RunSession, begin_run
from tunesmith.runs.store_index import StoreIndex
from tunesmith.workflow.evaluation_estimate import find_instruction, report_evaluation_estimate
from tunesmith.workflow.evaluation_inputs import (
    EvaluationInputs,
    name_models,
    prepare_evaluation_inputs,
)
from tunesmith.workflow.result import Result


def evaluate(
    models: Sequence[str] | Mapping[str, str],
    recipe: Recipe,
    out: Path | None = None,
    listener: ProgressListener = NULL_LISTENER,
    custom: CustomParts = NO_CUSTOM_PARTS,
) -> Result:
    """Score models on all examples of the recipe's data, with its judge. With `out`, evaluation and
    answers are stored in a new folder there, from which `resume` continues after an interruption.

    A run is evaluated with the instruction it was trained with, every other model with the
    recipe's; if the recipe names no scorer, the scorer and the labels of the first run are used.
    Errors: `InputError`, `GateFailed` if the data has errors, `ProviderError` of a judge,
    `Interrupted`.
    """
    inputs = prepare_evaluation_inputs(name_models(models), recipe, listener, custom=custom)
    report_evaluation_estimate(inputs, listener)
    with (
        StoreIndex.open(listener) as index,
        begin_run(out, "evaluation", index, listener, inputs.write) as session,
    ):
        evaluation = run_evaluation(inputs, session)
        folder = session.folder if out else None
        return Result(inputs.recipe, session.run, folder, evaluation)


def run_evaluation(inputs: EvaluationInputs, session: RunSession) -> Evaluation:
    """All steps in order, in the folder of a run that may hold some answers already."""
    listener, judging = session.listener, inputs.judge_setup
    runner = EvaluationRunner(
        session,
        inputs.task,
        inputs.split.test,
        inputs.latency_examples,
        judging.judge,
        stores_questions=True,
    )
    for name in inputs.models:
        listener.start_stage(f"evaluating {name}")
        # A model whose answers are stored is not loaded again.
        if not runner.restore_answers(name):
            _run_local_model(name, inputs, runner)
    for contender in inputs.custom_contenders:
        listener.start_stage(f"evaluating {contender.spec.name}")
        runner.run_contenders([contender])
    for contender in inputs.remote_contenders:
        listener.start_stage(f"evaluating {contender.spec.name}")
        runner.run_contenders([contender])
        for note in contender.read_notes():
            name = contender.spec.name
            listener.note("service/limitation", f"{name}: {note}", model=name)
    runner.score_external(inputs.external_contenders)
    if judging.judge is not None:
        listener.note("judge/usage", judging.format_usage(runner.restored_answer_sets))
        judge = inputs.recipe.judge.model
        for note in judging.notes:
            listener.note("judge/limitation", f"{judge}: {note}", model=judge)
    evaluation = evaluate_answers(runner.answer_sets, inputs.task)
    session.folder.write(evaluation)
    # Last: a run marked as finished has everything on disk.
    session.finish("finished")
    session.folder.finalize_checksums()
    return evaluation


def _run_local_model(name: str, inputs: EvaluationInputs, runner: EvaluationRunner) -> None:
    """Ask one model on this machine, with the instruction that it was trained with if it is a run's
    and has one.
    """
    place, examples, recipe = inputs.places[name], inputs.task.examples, inputs.recipe
    # Not an error: the user may want to see training scores.
    if known := len({example.id for example in examples} & collect_training_ids(place)):
        runner.session.listener.warn(
            "data/trained-on-test",
            f"{name} was trained on {known:,} of these {len(examples):,} examples",
            model=name,
            count=known,
        )
    instruction = find_instruction(place, recipe)
    model = inputs.models[name]
    runner.run_contender(build_plain_contender(name, model, instruction, examples, recipe))
