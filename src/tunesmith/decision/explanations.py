"""The verdict in sentences for decision makers, each with its numbers.

Scores in [0, 1] are shown as percentages, differences as percentage points. A sentence states
metric, value, 95 % interval and n, so that it can be checked. If several contenders of one kind
compete with the winner, the sentence describes the strongest of them and counts the others.
"""

from collections.abc import Iterator, Sequence

from tunesmith.decision.context_preferences import list_context_preferences, list_missing_context
from tunesmith.decision.costlier_comparison import (
    ALPHA,
    CostlierComparison,
    compute_cost_bucket,
)
from tunesmith.decision.requirements import (
    fails_too_often,
    format_min_score,
    get_min_relevant_gain,
    has_proven_min_score,
)
from tunesmith.decision.rule_result import RuleResult, VerdictInput
from tunesmith.decision.verdict_phrases import (
    VERDICT_ADVICE,
    VERDICT_PHRASES,
    estimate_request_seconds,
    format_busy_machine,
    format_gain,
    format_p_value,
    join_names,
)
from tunesmith.records import (
    Contender,
    Quantity,
    TrainingLength,
    explain_short_training,
    format_needed_minutes,
)
from tunesmith.records.contender_kinds import list_trained_verdicts
from tunesmith.records.quantity import (
    format_duration,
    format_metric_name,
    format_percent,
    format_points,
    format_points_number,
    format_usd,
    format_with_interval,
)

MAX_CONTAMINATED_FRACTION = 0.1
"""Fraction of the test examples that may be contaminated before a strict run refuses the result;
the same fraction of training examples up to which `data/contamination.py` removes them instead.
"""


def explain_verdict(
    result: RuleResult, inputs: VerdictInput, decisive_answers: Sequence[str]
) -> Iterator[str]:
    """Why this verdict and no other; `decisive_answers` are the user's answers that would settle an
    inconclusive one.
    """
    if result.verdict == "cannot tell" and result.best is not None:
        yield from _explain_inconclusive(result, result.best, inputs)
        yield from decisive_answers
    elif result.best is None:
        yield _explain_stop(result, inputs)
    else:
        yield from _explain_winner(result, result.best, inputs)
    yield from _describe_others(result, inputs)
    yield from _describe_costs(result, inputs)
    yield from _describe_context(result, inputs)


def list_warnings(
    result: RuleResult, on_clean: RuleResult | None, inputs: VerdictInput
) -> Iterator[str]:
    """What a strict run refuses: warnings do not change the verdict, but must be visible.

    `max_forgetting` is compared with the point estimate of the drop, not with its interval: it is a
    limit, so uncertainty counts against tuning.
    """
    if (
        inputs.training_length is not None
        and inputs.undertuned
        and result.verdict not in list_trained_verdicts()
    ):
        yield (
            "No conclusion about fine-tuning: the model was trained for "
            f"{explain_short_training(inputs.training_length)}.{_format_minutes(inputs.training_length)}"
        )
    limit, drop = inputs.requirements.max_forgetting, inputs.forgetting
    if (
        result.verdict in list_trained_verdicts()
        and limit is not None
        and drop is not None
        and drop.value > limit
    ):
        sure = (
            ""
            if drop.low > limit
            else "; the excess is not significant, but the limit applies to the point estimate"
        )
        yield (
            f"Tuning reduces general ability by {_format_drop(drop)}, more than the allowed "
            f"{format_points(limit)} (requirements.max_forgetting){sure}."
        )
    leaked, tested = len(inputs.evaluation.contaminated), len(inputs.evaluation.examples)
    if leaked > MAX_CONTAMINATED_FRACTION * tested:
        yield (
            f"{leaked:,} of {tested:,} test examples ({format_percent(leaked / tested)}) "
            "resemble training examples that were not removed, so scores also reflect "
            "memorization: the gain from tuning may be smaller on new questions."
        )
    if on_clean is not None and on_clean.verdict != result.verdict:
        yield (
            f"The verdict depends on contaminated test examples: on the {tested - leaked:,} "
            f"clean ones it would be {VERDICT_PHRASES[on_clean.verdict]!r} instead of "
            f"{VERDICT_PHRASES[result.verdict]!r}."
        )
    for preference in list_context_preferences(inputs.usage_context):
        if result.verdict in preference.against:
            yield (
                f"You specified that {preference.reason}, which favors {preference.favored}, "
                "but the measurements favor another verdict: "
                f"{VERDICT_PHRASES[result.verdict]}. Which matters more is your choice."
            )


