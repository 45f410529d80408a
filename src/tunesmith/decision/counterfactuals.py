"""If the data are inconclusive: which answer of the user would settle the verdict without any
further example.

Each candidate answer is tried by applying the rules to it; only those that lead to a verdict are
reported.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from math import ceil, floor

from tunesmith.decision.context_preferences import DECISIVE_ANSWERS
from tunesmith.decision.requirements import has_proven_min_score
from tunesmith.decision.rule_result import RuleResult, VerdictInput
from tunesmith.decision.verdict_phrases import VERDICT_PHRASES
from tunesmith.records.quantity import format_percent, format_points

RuleFunction = Callable[[VerdictInput], RuleResult]


def find_decisive_answers(
    result: RuleResult, inputs: VerdictInput, judge: RuleFunction
) -> list[str]:
    """Sentences, each with the recipe key to set and the verdict that follows; empty if the verdict
    is already settled.
    """
    if result.verdict != "cannot tell":
        return []
    sentences = []
    for condition, settled in _list_alternatives(result, inputs):
        verdict = judge(settled).verdict
        if verdict != "cannot tell":
            sentences.append(f"{condition}, the verdict is: {VERDICT_PHRASES[verdict]}.")
    return sentences


def _list_alternatives(
    result: RuleResult, inputs: VerdictInput
) -> Iterator[tuple[str, VerdictInput]]:
    """(condition, input) for each change of the requirements or of the usage context that may
    settle the verdict.
    """
    bar, usage = inputs.requirements, inputs.usage_context
    if result.open_comparisons:
        # Rounded up to a whole point: a `min_gain` below the measured difference would leave it
        # open.
        gain = (
            ceil(100 * max(comparison.gain.difference for comparison in result.open_comparisons))
            / 100
        )
        if 0 < gain < 1:
            condition = (
                f"If a gain of {format_points(gain)} is not worth it to you"
                f" (requirements.min_gain={gain:g})"
            )
            yield condition, replace(inputs, requirements=bar.replace(min_gain=gain))
    if result.best is not None and not has_proven_min_score(inputs.get_score(result.best), bar):
        # Rounded down, so that the lower bound of the interval still reaches it.
        least = floor(100 * inputs.get_score(result.best).low) / 100
        condition = (
            f"If {format_percent(least)} is good enough for you (requirements.min_score={least:g})"
        )
        yield condition, replace(inputs, requirements=bar.replace(min_score=least))
    for (name, answer), words in DECISIVE_ANSWERS.items():
        if getattr(usage, name) is None:
            answered = usage.replace(**{name: answer})
            yield (
                f"If {words} (usage.{name}={answer})",
                replace(inputs, usage_context=answered),
            )
