"""When the data cannot tell: which answer of the user would settle it at once, without one more example.

Each candidate answer is tried by the rules themselves; only those that lead to a verdict are said.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from math import ceil, floor

from tunesmith.decision.bar import is_sure
from tunesmith.decision.circumstances import SETTLING
from tunesmith.decision.judgement import Case, Judgement
from tunesmith.decision.wording import TAKE
from tunesmith.records.quantity import percent, points

Judge = Callable[[Case], Judgement]


def settling_answers(found: Judgement, case: Case, judge: Judge) -> list[str]:
    """Sentences, each with the key to set and the verdict that follows; none where the verdict stands."""
    if found.verdict != "cannot tell":
        return []
    sentences = []
    for condition, settled in _tries(found, case):
        verdict = judge(settled).verdict
        if verdict != "cannot tell":
            sentences.append(f"{condition}, the answer is at once: {TAKE[verdict]}.")
    return sentences


def _tries(found: Judgement, case: Case) -> Iterator[tuple[str, Case]]:
    bar, circumstances = case.bar, case.circumstances
    if found.doubts:
        gain = ceil(100 * max(duel.gain.difference for duel in found.doubts)) / 100
        if 0 < gain < 1:
            condition = f"If {points(gain)} more are not worth it to you (bar.min_gain={gain:g})"
            yield condition, replace(case, bar=bar.model_copy(update={"min_gain": gain}))
    if found.best is not None and not is_sure(case.score(found.best), bar):
        least = floor(100 * case.score(found.best).low) / 100
        condition = f"If {percent(least)} are enough for you (bar.min_score={least:g})"
        yield condition, replace(case, bar=bar.model_copy(update={"min_score": least}))
    for (name, answer), words in SETTLING.items():
        if getattr(circumstances, name) is None:
            said = circumstances.model_copy(update={name: answer})
            yield f"If {words} (circumstances.{name}={answer})", replace(case, circumstances=said)
