"""The same prompt with different answers: a model learns one, a scorer rejects the other."""

from collections.abc import Iterator, Sequence

from tunesmith.data.check.context import CheckContext
from tunesmith.data.normalization import normalize_text
from tunesmith.records import Example, Problem


def check_conflicting_answers(context: CheckContext) -> Iterator[Problem]:
    """A warning for examples that share a prompt but not the answer, with the first pair."""
    found: list[int] = []
    pairs: list[tuple[int, int]] = []
    for same in _find_same_prompts(context):
        answers = [normalize_text(context.examples[i].answer) for i in same]
        if other := next((k for k, answer in enumerate(answers) if answer != answers[0]), None):
            found += same
            pairs.append((same[0], same[other]))
    yield from context.report_problems(
        "different-answers",
        "warning",
        sorted(found),
        f"share a prompt with an example that has another answer{_describe_pair(context, pairs)}",
        "decide which answer is correct; they stay in the same split",
    )


def _describe_pair(context: CheckContext, pairs: Sequence[tuple[int, int]]) -> str:
    """The first pair in the order of the data, for the user to inspect."""
    if not pairs:
        return ""
    one, other = (context.examples[i] for i in min(pairs))
    return f": {one.named_place} and {other.named_place}"


def _find_same_prompts(context: CheckContext) -> Iterator[list[int]]:
    """Indices of examples that share a prompt, one list for each prompt of more than one example.

    Shapes: E = examples; K = those that are compared; G = groups of equal hashes.
    """
    import numpy as np

    is_counted_E = np.ones(len(context.examples), bool)
    for i in context.unusual:
        is_counted_E[i] = _has_one_right_answer(context.examples[i])
    places_K = np.flatnonzero(is_counted_E)
    hashes_K = context.prompt_hashes_E[places_K]
    order_K = np.argsort(hashes_K, kind="stable")
    sorted_K = hashes_K[order_K]
    begins_G = np.flatnonzero(
        np.concatenate(([True], sorted_K[1:] != sorted_K[:-1]))[: len(sorted_K)]
    )
    ends_G = np.append(begins_G, len(sorted_K))[1:]
    # Select groups before making lists: nearly all have one member and would need a list each.
    is_shared_G = ends_G - begins_G > 1
    for begin, end in zip(
        begins_G[is_shared_G].tolist(), ends_G[is_shared_G].tolist(), strict=True
    ):
        yield places_K[order_K[begin:end]].tolist()


def _has_one_right_answer(example: Example) -> bool:
    """Whether different answers are a conflict: pairs and rated answers have several by design."""
    return bool(example.prompt) and not example.rejected and example.is_desirable is None