def _explain_winner(result: RuleResult, winner: Contender, inputs: VerdictInput) -> Iterator[str]:
    """Why this contender: its score, the simpler ones it beats, and why no more complex one takes
    its place.
    """
    metric, score, bar = (
        format_metric_name(inputs.evaluation.metric),
        inputs.get_score(winner),
        inputs.requirements,
    )
    requirement = (
        f", which meets your minimum of {format_percent(bar.min_score)}"
        if bar.min_score is not None
        else ""
    )
    yield (
        f"{VERDICT_ADVICE[result.verdict]}: {winner.name} scores {format_with_interval(score)} in"
        f" {metric}{requirement}."
    )
    if winner.score_without_contaminated is not None:
        yield (
            f"On the test examples without contamination {winner.name} scores "
            f"{format_with_interval(winner.score_without_contaminated)}, on all of them "
            f"{format_percent(score.value)}."
        )
    if result.verdict in list_trained_verdicts() and inputs.forgetting is not None:
        falls = "falls by" if inputs.forgetting.value > 0 else "does not fall: the drop is"
        yield f"General ability after tuning {falls} {_format_drop(inputs.forgetting)}."
    mine = [pair for pair in result.comparisons if winner in (pair.simpler, pair.costlier)]
    for comparison, others in select_strongest(mine, winner, inputs):
        sentence = (
            _explain_rejection(comparison, result, inputs)
            if comparison.costlier is winner
            else _compare_with_costlier(comparison, inputs)
        )
        kind = (comparison.simpler if comparison.costlier is winner else comparison.costlier).kind
        did = f"{others} other {kind} contender{'s' if others > 1 else ''} did no better"
        yield f"{sentence.removesuffix('.')}; {did}." if others else sentence
    if winner.setup_seconds or winner.setup_usd:
        yield (
            f"{winner.name} needs a one-time setup before the first request: "
            f"{format_duration(winner.setup_seconds)}, {format_usd(winner.setup_usd)}."
        )


def select_strongest(
    comparisons: Sequence[CostlierComparison], winner: Contender, inputs: VerdictInput
) -> list[tuple[CostlierComparison, int]]:
    """For each kind that competed with the winner, simplest first: the comparison to describe, and
    how many are left out.
    """
    # A kind may stand on both sides of the winner, simpler and costlier by running cost: two
    # groups.
    by_side: dict[tuple[bool, str], list[CostlierComparison]] = {}
    for comparison in comparisons:
        is_costlier = comparison.simpler is winner
        by_side.setdefault(
            (is_costlier, (comparison.costlier if is_costlier else comparison.simpler).kind), []
        ).append(comparison)
    chosen = []
    for (is_costlier, _), some in by_side.items():
        best = max(
            some,
            key=lambda d: d.gain.difference if is_costlier else inputs.get_score(d.simpler).value,
        )
        chosen.append((best, len(some) - 1))
    return chosen


def _explain_inconclusive(
    result: RuleResult, best: Contender, inputs: VerdictInput
) -> Iterator[str]:
    """What the data cannot separate, and how many more examples would."""
    score, bar = inputs.get_score(best), inputs.requirements
    metric = format_metric_name(inputs.evaluation.metric)
    short = [comparison for comparison in result.open_comparisons if comparison.outcome == "short"]
    if best.name in inputs.undertuned or short:
        yield _explain_undertuning(inputs)
    if short:
        yield (
            f"The best choice without tuning is {best.name}: it scores "
            f"{format_with_interval(score)} in {metric}."
        )
    if not has_proven_min_score(score, bar):
        yield (
            f"It is unclear whether {best.name} reaches {format_min_score(bar)}: it scores "
            f"{format_with_interval(score)} in {metric}."
        )
    others = [comparison for comparison in result.open_comparisons if comparison.outcome != "short"]
    for comparison in others:
        yield (
            _describe_underpowered(comparison, inputs)
            if comparison.outcome == "blind"
            else _describe_possible_gain(comparison, inputs)
        )
    n = len(inputs.evaluation.examples)
    if best.name in inputs.undertuned or (not others and has_proven_min_score(score, bar)):
        return  # more tuning would settle it, not more examples
    if result.required_n is None:
        yield (
            "The number of test examples that would settle this cannot be estimated: the "
            "measured value is too close to your threshold, or too few requests were answered."
        )
    else:
        more = max(result.required_n - n, 1)
        yield (
            f"About {result.required_n:,} test examples would settle this, {more:,} more than "
            f"the current {n:,}."
        )


