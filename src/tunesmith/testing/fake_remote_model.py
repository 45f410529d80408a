"""A remote model without a service, for tests of what stands around one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from tunesmith.errors import ResponseFormatRefused
from tunesmith.records import Completion, OutputConstraint, ProgressCallback, Prompt


@dataclass(frozen=True)
class FakeRemoteModel:
    """A `RemoteModel` that answers with a function of the prompt. Token counts are word counts.

    `is_constrainable`: whether it can hold its answers to labels; an answer that is not one of them
    becomes the first.
    """

    answer: Callable[[Prompt], str] = lambda prompt: prompt[-1].content if prompt else ""
    is_constrainable: bool = True
    key_use: str | None = None
    notes: list[str] = field(default_factory=list)
    form: OutputConstraint | None = None

    def complete(
        self, prompts: Sequence[Prompt], progress: ProgressCallback | None = None
    ) -> list[Completion]:
        """One completion per prompt, in their order."""
        if self.form is not None and prompts and not self.is_constrainable:
            raise ResponseFormatRefused("form-refused", "structured output is not supported")
        completions = []
        for number, prompt in enumerate(prompts, start=1):
            text = " ".join(self.answer(prompt).split())
            if self.form is not None and self.form.labels and text not in self.form.labels:
                text = self.form.labels[0]
            words = sum(len(message.content.split()) for message in prompt)
            completions.append(Completion(text, words, len(text.split()), 0.0))
            if progress is not None:
                progress(number, len(prompts))
        return completions

    def constrain(self, form: OutputConstraint) -> "FakeRemoteModel":
        """The same model held to a form; the notes are shared."""
        return replace(self, form=form)

    def describe_key_use(self) -> str | None:
        """The sentence that was given."""
        return self.key_use
