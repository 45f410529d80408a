"""A model in memory to generate with: one by its name, a tuned run, the winner of a verdict, or an
exported folder.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from os import PathLike, fspath
from typing import Any, Literal, overload

from tunesmith.errors import ModelError, UsageError
from tunesmith.providers.local_completer import LocalCompleter
from tunesmith.providers.openai_compatible import RemoteCompleter
from tunesmith.records import (
    Completer,
    Completion,
    Message,
    ProgressCallback,
    Prompt,
    Sampling,
)
from tunesmith.workflow.chat import ChatSession, load_chat

Conversation = Sequence[Message | Mapping[str, Any]]
"""Turns such as `{"role": "user", "content": "..."}`, up to the question to answer."""
GREEDY = Sampling()
_ROLES = ("system", "user", "assistant")


class Model:
    """Answers questions and conversations. `load_model` makes it.

    It is a `Completer` too, so that `evaluate` and `decide` take it as a contender. `name` says
    what answers; `reason` why this contender of a run does, "" if it was asked for by name.
    """

    def __init__(self, session: ChatSession) -> None:
        self._contender = session.contender
        self.name, self.reason = session.name, session.reason

    def __repr__(self) -> str:
        return f"Model({self.name!r})"

    @overload
    def generate(  # type: ignore[overload-overlap]  # a text is a sequence of texts to mypy
        self,
        prompts: str,
        *,
        max_new_tokens: int | None = None,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> str: ...

    @overload
    def generate(
        self,
        prompts: Sequence[str | Conversation],
        *,
        max_new_tokens: int | None = None,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> list[str]: ...

    def generate(
        self,
        prompts: str | Sequence[str | Conversation],
        *,
        max_new_tokens: int | None = None,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> str | list[str]:
        """The answer to one question, or the answers to a list of questions and conversations.

        Temperature 0 gives the most likely answer. Above 0, each token is drawn from the most
        likely ones that together have probability `top_p`. The same call gives the same answers;
        prompt number i of a list has the seed `seed + i`, so equal prompts get different ones.

        Errors: `ModelError` for a prompt that cannot be answered; `UsageError` if this model
        cannot sample.
        """
        several = [prompts] if isinstance(prompts, str) else prompts
        completer = self._choose_completer(max_new_tokens, Sampling(temperature, top_p, seed))
        read = [self._contender.build_prompt(read_prompt(one)) for one in several]
        completions = completer.complete(read)
        for number, one in enumerate(completions, 1):
            if one.error is not None:
                raise ModelError(
                    "cannot-answer",
                    "cannot answer this prompt",
                    at=f"prompt {number:,}",
                    got=one.error,
                    hint="shorten it",
                )
        texts = [one.text for one in completions]
        return texts[0] if isinstance(prompts, str) else texts

    def stream(
        self,
        prompt: str | Conversation,
        *,
        max_new_tokens: int | None = None,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> Iterator[str]:
        """The answer in pieces, as it is generated; in one piece if it is constrained or comes
        from a service. Errors: as `generate`.
        """
        completer = self._choose_completer(max_new_tokens, Sampling(temperature, top_p, seed))
        read = self._contender.build_prompt(read_prompt(prompt))
        if isinstance(completer, LocalCompleter) and completer.constraint is None:
            yield from completer.stream(read)
            return
        (completion,) = completer.complete([read])
        if completion.error is not None:
            raise ModelError(
                "cannot-answer",
                "cannot answer this prompt",
                got=completion.error,
                hint="shorten it",
            )
        yield completion.text

    def complete(
        self, prompts: Sequence[Prompt], progress: ProgressCallback | None = None
    ) -> list[Completion]:
        """One completion per prompt, greedy, with tokens and seconds; see `Completer`."""
        read = [self._contender.build_prompt(prompt) for prompt in prompts]
        return self._contender.completer.complete(read, progress)

    def _choose_completer(self, max_new_tokens: int | None, sampling: Sampling) -> Completer:
        completer = self._contender.completer
        if isinstance(completer, LocalCompleter):
            limit = max_new_tokens or completer.max_new_tokens
            return replace(completer, max_new_tokens=limit, sampling=sampling)
        if isinstance(completer, RemoteCompleter):
            limit = max_new_tokens or completer.recipe.max_tokens
            return replace(
                completer, recipe=completer.recipe.replace(max_tokens=limit), sampling=sampling
            )
        if sampling.temperature > 0:
            raise UsageError(
                "not-sampled",
                f"{self.name} picks the most likely label, which is not sampled",
                hint="leave temperature out, or load another contender",
            )
        return completer


def load_model(
    name: str | PathLike[str],
    *,
    contender: str | None = None,
    system_prompt: str | None = None,
    max_new_tokens: int | None = None,
) -> Model:
    """Load a model by name, a model's folder, a run (by folder or id), or an exported folder.

    A run answers with the winner of its verdict, or with its `contender` of that name, as it was
    measured: same prompt, examples, search index and output constraint. `system_prompt` replaces
    its own.

    Errors: `ModelError`, `RunError`, `UsageError`; `InputError` for a limit beyond the context.
    """
    return Model(load_chat(fspath(name), system_prompt, max_new_tokens, contender))


def read_prompt(prompt: str | Conversation) -> Prompt:
    """A question or a conversation as messages. Errors: `UsageError`."""
    if isinstance(prompt, str):
        return (Message("user", prompt),)
    if isinstance(prompt, Mapping) or not prompt:
        raise _build_prompt_error(f"a {type(prompt).__name__}")
    return tuple(map(_read_turn, prompt))


def _read_turn(turn: Message | Mapping[str, Any]) -> Message:
    if isinstance(turn, Message):
        return turn
    if not isinstance(turn, Mapping) or set(turn) != {"role", "content"}:
        raise _build_prompt_error(repr(turn)[:80])
    role: Literal["system", "user", "assistant"] = turn["role"]
    if role not in _ROLES or not isinstance(turn["content"], str):
        raise _build_prompt_error(repr(turn)[:80])
    return Message(role, turn["content"])


def _build_prompt_error(found: str) -> UsageError:
    return UsageError(
        "not-a-prompt",
        "prompt is neither a string nor a list of turns",
        got=found,
        hint='write "..." or [{"role": "user", "content": "..."}]',
    )