def _explain_undertuning(inputs: VerdictInput) -> str:
    """Why a model that was tuned too little proves nothing, and how many minutes of tuning
    would.
    """
    # only a known training length makes a model undertuned
    assert inputs.training_length is not None
    return (
        "It is unclear whether fine-tuning would be better: the model was trained for "
        f"{explain_short_training(inputs.training_length)}, so its scores reflect the time "
        f"limit.{_format_minutes(inputs.training_length)}"
    )


def _format_minutes(training: TrainingLength) -> str:
    """For example ` 3 passes need about 12 min (--minutes 12).`; empty if the time is unknown."""
    minutes = format_needed_minutes(training)
    return f" {minutes}." if minutes else ""


def _explain_stop(result: RuleResult, inputs: VerdictInput) -> str:
    """Why no contender should be used. `_describe_others` gives the reason for each one."""
    metric = inputs.evaluation.metric
    scored = [one for one in result.ranking if metric in one.metrics and inputs.get_score(one).n]
    if not scored:
        return "Keep what you have: no contender could be scored."
    answering = [one for one in scored if not fails_too_often(inputs.get_score(one))]
    if not answering:
        return (
            "Keep what you have: every contender failed on too many requests to be judged. "
            "Fix the failures and run it again."
        )
    best = max(answering, key=lambda one: inputs.get_score(one).value)
    score = inputs.get_score(best)
    if score.value <= 0:
        return (
            f"Keep what you have: no contender answers any of {score.n:,} test examples "
            f"correctly in {format_metric_name(metric)}."
        )
    return (
        f"Keep what you have: no contender is good enough. The best one is {best.name}: "
        f"{format_with_interval(score)} in {format_metric_name(metric)}."
    )


def _describe_others(result: RuleResult, inputs: VerdictInput) -> Iterator[str]:
    """For all contenders: which are disqualified and why, and how many answers are missing."""
    metric = inputs.evaluation.metric
    for contender in result.ranking:
        reason = inputs.find_disqualification(contender)
        if reason is not None:
            yield f"{contender.name} is disqualified: {reason}."
        score = contender.metrics.get(metric)
        if score is not None and score.n_failed:
            requests = score.n + score.n_failed
            yield (
                f"{contender.name} has no score for {score.n_failed:,} of {requests:,} requests "
                "(failed or could not be judged); if all of them counted as wrong, it would "
                f"score {format_percent(score.value * score.n / requests)}."
            )
    if not any(contender.traits.is_trained for contender in result.ranking):
        yield "No tuned model was evaluated."
    elif inputs.training_length is not None and not (
        inputs.undertuned and result.verdict == "cannot tell"
    ):
        yield f"The tuned model was trained for {explain_short_training(inputs.training_length)}."


