"""A completer without a model, for tests that need answers but no model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tunesmith.records import Completion, ProgressCallback, Prompt


@dataclass(frozen=True)
class FakeCompleter:
    """Answers from a table (keyed by the content of the last message) or a function of the prompt.

    A prompt that the table does not hold, or for which the function returns None, gets a completion
    with `error`. Token counts are word counts.
    """

    answers: Mapping[str, str] | Callable[[Prompt], str | None]
    seconds: float = 0.0

    def complete(
        self, prompts: Sequence[Prompt], progress: ProgressCallback | None = None
    ) -> list[Completion]:
        """One completion per prompt, in the order of the prompts."""
        completions = []
        for prompt in prompts:
            completions.append(self._answer(prompt))
            if progress is not None:
                progress(len(completions), len(prompts))
        return completions

    def _answer(self, prompt: Prompt) -> Completion:
        tokens_in = sum(len(message.content.split()) for message in prompt)
        text = (
            self.answers(prompt)
            if callable(self.answers)
            else self.answers.get(prompt[-1].content if prompt else "")
        )
        if text is None:
            return Completion(
                "", tokens_in, 0, 0.0, finished=False, error="the fake has no answer to this prompt"
            )
        return Completion(text, tokens_in, len(text.split()), self.seconds)
