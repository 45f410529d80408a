"""Examples without an answer, which teach nothing."""

from collections.abc import Iterator

from tunesmith.data.check.context import CheckContext
from tunesmith.data.final_answer import extract_final_answer, is_blank
from tunesmith.records import Example, Message, Problem


def check_answers(context: CheckContext) -> Iterator[Problem]:
    """Problems of missing, empty, weightless or reasoning-only answers and of empty prompts."""
    unusual = [(i, context.examples[i]) for i in context.unusual]
    with_answer = [(i, example) for i, example in unusual if _has_answer(example)]
    found = [i for i, example in unusual if not _has_answer(example)]
    yield from context.report_problems(
        "no-answer",
        "error",
        found,
        "have no answer to train on",
        "add the answers; or remove the examples",
    )
    weightless = [i for i, example in with_answer if not _has_weight(example)]
    yield from context.report_problems(
        "no-trained-answer",
        "error",
        weightless,
        "have weight 0 on every answer",
        "give at least one answer a weight",
    )
    yield from context.report_problems(
        "no-final-answer",
        "warning",
        [i for i, example in with_answer if _is_only_reasoning(example)],
        "have reasoning but no answer after it",
        "add the answer after the reasoning, or remove the examples: only the answer is scored",
    )
    yield from context.report_problems(
        "empty-question",
        "warning",
        [i for i, example in unusual if _has_empty_prompt(example)],
        "have an empty question",
        "write the question, or remove the examples: all of them have the same prompt",
    )
    yield from context.report_problems(
        "empty-answer",
        "error",
        [i for i, example in unusual if _has_empty_turn(example)],
        "have an empty earlier answer, of which only the end of turn would be trained",
        "give these turns weight 0; or remove them",
    )


def _has_answer(example: Example) -> bool:
    if example.text is not None:
        return not is_blank(example.text)
    last = example.messages[-1]
    # A call is an answer even without text, see `_is_empty`.
    return last.role == "assistant" and not _is_empty(last) and _has_rejected_answer(example)


def _has_empty_prompt(example: Example) -> bool:
    """Whether there is a prompt and all of its messages are empty."""
    return bool(example.prompt) and all(map(_is_empty, example.prompt))


def _is_only_reasoning(example: Example) -> bool:
    if example.text is not None or example.messages[-1].tool_calls:
        return False
    return is_blank(extract_final_answer(example.messages[-1].content))


def _is_empty(message: Message) -> bool:
    return not message.tool_calls and is_blank(message.content)


def _has_empty_turn(example: Example) -> bool:
    """Whether a trained answer before the last is empty; pairs and ratings train only the last."""
    if example.rejected or example.is_desirable is not None:
        return False
    return any(m.is_trained and _is_empty(m) for m in example.prompt)


def _has_rejected_answer(example: Example) -> bool:
    """Whether the rejected answer of a pair is not empty; True for other examples."""
    return not example.rejected or not _is_empty(example.rejected[-1])


def _has_weight(example: Example) -> bool:
    return example.text is not None or any(
        m.role == "assistant" and m.weight != 0 for m in example.messages
    )