def _describe_costs(result: RuleResult, inputs: VerdictInput) -> Iterator[str]:
    """Time and cost per 1,000 requests of the winner and of the cheapest of every other kind, and
    the monthly cost.
    """
    unknown = [
        one
        for one in result.ranking
        if one.usd_per_1000_or_none is None and one.seconds_per_request_or_none is None
    ]
    # The ranking runs from cheap to expensive within a kind, so in reverse the cheapest is written
    # last.
    cheapest = {one.kind: one for one in reversed(result.ranking) if one not in unknown}
    if result.winner is not None and result.winner not in unknown:
        cheapest[result.winner.kind] = result.winner
    known = [one for one in result.ranking if one in cheapest.values()]
    if known:
        prices = [one.usd_per_1000_or_none or 0.0 for one in known]
        yield (
            "Time and cost per 1,000 requests: "
            f"{'; '.join(_format_contender_cost(one, prices, inputs) for one in known)}."
        )
    if unknown:
        names = join_names([one.name for one in unknown])
        yield f"Cost and latency of {names} are unknown: only the answers were provided."
    machine = inputs.evaluation.machine
    if machine is not None and machine.is_busy:
        yield f"{format_busy_machine(machine).capitalize()}."
    monthly, winner = inputs.usage_context.requests_per_month, result.winner
    cost = winner.usd_per_1000_or_none if winner is not None else None
    if monthly is not None and winner is not None and cost is not None:
        yield (
            f"{monthly:,.0f} requests per month cost {format_usd(monthly / 1000 * cost)} with "
            f"{winner.name}."
        )


def _format_contender_cost(
    contender: Contender, prices: Sequence[float], inputs: VerdictInput
) -> str:
    """For example `tuned 42 s, $0.0012`; unknown values are stated as unknown."""
    seconds, cost = (
        estimate_request_seconds(contender, inputs.evaluation),
        contender.usd_per_1000_or_none,
    )
    time = "unknown time" if seconds is None else format_duration(1000 * seconds)
    return (
        f"{contender.name} {time}, {'unknown cost' if cost is None else format_usd(cost, prices)}"
    )


def _describe_context(result: RuleResult, inputs: VerdictInput) -> Iterator[str]:
    """The preferences that agree with the verdict, and one line with the answers that are
    missing.
    """
    for preference in list_context_preferences(inputs.usage_context):
        if result.verdict in preference.against:
            continue  # `list_warnings` reports it
        unsettled = [
            comparison
            for comparison in result.comparisons
            if comparison.simpler is result.winner
            and comparison.outcome == "open"
            and comparison.costlier.traits.verdict in preference.against
        ]
        so = ""
        if unsettled:
            names = join_names([comparison.costlier.name for comparison in unsettled])
            so = f", which settles the inconclusive comparison with {names}"
        yield f"Because {preference.reason}, {preference.favored} is preferred{so}."
    missing = list_missing_context(inputs.usage_context, inputs.requirements)
    if missing:
        yield f"Not specified: {', '.join(missing)} (set with tunesmith init)."


def _explain_rejection(
    comparison: CostlierComparison, result: RuleResult, inputs: VerdictInput
) -> str:
    """Why the simpler contender of this comparison loses, to this winner or for another reason."""
    simpler, metric, bar = (
        comparison.simpler,
        format_metric_name(inputs.evaluation.metric),
        inputs.requirements,
    )
    its = [one for one in result.comparisons if one.simpler is simpler]
    beaten_by = next((one for one in (comparison, *its) if one.outcome == "beaten"), None)
    if beaten_by is not None:
        who = "It" if beaten_by is comparison else beaten_by.costlier.name
        than = (
            f"significantly more than your minimum gain of {format_points(bar.min_gain)}"
            if bar.min_gain > 0
            else "statistically significant"
        )
        return (
            f"{who} beats {simpler.name} by {format_gain(beaten_by)} in {metric}: "
            f"{than}{_format_correction(beaten_by)}."
        )
    score = inputs.get_score(simpler)
    if not has_proven_min_score(score, bar):
        return (
            f"It is unclear whether {simpler.name} reaches {format_min_score(bar)}: it scores "
            f"{format_with_interval(score)} in {metric}."
        )
    equal = min(
        (one for one in result.comparisons if one.costlier is simpler),
        key=lambda d: d.gain.difference,
        default=None,
    )
    if equal is not None and equal.gain.difference <= 0:
        return (
            f"{simpler.name} is not better than {equal.simpler.name}, which is simpler: "
            f"{format_gain(equal)} in {metric}."
        )
    # All other reasons are excluded above, so an open comparison with another verdict exists.
    doubt = next(
        one for one in its if one.is_between_verdicts and one.outcome in ("open", "short", "blind")
    )
    return (
        f"{simpler.name} may be as good, but its comparison with {doubt.costlier.name} is "
        f"inconclusive: {format_gain(doubt)} in {metric}; for {comparison.costlier.name} this "
        "is no longer relevant."
    )


