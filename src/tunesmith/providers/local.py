"""Answers from a model on this machine: render, encode, generate, decode.

The same lines ask the base model and the tuned one; which of them answers is a matter of the generator.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tunesmith.errors import ModelError
from tunesmith.records import ChatTokenizer, Completion, Progress, Prompt

if TYPE_CHECKING:  # importing it loads torch, which whoever made the generator has already paid for
    from tunesmith.engine.generate import Generator


@dataclass(frozen=True)
class LocalCompleter:
    """A `Completer`. A prompt that the template refuses or the model cannot hold gets a completion with `error`."""

    tokenizer: ChatTokenizer
    generator: "Generator"
    max_new_tokens: int

    def complete(self, prompts: Sequence[Prompt], progress: Progress | None = None) -> list[Completion]:
        """One completion per prompt, in the order of the prompts; nothing is cut to fit."""
        ids, errors = self._encode(prompts)
        answerable = [i for i in range(len(prompts)) if i not in errors]

        def report(ready: int, _: int) -> None:
            if progress is not None:
                progress(len(errors) + ready, len(prompts))

        report(0, 0)
        generated = self.generator.generate(
            [ids[i] for i in answerable], self.max_new_tokens, set(self.tokenizer.stop_ids), report
        )
        completions = {
            i: Completion("", len(ids[i]), 0, 0.0, finished=False, error=error) for i, error in errors.items()
        }
        for i, answer in zip(answerable, generated, strict=True):
            text = self.tokenizer.decode(answer.tokens).strip()
            completions[i] = Completion(text, len(ids[i]), len(answer.tokens), answer.seconds, answer.finished)
        return [completions[i] for i in range(len(prompts))]

    def _encode(self, prompts: Sequence[Prompt]) -> tuple[list[list[int]], dict[int, str]]:
        """(token ids of every prompt, why the prompts at these places cannot be answered)."""
        errors: dict[int, str] = {}
        texts: list[str] = []
        ranges: list[list[tuple[int, int]]] = []
        for i, prompt in enumerate(prompts):
            try:
                text = self.tokenizer.render(prompt, open_answer=True)
                written = self._written_ranges(prompt, text)
            except ModelError as error:
                errors[i] = str(error)
                text, written = "", []
            texts.append(text)
            ranges.append(written)
        ids = [encoded.ids for encoded in self.tokenizer.encode(texts, ranges)]
        limit = self.generator.context_length
        for i, tokens in enumerate(ids):
            if i not in errors and len(tokens) + self.max_new_tokens > limit:
                errors[i] = (
                    f"the prompt has {len(tokens):,} tokens and the answer may have {self.max_new_tokens:,}; "
                    f"the model reads {limit:,} in all"
                )
        return ids, errors

    def _written_ranges(self, prompt: Prompt, text: str) -> list[tuple[int, int]]:
        """Where people's own words stand in the text, if they spell a control token; else it does not matter.

        The prompt is rendered again with a marker for every message; between the markers stands the template.
        """
        if not any(token in message.content for message in prompt for token in self.tokenizer.control_tokens):
            return []
        marked = [replace(message, content=f"\ue000{i}\ue001") for i, message in enumerate(prompt)]
        first, *rest = re.split("\ue000[0-9]+\ue001", self.tokenizer.render(marked, open_answer=True))
        ranges, rebuilt = [], first
        for message, after in zip(prompt, rest, strict=False):
            words = message.content if text.startswith(message.content, len(rebuilt)) else message.content.strip()
            ranges.append((len(rebuilt), len(rebuilt) + len(words)))
            rebuilt += words + after
        if rebuilt != text:
            raise ModelError(
                "control-token-in-text", "A message spells a control token, and the template rewrites the message.",
                found="the place of the person's own words is not known", do="take the control token out of it",
            )  # fmt: skip
        return ranges
