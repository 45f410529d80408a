"""Answers from a model on this machine: render, encode, generate, decode.

The same lines ask the base model and the tuned one; which of them answers is a matter of the generator.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tunesmith.errors import ModelError
from tunesmith.providers.prompt_encoding import EncodedPrompt, encode_prompts, mark_too_long
from tunesmith.records import ChatTokenizer, Completion, GenerationMode, ProgressCallback, Prompt

if TYPE_CHECKING:  # importing it loads torch, which whoever made the generator has already paid for
    from tunesmith.engine.generation.sampling import Constraint
    from tunesmith.engine.generator import Generator


def with_shared_tokens(
    completions: Sequence[Completion], prompts: Sequence[Sequence[int]], way: GenerationMode
) -> list[Completion]:
    """The completions with how many tokens of each prompt (token ids) were computed once for several, and the way."""
    from tunesmith.engine.generation.shared_prefixes import group_by_prefix  # its package loads torch

    made = [replace(one, mode=way) for one in completions]
    asked = [i for i, one in enumerate(completions) if one.error is None]
    for group in group_by_prefix([prompts[i] for i in asked]):
        shared = group.length * (len(group.prompts) - 1) // len(group.prompts)
        for k in group.prompts:
            made[asked[k]] = replace(made[asked[k]], tokens_shared=shared)
    return made


@dataclass(frozen=True)
class LocalCompleter:
    """A `Completer`. A prompt that the template refuses or the model cannot hold gets a completion with `error`.

    `constraint` makes, for each answer, what it is held to.
    """

    tokenizer: ChatTokenizer
    generator: "Generator"
    max_new_tokens: int
    constraint: "Callable[[], Constraint] | None" = None

    def complete(self, prompts: Sequence[Prompt], progress: ProgressCallback | None = None) -> list[Completion]:
        """One completion per prompt, in the order of the prompts; nothing is cut to fit."""
        opened = self._encode(prompts)
        answerable = [i for i, one in enumerate(opened) if one.error is None]

        def report(ready: int, _: int) -> None:
            if progress is not None:
                progress(len(opened) - len(answerable) + ready, len(prompts))

        report(0, 0)
        generated = self.generator.generate(
            [opened[i].ids for i in answerable],
            self.max_new_tokens,
            set(self.tokenizer.stop_ids),
            report,
            constraints=[self.constraint() for _ in answerable] if self.constraint else None,
        )
        completions = [Completion("", len(one.ids), 0, 0.0, finished=False, error=one.error) for one in opened]
        for i, answer in zip(answerable, generated, strict=True):
            text = self.tokenizer.decode(answer.tokens).strip()
            completions[i] = Completion(
                text, len(opened[i].ids), len(answer.tokens), answer.seconds, answer.is_complete
            )
        way: GenerationMode = "constrained" if self.constraint else "written"
        return with_shared_tokens(completions, [one.ids for one in opened], way)

    def stream(self, prompt: Prompt) -> Iterator[str]:
        """One answer, piece by piece as it is made. Errors: `ModelError` when the prompt cannot be answered."""
        (opened,) = self._encode([prompt])
        if opened.error:
            raise ModelError("cannot-answer", "This cannot be answered.", found=opened.error, do="shorten it")
        tokens: list[int] = []
        told = ""
        for token in self.generator.stream(opened.ids, self.max_new_tokens, set(self.tokenizer.stop_ids)):
            tokens.append(token)
            text = self.tokenizer.decode(tokens)
            if not text.endswith("\ufffd"):  # a character of several tokens is told when it is whole
                yield text[len(told) :]
                told = text
        yield self.tokenizer.decode(tokens)[len(told) :]

    def _encode(self, prompts: Sequence[Prompt]) -> list[EncodedPrompt]:
        opened = encode_prompts(self.tokenizer, prompts)
        return mark_too_long(opened, self.max_new_tokens, self.generator.context_length)
