"""A kind of contender: the answer to the most similar train question, without any model.

A classifier by the nearest neighbor is often hard to beat, and costs nothing. Similar are the
questions that share most of their words (Jaccard's index).
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tunesmith.records import Completion, ContenderSpec, Example, ProgressCallback, Prompt
from tunesmith.records.contender_kinds import ContenderKind, PlannedContender

if TYPE_CHECKING:
    from tunesmith.contenders.contender_factory import ContenderFactory, PromptFindings
    from tunesmith.contenders.contender_models import ContenderModel
    from tunesmith.evaluation.harness import RunnableContender

NEAREST = ContenderKind(
    "nearest",  # the name of its entry point
    rank=5,  # simpler than any prompt, more complex than what you have already
    verdict="rag",
    needs="needs a search over your examples",
    examples_needed="all",
    uses_retrieval=True,
    contenders=(PlannedContender(("nearest",)),),
    build="tunesmith_example.nearest:build_nearest",
)


class NearestAnswer:
    """Answers with the answer to the nearest train question."""

    def __init__(self, train: Sequence[Example]) -> None:
        self.words = [(_split(example.prompt), example.answer) for example in train]

    def complete(
        self, prompts: Sequence[Prompt], progress: ProgressCallback | None = None
    ) -> list[Completion]:
        """One completion per prompt, in their order."""
        completions = []
        for number, prompt in enumerate(prompts, start=1):
            asked = _split(prompt)
            _, answer = max(self.words, key=lambda one: len(asked & one[0]) / len(asked | one[0]))
            completions.append(Completion(answer, len(asked), len(answer.split()), 0.0))
            if progress is not None:
                progress(number, len(prompts))
        return completions


def build_nearest(
    factory: "ContenderFactory", model: "ContenderModel", findings: "PromptFindings"
) -> Iterator["RunnableContender"]:
    """One contender, whatever the models: it is built beside those of the base model."""
    from tunesmith.evaluation.harness import RunnableContender

    if model.model == "base":
        spec = ContenderSpec(
            name="nearest", kind=NEAREST.name, description="the nearest train answer"
        )
        yield RunnableContender(spec, NearestAnswer(factory.train))


def _split(prompt: Prompt) -> set[str]:
    return {"", *(word for message in prompt for word in message.content.casefold().split())}
