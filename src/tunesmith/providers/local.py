"""Answers from a model on this machine: render, encode, generate, decode.

The same lines ask the base model and the tuned one; which of them answers is a matter of the generator.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunesmith.data.written import written_ranges
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

    def stream(self, prompt: Prompt) -> Iterator[str]:
        """One answer, piece by piece as it is made. Errors: `ModelError` when the prompt cannot be answered."""
        ids, errors = self._encode([prompt])
        if errors:
            raise ModelError("cannot-answer", "This cannot be answered.", found=errors[0], do="shorten it")
        tokens: list[int] = []
        told = ""
        for token in self.generator.stream(ids[0], self.max_new_tokens, set(self.tokenizer.stop_ids)):
            tokens.append(token)
            text = self.tokenizer.decode(tokens)
            if not text.endswith("\ufffd"):  # a character of several tokens is told when it is whole
                yield text[len(told) :]
                told = text
        yield self.tokenizer.decode(tokens)[len(told) :]

    def _encode(self, prompts: Sequence[Prompt]) -> tuple[list[list[int]], dict[int, str]]:
        """(token ids of every prompt, why the prompts at these places cannot be answered)."""
        errors: dict[int, str] = {}
        texts: list[str] = []
        ranges: list[list[tuple[int, int]]] = []
        for i, prompt in enumerate(prompts):
            try:
                text = self.tokenizer.render(prompt, open_answer=True)
                written = written_ranges(self.tokenizer, prompt, (), text, open_answer=True)
            except ModelError as error:
                errors[i] = str(error)
                text, written = "", []
            if written is None:
                errors[i] = "a message spells a control token, and the chat template rewrites the message"
            texts.append(text)
            ranges.append(written or [])
        ids = [encoded.ids for encoded in self.tokenizer.encode(texts, ranges)]
        limit = self.generator.context_length
        for i, tokens in enumerate(ids):
            if i not in errors and len(tokens) + self.max_new_tokens > limit:
                errors[i] = (
                    f"the prompt has {len(tokens):,} tokens and the answer may have {self.max_new_tokens:,}; "
                    f"the model reads {limit:,} in all"
                )
        return ids, errors
