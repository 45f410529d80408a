"""Examples without an answer: nothing can be learned from them."""

from collections.abc import Iterator

from tunesmith.data.check.context import CheckContext
from tunesmith.records import Example, Problem


def check_answers(context: CheckContext) -> Iterator[Problem]:
    """Last message not the assistant's, an empty answer, an empty text, or every answer with weight 0."""
    found = [i for i, example in enumerate(context.examples) if not _has_answer(example)]
    yield from context.problems(
        "no-answer", "error", found, "have nothing to learn from", "add the answers, or take the examples out"
    )
    weightless = [i for i, example in enumerate(context.examples) if _has_answer(example) and not _has_weight(example)]
    yield from context.problems(
        "no-trained-answer",
        "error",
        weightless,
        "have weight 0 on every answer",
        "give one answer a weight",
    )
    yield from context.problems(
        "empty-answer",
        "error",
        [i for i, example in enumerate(context.examples) if _has_empty_turn(example)],
        "have an earlier answer that is empty, of which only the end of the turn would be learned",
        "give these turns weight 0, or take them out",
    )


def _has_answer(example: Example) -> bool:
    if example.text is not None:
        return bool(example.text.strip())
    last = example.messages[-1]
    is_empty = not last.content.strip() and not last.tool_calls
    return last.role == "assistant" and not is_empty and _has_rejected_answer(example)


def _has_empty_turn(example: Example) -> bool:
    """Whether a trained answer before the last says nothing; of pairs and rated answers only the last is trained."""
    if example.rejected or example.is_desirable is not None:
        return False
    return any(m.is_trained and not m.content.strip() and not m.tool_calls for m in example.prompt)


def _has_rejected_answer(example: Example) -> bool:
    """A pair needs both answers."""
    return not example.rejected or bool(example.rejected[-1].content.strip() or example.rejected[-1].tool_calls)


def _has_weight(example: Example) -> bool:
    return example.text is not None or any(m.role == "assistant" and m.weight != 0 for m in example.messages)
