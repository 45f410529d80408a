"""Answers from a model on this machine: render, encode, generate, decode.

Base model and tuned model share this code path; the generator determines which of them answers.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tunesmith.data.tool_call_format import read_calls
from tunesmith.errors import ModelError
from tunesmith.providers.prompt_encoding import EncodedPrompt, encode_prompts, mark_too_long
from tunesmith.records import (
    ChatTokenizer,
    Completion,
    GenerationMode,
    ProgressCallback,
    Prompt,
    Sampling,
    get_offered_tools,
)

if TYPE_CHECKING:  # importing these loads torch, which the creator of the generator has loaded
    from tunesmith.engine.generation.sampling import Constraint
    from tunesmith.engine.generator import Generator

GREEDY = Sampling()


def with_shared_tokens(
    completions: Sequence[Completion], prompts: Sequence[Sequence[int]], way: GenerationMode
) -> list[Completion]:
    """The completions with `mode` set and with `tokens_shared`: the number of the prompt's tokens
    whose computation was shared with other prompts. `prompts` are token ids."""
    from tunesmith.engine.generation.shared_prefixes import (
        group_by_prefix,
    )  # its package loads torch

    made = [replace(one, mode=way) for one in completions]
    asked = [i for i, one in enumerate(completions) if one.error is None]
    for group in group_by_prefix([prompts[i] for i in asked]):
        # A shared prefix is computed once per group, so of `n` prompts `n - 1` computations are
        # saved; each prompt reports the average.
        shared = group.length * (len(group.prompts) - 1) // len(group.prompts)
        for k in group.prompts:
            made[asked[k]] = replace(made[asked[k]], tokens_shared=shared)
    return made


@dataclass(frozen=True)
class LocalCompleter:
    """A `Completer`. A prompt that the template rejects or that exceeds the model's context gets a
    completion with `error`.

    `constraint` creates a fresh output constraint for each answer. Prompt
    number i of a call is sampled with seed `sampling.seed + i`.
    """

    tokenizer: ChatTokenizer
    generator: "Generator"
    max_new_tokens: int
    constraint: "Callable[[], Constraint] | None" = None
    sampling: Sampling = GREEDY

    def complete(
        self, prompts: Sequence[Prompt], progress: ProgressCallback | None = None
    ) -> list[Completion]:
        """One completion per prompt, in the order of the prompts; nothing is truncated to fit."""
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
            sampling=[self.sampling.for_prompt(i) for i in answerable],
            constraints=[self.constraint() for _ in answerable] if self.constraint else None,
        )
        completions = [
            Completion("", len(one.ids), 0, 0.0, finished=False, error=one.error) for one in opened
        ]
        for i, answer in zip(answerable, generated, strict=True):
            text = self._decode(answer.tokens, prompts[i])
            completions[i] = Completion(
                text, len(opened[i].ids), len(answer.tokens), answer.seconds, answer.is_complete
            )
        way: GenerationMode = "constrained" if self.constraint else "written"
        return with_shared_tokens(completions, [one.ids for one in opened], way)

    def stream(self, prompt: Prompt) -> Iterator[str]:
        """One answer in pieces as it is generated. Errors: `ModelError` if the prompt has none."""
        (opened,) = self._encode([prompt])
        if opened.error:
            raise ModelError(
                "cannot-answer", "cannot generate an answer", got=opened.error, hint="shorten it"
            )
        tokens: list[int] = []
        told = ""
        for token in self.generator.stream(
            opened.ids,
            self.max_new_tokens,
            set(self.tokenizer.stop_ids),
            temperature=self.sampling.temperature,
            top_p=self.sampling.top_p,
            seed=self.sampling.seed,
        ):
            tokens.append(token)
            # Decode all tokens each time: how one token is spelled depends on those before it.
            text = self.tokenizer.decode(tokens)
            # A character of multiple tokens decodes to U+FFFD until it is complete.
            if not text.endswith("\ufffd"):
                yield text[len(told) :]
                told = text
        yield self.tokenizer.decode(tokens)[len(told) :]

    def _decode(self, tokens: Sequence[int], prompt: Prompt) -> str:
        """The text of an answer; calls of the tools that the prompt offers in their common form."""
        text = self.tokenizer.decode(tokens).strip()
        tools = get_offered_tools(prompt)
        if not tools or self.constraint is not None:
            return text
        return read_calls(self.tokenizer, text, tools)

    def _encode(self, prompts: Sequence[Prompt]) -> list[EncodedPrompt]:
        opened = encode_prompts(self.tokenizer, prompts)
        return mark_too_long(opened, self.max_new_tokens, self.generator.context_length)
