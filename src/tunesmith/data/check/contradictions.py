"""The same prompt with different answers: a model can learn one, and a scorer counts the other as wrong."""

from collections import defaultdict
from collections.abc import Iterator

from tunesmith.data.check.context import CheckContext
from tunesmith.data.keys import normalised
from tunesmith.records import Problem


def check_contradictions(context: CheckContext) -> Iterator[Problem]:
    by_prompt: defaultdict[str, list[int]] = defaultdict(list)
    for i, (example, key) in enumerate(zip(context.examples, context.prompt_keys, strict=True)):
        if example.prompt and not example.rejected and example.is_desirable is None:
            by_prompt[key].append(i)
    found = [
        i
        for same in by_prompt.values()
        if len(same) > 1 and len({normalised(context.examples[i].answer_with_calls) for i in same}) > 1
        for i in same
    ]
    yield from context.problems(
        "different-answers",
        "warning",
        sorted(found),
        "share a prompt with one that is answered differently",
        "decide which answer is right; they stay on one side of the split",
    )
