"""What an evaluation will take, reported before the first question is sent: time of every model,
and what services charge.
"""

from collections.abc import Sequence

from tunesmith.contenders.zero_shot_contenders import (
    choose_answer_limit,
    count_answer_tokens,
    is_tuned_model,
)
from tunesmith.costs.evaluation_forecast import (
    AnsweringForecast,
    forecast_local_answers,
    forecast_remote_answers,
)
from tunesmith.costs.measured_rates import RatesFile, RatesLookup
from tunesmith.errors import ModelError
from tunesmith.evaluation.usage_meter import compute_waiting_fraction, read_scheduler_stats
from tunesmith.progress_listener import ProgressListener
from tunesmith.providers.local_model import ResolvedModel
from tunesmith.providers.prompt_encoding import encode_prompts
from tunesmith.records import EstimateInterval, Example, Recipe
from tunesmith.records.training_estimate import make_point_interval, sum_intervals
from tunesmith.runs.local_inventory import read_run_recipe
from tunesmith.runs.machine_info import describe_machine
from tunesmith.workflow.evaluation_inputs import EvaluationInputs


def report_evaluation_estimate(
    inputs: EvaluationInputs, listener: ProgressListener
) -> AnsweringForecast | None:
    """Report the estimate: the total first. None, with a note, for a model that cannot be timed,
    and without a model that is asked.
    """
    if not inputs.models and not inputs.remote_contenders:
        return None
    listener.start_stage("estimating")
    try:
        found = estimate_evaluation(inputs)
    # The estimate is a service: a model that cannot be sliced can still answer.
    except ModelError as error:
        listener.note("estimate/none", f"no estimate: {error.got or error.what}")
        return None
    listener.note("estimate/made", str(found))
    for line in found.assumptions:
        listener.note("estimate/assumption", line)
    return found


def estimate_evaluation(inputs: EvaluationInputs) -> AnsweringForecast:
    """Seconds of every model, and what services charge. Errors: `ModelError`."""
    examples, recipe = inputs.task.examples, inputs.recipe
    seconds: dict[str, EstimateInterval] = {}
    charges = [make_point_interval(0.0)]
    assumptions = []
    for name, model in inputs.models.items():
        instruction = find_instruction(inputs.places[name], recipe)
        seconds[name] = _estimate_local_model(model, instruction, examples, recipe)
    services = {one.name: one for one in recipe.evaluation.remote}
    for contender in inputs.remote_contenders:
        name, price = contender.spec.name, contender.spec.token_price
        seconds[name], usd = forecast_remote_answers(services[name], price, examples)
        charges.append(usd)
    if inputs.remote_contenders:
        assumptions.append("how fast a service answers is assumed, not measured")
    if inputs.judge_setup.judge is not None:
        assumptions.append("what judging the answers adds is not counted")
    return AnsweringForecast(seconds, sum_intervals(charges), tuple(assumptions))


def _estimate_local_model(
    model: ResolvedModel, instruction: str | None, examples: Sequence[Example], recipe: Recipe
) -> EstimateInterval:
    """Seconds of one model on this machine, timed unless its rates are known."""
    from tunesmith.engine.machine_measurement import profile_answering

    queue = read_scheduler_stats()
    file = RatesFile.of(model.identity, describe_machine(), recipe, "answering")
    recall = RatesLookup(
        file.read(), lambda: compute_waiting_fraction(queue, read_scheduler_stats())
    )
    rates = profile_answering(model.identity.folder, recipe, recall)
    if recall.used_of is None:
        file.write(rates, recall.waiting())
    asked = [one.with_system(instruction) if instruction else one for one in examples]
    prompts = [one.ids for one in encode_prompts(model.tokenizer, [one.prompt for one in asked])]
    lengths = count_answer_tokens(model, examples)
    limit = choose_answer_limit(lengths, recipe)
    return forecast_local_answers(
        rates, prompts, lengths, limit, recipe, is_tuned=is_tuned_model(model)
    )


def find_instruction(place: str, recipe: Recipe) -> str | None:
    """The instruction that a model is evaluated with: that of the run, else the recipe's."""
    own = read_run_recipe(place)
    return (own and own.data.system_prompt) or recipe.data.system_prompt
