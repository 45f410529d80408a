"""Preference data without information: equal answers in a pair, and contradictory preferences."""

from collections.abc import Iterator

from tunesmith.data.check.context import CheckContext
from tunesmith.records import Example, Message, Problem, dump_canonical_json


def check_pairs(context: CheckContext) -> Iterator[Problem]:
    """An error for pairs of equal answers, a warning for preferences in both directions."""
    examples = context.examples
    found = [i for i in context.unusual if examples[i].rejected and _has_same_answers(examples[i])]
    yield from context.report_problems(
        "same-answers",
        "error",
        found,
        "have the same chosen and rejected answer",
        "remove them, or correct the answers; a pair teaches by its difference",
    )
    yield from context.report_problems(
        "opposite-preferences",
        "warning",
        _find_opposites(context),
        "prefer an answer that another example rejects for the same question",
        "decide which answer is better; contradictory preferences cannot be learned",
    )


def _find_opposites(context: CheckContext) -> list[int]:
    """Indices of pairs that also occur reversed, and of answers that are rated both ways."""
    placed: dict[tuple[int, bool], list[int]] = {}
    for i in context.unusual:
        example = context.examples[i]
        question = int(context.prompt_hashes_E[i])
        if example.rejected:
            chosen, rejected = (
                hash(_get_answer_key(example.messages[-1])),
                hash(_get_answer_key(example.rejected[-1])),
            )
            # The pair without its order, then the order: opposite preferences differ only in that.
            low, high = sorted((chosen, rejected))
            key = hash((question, low, high)), chosen == low
        elif example.is_desirable is not None:
            key = hash((question, _get_answer_key(example.messages[-1]))), example.is_desirable
        else:
            continue
        placed.setdefault(key, []).append(i)
    return sorted(
        i for (what, way), found in placed.items() if (what, not way) in placed for i in found
    )


def _has_same_answers(example: Example) -> bool:
    """Whether both answers are equal up to white space: no method should learn a line end."""
    chosen, rejected = example.messages[-1], example.rejected[-1]
    return _get_answer_key(chosen) == _get_answer_key(rejected)


def _get_answer_key(message: Message) -> tuple[object, ...]:
    return (
        tuple(message.content.split()),
        tuple((message.reasoning or "").split()),
        dump_canonical_json(message.called_functions),
    )
