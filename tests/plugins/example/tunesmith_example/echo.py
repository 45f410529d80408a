"""A provider of remote models: one that repeats the question, for trying out what costs nothing.

    evaluation: {remote: [{name: parrot, model: any, base_url: "echo://localhost"}]}

It stands for a service whose protocol is not OpenAI's: where it answers locally, another provider
sends a request.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tunesmith.records import Completion, OutputConstraint, ProgressCallback, Prompt, RemoteRecipe


@dataclass(frozen=True)
class EchoModel:
    """The last message, up to `max_tokens` words; held to labels, the first one that it names."""

    recipe: RemoteRecipe
    form: OutputConstraint | None = None
    notes: tuple[str, ...] = ()

    def complete(
        self, prompts: Sequence[Prompt], progress: ProgressCallback | None = None
    ) -> list[Completion]:
        """One completion per prompt, in their order; none for a question that is too long."""
        completions = []
        for number, prompt in enumerate(prompts, start=1):
            completions.append(self._answer(prompt[-1].content if prompt else ""))
            if progress is not None:
                progress(number, len(prompts))
        return completions

    def constrain(self, form: OutputConstraint) -> "EchoModel":
        """The same model with its answers held to a form."""
        return replace(self, form=form)

    def describe_key_use(self) -> str | None:
        """None: it needs no key. One that does takes it from `providers.api_keys.read_api_key`."""
        return None

    def _answer(self, question: str) -> Completion:
        words = question.split()
        if len(words) > self.recipe.max_tokens:
            return Completion("", len(words), 0, 0.0, finished=False, error="the question is long")
        if self.form is not None and self.form.labels:
            named = [label for label in self.form.labels if label in question]
            words = [*named, self.form.labels[0]][:1]
        return Completion(" ".join(words), len(question.split()), len(words), 0.0)