def _compare_with_costlier(comparison: CostlierComparison, inputs: VerdictInput) -> str:
    name, gain = comparison.costlier.name, comparison.gain
    metric, worthwhile = (
        format_metric_name(inputs.evaluation.metric),
        get_min_relevant_gain(inputs.requirements),
    )
    is_same = comparison.simpler.kind == comparison.costlier.kind and compute_cost_bucket(
        comparison.simpler
    ) == compute_cost_bucket(comparison.costlier)
    if comparison.outcome == "short":
        return (
            f"{name} was trained too little to be compared: {format_gain(comparison)} in "
            f"{metric} after this short training."
        )
    complexity = (
        "about as complex" if is_same else f"more complex ({comparison.costlier.traits.needs})"
    )
    if gain.high < 0:
        return (
            f"{name} is {complexity} and significantly worse: {format_gain(comparison)} in "
            f"{metric}."
        )
    if gain.high < worthwhile:
        return (
            f"{name} is {complexity} and gains {format_gain(comparison)} in {metric}: a gain of "
            f"{format_points(worthwhile)} or more is ruled out."
        )
    if gain.low > 0 and comparison.p_value > ALPHA and gain.low > inputs.requirements.min_gain:
        return (
            f"{name} is {complexity} and scores higher by {format_gain(comparison)} in "
            f"{metric}, but not significantly after Holm correction for "
            f"{comparison.family_size} comparisons "
            f"({format_p_value(comparison.p_value)}){_format_required_n(comparison)}."
        )
    if gain.low > 0:
        return (
            f"{name} is {complexity} and better, but not shown to exceed your minimum gain of "
            f"{format_points(worthwhile)}: {format_gain(comparison)} in {metric}."
        )
    if comparison.outcome == "blind":
        return _describe_underpowered(comparison, inputs)
    if comparison.outcome == "open" or gain.difference > worthwhile:
        return (
            f"{name} scores higher by {format_gain(comparison)} in {metric}, which is not "
            f"significant{_format_correction(comparison)}{_format_required_n(comparison)}."
        )
    return (
        f"{name} is {complexity} and not significantly better: {format_gain(comparison)} in "
        f"{metric}{_format_required_n(comparison)}."
    )


def _describe_possible_gain(comparison: CostlierComparison, inputs: VerdictInput) -> str:
    doubt = f"which is not significant{_format_correction(comparison)}"
    if inputs.requirements.min_gain > 0:
        doubt = (
            "which is not shown to exceed your minimum gain of "
            f"{format_points(inputs.requirements.min_gain)}"
        )
    metric = format_metric_name(inputs.evaluation.metric)
    return (
        f"{comparison.costlier.name} scores higher than {comparison.simpler.name} by "
        f"{format_gain(comparison)} in {metric}, {doubt}."
    )


def _describe_underpowered(comparison: CostlierComparison, inputs: VerdictInput) -> str:
    n = f"{comparison.gain.n:,} test {'example is' if comparison.gain.n == 1 else 'examples are'}"
    return (
        f"{n} too few to compare {comparison.costlier.name} with {comparison.simpler.name}: "
        f"{format_gain(comparison)} in {format_metric_name(inputs.evaluation.metric)}."
    )


def _format_correction(comparison: CostlierComparison) -> str:
    return (
        (
            f" ({format_p_value(comparison.p_value)}, Holm-corrected for {comparison.family_size} "
            "comparisons)"
        )
        if comparison.family_size > 1
        else ""
    )


def _format_required_n(comparison: CostlierComparison) -> str:
    return (
        f"; about {comparison.required_n:,} test examples would be needed to detect this"
        if comparison.required_n
        else ""
    )


def _format_drop(drop: Quantity) -> str:
    """For example `3.1 points (95 % interval 0.2 to 6.0, n = 200)`."""
    span = f"95 % interval {format_points_number(drop.low)} to {format_points_number(drop.high)}"
    return f"{format_points(drop.value)} ({span}, n = {drop.n:,})"
