"""The costs of each contender: once, per month, per request, and per 1,000 correct answers.

    1,000 requests          as measured in the evaluation: machine time at its hourly price, or a
                            provider's tokens
    1,000 correct answers   cost of 1,000 requests / fraction answered correctly; the interval is
                            that of the score
    once                    data + tuning + search + evaluation + judge
    a month                 requests * cost per request + hosting + upkeep
    upkeep                  what is repeated at each change of the task within the horizon H,
                            without the first time: tuning, search, evaluation, some new examples,
                            times max(0, 1 / months between - 1 / H)

Who pays for what. Every contender pays for the evaluation and the test examples: without them no
comparison exists. Training examples are paid for by the contenders that learn from them or retrieve
them (tuned models, RAG over examples); a few-shot prompt with fixed shots needs next to none, one
with retrieved shots needs all: its interval spans this range. Hosting is charged to tuned models
only. An answer that failed is paid for and is not correct.

Uncertainty. What was spent is known. A request on this machine costs what its tokens take in full
batches (`evaluation/machine_time.py`), times `SPEED_FACTORS` for the variation between days, and at
the high end what it takes when requests come one at a time (the median ratio of single to batched
requests), if that is more. If other programs used the machine during the run, the fraction w of the
time spent waiting for a core widens `SPEED_FACTORS` by 1 - w at both ends: an idle machine takes
less, and how busy the next one is remains unknown. The uncertainty of a provider's request is that
of the mean number of its tokens (95 % interval over the test answers). The uncertainty of the
fraction of correct answers is that of the score, separate for each contender.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
from scipy import stats

from tunesmith.costs.break_even import MACHINE_SPEED, find_break_even_points
from tunesmith.decision.requirements import find_disqualification
from tunesmith.decision.verdict_phrases import format_busy_machine
from tunesmith.records import (
    Answer,
    Contender,
    ContenderCost,
    CostPart,
    CostPrediction,
    CostReport,
    CostUnit,
    Estimate,
    EstimateInterval,
    Evaluation,
    Frequency,
    OpenInterval,
    Quantity,
    Recipe,
    TrainingCost,
)
from tunesmith.records.contender_kinds import get_contender_kind
from tunesmith.records.quantity import format_metric_name, format_usd
from tunesmith.records.training_estimate import make_point_interval, scale_interval

HORIZON_MONTHS = 12.0
"""Months over which one-time costs are spread: one year, the usual budget period; few base models
are used for longer.
"""

HOURS_PER_MONTH = 730.0
"""Hours in an average month (8,760 / 12)."""

SPEED_FACTORS = (0.8, 1.4)
"""Low and high factor between the machine's measured speed and that of other days: the prior of the
cost estimates (docs/decisions/080).
"""

MONTHS_BY_FREQUENCY: Mapping[Frequency, float] = {
    "never": inf,
    "yearly": 12.0,
    "monthly": 1.0,
    "weekly": 0.25,
    "daily": 1 / 30,
}

DEFAULT_MONTHS_BETWEEN_CHANGES = (inf, 12.0, 3.0)
"""Months between two changes of a task if the user did not state how often it changes: maximum,
expected, minimum.
"""

NEW_EXAMPLE_FRACTIONS = (0.0, 0.5, 1.0)
"""Fraction of the examples that is replaced when the task has changed: low, expected, high; our own
assumption.
"""

MACHINE_PRICE_NOTE = (
    "two rented cores with 4 GB cost 0.067 to 0.12 USD per hour "
    "(https://huggingface.co/docs/inference-endpoints/support/pricing, accessed in November "
    "2026)"
)
"""Why `machine_usd_per_hour` defaults to 0.10. A machine of one's own costs less: power and wear.
"""


@dataclass(frozen=True, slots=True)
class _CostInputs:
    """The inputs of all cost parts; `evaluation_usd` is the cost of running all contenders on the
    test set.
    """

    evaluation: Evaluation
    recipe: Recipe
    data_examples: int
    tuning_usd: float
    evaluation_usd: float
    judge_usd: float
    answers: Mapping[str, Sequence[Answer]]

    @property
    def test_examples(self) -> int:
        return len(self.evaluation.examples)


def build_cost_report(
    evaluation: Evaluation,
    recipe: Recipe,
    *,
    data_examples: int,
    tuning: TrainingCost | None,
    evaluation_seconds: float,
    decision_seconds: float | None = None,
    judge_usd: float = 0.0,
    judge_usd_charged: float = 0.0,
    estimate: Estimate | None = None,
    answers: Mapping[str, Sequence[Answer]] | None = None,
    winner: str | None = None,
) -> CostReport:
    """The costs of every contender, the break-even volumes, and the estimate compared with the
    actual cost.

    `data_examples` counts all splits. `evaluation_seconds` is the wall time of running all
    contenders; `decision_seconds` is the total for prompt choices, evaluation, tuning, general
    ability and judging. `judge_usd` is the cost of judging, `judge_usd_charged` the part that a
    provider charged. `answers`, by contender, give the uncertainty of the tokens per request.
    `estimate` was made before tuning. Contenders that are significantly worse than the `winner` are
    excluded from the break-even comparison, because a break-even volume for a worse answer is of no
    use.
    """
    hourly = evaluation.machine_usd_per_hour
    tuning_usd = tuning.seconds * hourly / 3600 + tuning.usd_charged if tuning else 0.0
    # Machine time is already in the wall time of the evaluation; only providers' charges are added.
    charged = sum(
        _compute_evaluation_usd(one, evaluation) for one in evaluation.contenders if one.token_price
    )
    evaluation_usd = evaluation_seconds * hourly / 3600 + charged
    bill = _CostInputs(
        evaluation, recipe, data_examples, tuning_usd, evaluation_usd, judge_usd, answers or {}
    )
    contenders = tuple(
        _exclude_if_worse(_compute_contender_cost(one, bill), evaluation, winner)
        for one in evaluation.contenders
    )
    compared = [one for one in contenders if one.exclusion_reason is None]
    machine = evaluation.machine
    uncertainty = machine.uncertainty if machine else 0.0
    usage = recipe.usage
    is_once = usage.recurrence == "once"
    # With a horizon of one month "per month" and "once" are the same, so x counts total requests.
    horizon = 1.0 if is_once else HORIZON_MONTHS
    right = [one for one in compared if one.accuracy.expected > 0]
    spent = {"tuning_usd": tuning_usd} if tuning else {}
    if decision_seconds is not None:
        # The setup's own machine time is inside decision_seconds; what remains was charged by
        # providers.
        for_choices = sum(
            one.setup_usd - one.setup_seconds * hourly / 3600 for one in evaluation.contenders
        )
        for_tuning = tuning.usd_charged if tuning else 0.0
        providers = charged + max(0.0, for_choices) + for_tuning + judge_usd_charged
        spent["decide_usd"] = decision_seconds * hourly / 3600 + providers
    return CostReport(
        metric=evaluation.metric,
        contenders=contenders,
        requests_per_month=usage.requests_per_month,
        horizon_months=horizon,
        is_once=is_once,
        break_even_points=find_break_even_points(
            compared, horizon, is_once=is_once, uncertainty=uncertainty
        ),
        break_even_points_per_correct=find_break_even_points(
            right, horizon, is_once=is_once, each_correct=True, uncertainty=uncertainty
        ),
        predictions=_compare_predictions(estimate, spent),
        assumptions=_list_assumptions(bill, contenders, horizon),
    )


def _compute_contender_cost(one: Contender, inputs: _CostInputs) -> ContenderCost:
    if one.usd_per_1000_or_none is None:
        why = (
            "its cost is not specified; only its answers are known"
            if one.token_price is None
            else "no tokens were counted, so its cost is unknown"
        )
        return ContenderCost(
            name=one.name,
            kind=one.kind,
            parts=(),
            accuracy=_estimate_correct_rate(one, inputs),
            usd_per_1000_correct=None,
            exclusion_reason=why,
        )
    inference = _compute_inference_cost(one, inputs)
    parts = [*_list_one_time_costs(one, inputs), *_list_monthly_costs(one, inputs), inference]
    excluded = find_disqualification(
        one, inputs.evaluation.metric, inputs.recipe.requirements, inputs.recipe.usage
    )
    return ContenderCost(
        name=one.name,
        kind=one.kind,
        parts=tuple(part for part in parts if part.usd.high > 0 or part is inference),
        accuracy=_estimate_correct_rate(one, inputs),
        usd_per_1000_correct=_compute_cost_per_correct(
            1000 * inference.usd.expected, one.metrics.get(inputs.evaluation.metric)
        ),
        exclusion_reason=excluded,
    )


def _exclude_if_worse(
    cost: ContenderCost, evaluation: Evaluation, winner: str | None
) -> ContenderCost:
    """The cost, marked as excluded if the paired difference to the winner has the contender
    significantly worse.
    """
    if winner is None or cost.exclusion_reason is not None:
        return cost
    for pair in evaluation.comparisons:
        # A comparison is stored once, in either order.
        is_worse = (pair.a, pair.b) == (winner, cost.name) and pair.low > 0
        is_worse |= (pair.b, pair.a) == (winner, cost.name) and pair.high < 0
        if pair.metric == evaluation.metric and is_worse:
            return cost.replace(exclusion_reason=f"it is significantly worse than {winner}")
    return cost


def _estimate_correct_rate(one: Contender, inputs: _CostInputs) -> EstimateInterval:
    """Fraction of all requests answered correctly; failed requests count as not correct."""
    score = one.metrics.get(inputs.evaluation.metric)
    if score is None:
        return make_point_interval(0.0)
    return scale_interval(
        EstimateInterval(low=score.low, expected=score.value, high=score.high),
        _compute_answer_rate(score),
    )


def _compute_answer_rate(score: Quantity) -> float:
    return score.n / (score.n + score.n_failed) if score.n else 0.0


def _compute_cost_per_correct(usd_per_1000: float, score: Quantity | None) -> OpenInterval | None:
    """USD per 1,000 correct answers: cost / score, so the upper bound of the score gives the lower
    bound of the cost. No upper bound if the score may be 0.
    """
    if score is None or score.n == 0:
        return None
    low, middle, high = (
        usd_per_1000 / (share * _compute_answer_rate(score)) if share > 0 else None
        for share in (score.high, score.value, score.low)
    )
    return None if low is None else OpenInterval(low=low, expected=middle, high=high)


def _compute_inference_cost(one: Contender, inputs: _CostInputs) -> CostPart:
    """USD per request with its interval: as charged, by machine time, or by the mean tokens of a
    provider's requests.
    """
    expected = one.usd_per_1000 / 1000
    if one.usage is not None and one.usage.usd_charged is not None:
        return CostPart(name="inference", unit="request", usd=make_point_interval(expected))
    if one.token_price is None:
        low, high = _estimate_speed_factors(inputs.evaluation)
        usd = EstimateInterval(low=low * expected, expected=expected, high=high * expected)
        return CostPart(name="inference", unit="request", usd=usd, uncertainty_source=MACHINE_SPEED)
    price = one.token_price
    each = [
        (
            answer.tokens_in * price.usd_per_million_in
            + answer.tokens_out * price.usd_per_million_out
        )
        / 1e6
        for answer in inputs.answers.get(one.name, ())
    ]
    if len(each) < 2:
        return CostPart(name="inference", unit="request", usd=make_point_interval(expected))
    return CostPart(
        name="inference",
        unit="request",
        usd=_compute_mean_interval(each),
        uncertainty_source=f"the tokens of {one.name}",
    )


def _estimate_speed_factors(evaluation: Evaluation) -> tuple[float, float]:
    """Low and high factor on measured machine time: other days, single requests instead of batches,
    a less busy machine.

    One pair for all contenders: the ratio for single requests is a median over them, because how
    busy the machine was while one contender ran is not a property of that contender.
    """
    waiting = evaluation.machine.waiting_fraction if evaluation.machine else None
    idle = 1 - (waiting or 0.0)
    alone = [
        one.usage.latency_seconds / one.seconds_per_request
        for one in evaluation.contenders
        if one.token_price is None
        and not one.traits.is_external
        and one.seconds_per_request > 0
        and one.usage
        and one.usage.latency_seconds
    ]
    return SPEED_FACTORS[0] * idle, max(
        SPEED_FACTORS[1] / idle, float(np.median(alone)) if alone else 0.0
    )


def _compute_mean_interval(values: Sequence[float]) -> EstimateInterval:
    """The mean and its 95 % interval by Student's t, cut off at 0; unlike a score, a cost has no
    upper bound.
    """
    mean, error = float(np.mean(values)), float(stats.sem(values))
    half = error * float(stats.t.ppf(0.975, len(values) - 1))
    return EstimateInterval(low=max(0.0, mean - half), expected=mean, high=mean + half)


def _list_one_time_costs(one: Contender, inputs: _CostInputs) -> list[CostPart]:
    tuning = inputs.tuning_usd if one.traits.is_trained else 0.0
    return [
        _build_part(
            "data",
            "once",
            scale_interval(_estimate_examples(one, inputs), inputs.recipe.cost.usd_per_example),
            "how many examples it needs",
        ),
        _build_part("tuning", "once", make_point_interval(tuning)),
        _build_part("search", "once", make_point_interval(_compute_search_usd(one, inputs))),
        _build_part("evaluation", "once", make_point_interval(inputs.evaluation_usd)),
        _build_part("judge", "once", make_point_interval(inputs.judge_usd)),
    ]


def _list_monthly_costs(one: Contender, inputs: _CostInputs) -> list[CostPart]:
    hosting = (
        inputs.recipe.cost.hosting_usd_per_month
        if one.traits.pays_hosting and not one.token_price
        else 0.0
    )
    return [
        _build_part("hosting", "month", make_point_interval(hosting)),
        _build_part("upkeep", "month", _estimate_upkeep(one, inputs), "how often the task changes"),
    ]


def _estimate_examples(one: Contender, inputs: _CostInputs) -> EstimateInterval:
    """Number of examples this contender needs, the test examples included."""
    everything, tests = (
        float(inputs.data_examples),
        float(min(inputs.test_examples, inputs.data_examples)),
    )
    needed = one.traits.examples_needed
    looks_up_examples = needed == "unless documents" and inputs.recipe.retrieval.documents is None
    if needed == "all" or looks_up_examples:
        return make_point_interval(everything)
    return EstimateInterval(
        low=tests, expected=tests, high=everything if needed == "shots" else tests
    )


def _compute_search_usd(one: Contender, inputs: _CostInputs) -> float:
    """USD of the setup without the tuning in it: choosing a prompt, building an index."""
    return max(0.0, one.setup_usd - inputs.tuning_usd) if one.traits.is_trained else one.setup_usd


def _compute_evaluation_usd(one: Contender, evaluation: Evaluation) -> float:
    """USD of running the contender on the test set, including a provider's charge for the single
    requests that measure latency.
    """
    requests = one.usage.requests if one.token_price and one.usage else len(evaluation.examples)
    return one.usd_per_1000 / 1000 * requests


def _estimate_upkeep(one: Contender, inputs: _CostInputs) -> EstimateInterval:
    """USD per month for repeating tuning, search and evaluation and replacing some examples; the
    first time is a one-time cost.
    """
    judged = inputs.judge_usd / len(inputs.evaluation.contenders)
    again = (
        _compute_search_usd(one, inputs) + _compute_evaluation_usd(one, inputs.evaluation) + judged
    )
    again += inputs.tuning_usd if one.traits.is_trained else 0.0
    examples = _estimate_examples(one, inputs).expected * inputs.recipe.cost.usd_per_example
    low, expected, high = (
        # 1 / H is the first setup within the horizon, which is already counted as a one-time cost.
        (again + share * examples) * max(0.0, 1 / months - 1 / HORIZON_MONTHS)
        for share, months in zip(
            NEW_EXAMPLE_FRACTIONS,
            estimate_months_between_changes(one.kind, inputs.recipe),
            strict=True,
        )
    )
    return EstimateInterval(low=low, expected=expected, high=high)


def estimate_months_between_changes(kind: str, recipe: Recipe) -> tuple[float, float, float]:
    """Months between two setups: maximum, expected, minimum; infinity for never.

    Changing facts shorten the minimum of the contenders that have learned or indexed them (kinds
    "tuned" and "rag").
    """
    usage_context = recipe.usage
    if usage_context.recurrence == "once":
        return inf, inf, inf
    if recipe.cost.retune_months is not None:
        return recipe.cost.retune_months, recipe.cost.retune_months, recipe.cost.retune_months
    if usage_context.task_change_frequency is None:
        most, expected, least = DEFAULT_MONTHS_BETWEEN_CHANGES
    else:
        most = expected = least = MONTHS_BY_FREQUENCY[usage_context.task_change_frequency]
    if usage_context.fact_change_frequency is not None and get_contender_kind(kind).goes_stale:
        least = min(least, MONTHS_BY_FREQUENCY[usage_context.fact_change_frequency])
    return most, expected, least


def _compare_predictions(
    estimate: Estimate | None, spent: Mapping[str, float]
) -> tuple[CostPrediction, ...]:
    """The estimate compared with the actual cost, for each of tuning and the whole decision."""
    if estimate is None:
        return ()
    expected = {"tuning_usd": estimate.usd, "decide_usd": estimate.decide_usd}
    return tuple(
        CostPrediction(
            name=what,
            estimated_usd=expected[what],
            actual_usd=actual,
            ratio=(
                round(actual / expected[what].expected, 4) if expected[what].expected > 0 else None
            ),
        )
        for what, actual in spent.items()
    )


def _list_assumptions(
    inputs: _CostInputs, contenders: Sequence[ContenderCost], horizon: float
) -> tuple[str, ...]:
    recipe, usage_context, hourly = (
        inputs.recipe,
        inputs.recipe.usage,
        inputs.evaluation.machine_usd_per_hour,
    )
    default = Recipe.model_fields["machine_usd_per_hour"].default
    why = (
        f", the default, because {MACHINE_PRICE_NOTE}"
        if hourly == default
        else ", as set in the recipe"
    )
    low, high = _estimate_speed_factors(inputs.evaluation)
    sentences = [
        (
            f"machine time costs {format_usd(hourly)} per hour{why} (machine_usd_per_hour), "
            "counted only while requests are processed; an always-on machine costs "
            f"{format_usd(hourly * HOURS_PER_MONTH)} per month, and a higher load needs more "
            "machines"
        ),
        (
            f"machine time in production is {low:.2g} to {high:.2g} times the time measured in "
            "full batches, because of variation between days and of requests that arrive one "
            "at a time"
        ),
        (
            "a correct answer is one full point of "
            f"{format_metric_name(inputs.evaluation.metric)}; a failed request is paid for but "
            "does not count as correct"
        ),
        (
            "it is used once, so all costs are counted once"
            if usage_context.recurrence == "once"
            else f"one-time costs are spread over {horizon:g} months"
        ),
        _describe_changes(recipe),
    ]
    if machine := inputs.evaluation.machine:
        sentences.append(
            "the cost of a request on this machine is computed from its tokens and the time "
            "per token over all contenders of this run (accurate to about "
            f"{machine.uncertainty:.0%})"
        )
        if machine.is_busy:
            sentences.append(format_busy_machine(machine))
    if recipe.cost.usd_per_example == 0:
        sentences.append(
            "examples are counted as free: the cost of making one is not specified "
            "(cost.usd_per_example)"
        )
    if recipe.cost.hosting_usd_per_month == 0:
        sentences.append("hosting a tuned model has no fixed cost (cost.hosting_usd_per_month)")
    if usage_context.requests_per_month is None:
        sentences.append(
            "the number of requests per month is not specified (usage.requests_per_month)"
        )
    for one in inputs.evaluation.contenders:
        if one.token_price:
            source, date = one.token_price.source, one.token_price.date
            said_by = f"({source}, {date})" if date else f"(source: {source})"
            sentences.append(
                f"{one.name} costs {one.token_price.usd_per_million_in:g} USD per million "
                f"input tokens and {one.token_price.usd_per_million_out:g} USD per million "
                f"output tokens {said_by}"
            )
        if one.traits.is_external and one.usd_per_1000_or_none is not None:
            sentences.append(
                f"{one.name} costs as much per request as its file states, at any volume"
            )
    sentences += [
        f"{one.name} is excluded from the cost comparison: {one.exclusion_reason}"
        for one in contenders
        if one.exclusion_reason
    ]
    return tuple(sentences)


def _describe_changes(recipe: Recipe) -> str:
    months, usage_context = recipe.cost.retune_months, recipe.usage
    if usage_context.recurrence == "once":
        return "no maintenance cost"
    if months is not None:
        return (
            f"setup is repeated every {months:g} months, as set in the recipe (cost.retune_months)"
        )
    if usage_context.task_change_frequency is None:
        return (
            "how often the task changes is not specified (usage.task_change_frequency): "
            f"assumed is once in {DEFAULT_MONTHS_BETWEEN_CHANGES[1]:g} months (range: never to "
            f"every {DEFAULT_MONTHS_BETWEEN_CHANGES[2]:g} months)"
        )
    if usage_context.task_change_frequency == "never":
        return "the task never changes, so setup is not repeated"
    return (
        f"the task changes {usage_context.task_change_frequency}; setup and evaluation are"
        " repeated "
        "each time"
    )


def _build_part(
    what: str, per: CostUnit, amount: EstimateInterval, moves_with: str = ""
) -> CostPart:
    is_sure = amount.low == amount.high
    return CostPart(
        name=what, unit=per, usd=amount, uncertainty_source="" if is_sure else moves_with
    )
