"""The same prompt with different answers: a model can learn one, and a scorer counts the other as wrong."""

from collections.abc import Iterator

from tunesmith.data.check.context import CheckContext
from tunesmith.data.keys import normalised
from tunesmith.records import Example, Problem


def check_contradictions(context: CheckContext) -> Iterator[Problem]:
    found: list[int] = []
    for same in _find_same_prompts(context):
        answers = {normalised(context.examples[i].answer_with_calls) for i in same}
        if len(answers) > 1:
            found += same
    yield from context.problems(
        "different-answers",
        "warning",
        sorted(found),
        "share a prompt with one that is answered differently",
        "decide which answer is right; they stay on one side of the split",
    )


def _find_same_prompts(context: CheckContext) -> Iterator[list[int]]:
    """Positions of examples that share a prompt, a list for each prompt that more than one has."""
    import numpy as np

    is_counted_E = np.ones(len(context.examples), bool)
    for i in context.unusual:
        is_counted_E[i] = _has_one_right_answer(context.examples[i])
    places_K = np.flatnonzero(is_counted_E)
    hashes_K = context.prompt_hashes_E[places_K]
    order_K = np.argsort(hashes_K, kind="stable")
    borders = np.flatnonzero(np.diff(hashes_K[order_K])) + 1
    for group in np.split(places_K[order_K], borders) if len(borders) < len(places_K) - 1 else ():
        if len(group) > 1:
            yield group.tolist()


def _has_one_right_answer(example: Example) -> bool:
    """Of pairs and rated answers several for one prompt are the point."""
    return bool(example.prompt) and not example.rejected and example.is_desirable is None
