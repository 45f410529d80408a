"""A model, or the winner of a run -> answers, one question at a time."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from tunesmith.contenders.contender_loading import LoadedContender, choose_contender, open_contender
from tunesmith.contenders.successive_halving import EMPTY_BUILDER
from tunesmith.errors import InputError, ModelError, UsageError
from tunesmith.export.bundle_loading import is_bundle, load_bundle
from tunesmith.providers.local_completer import LocalCompleter
from tunesmith.providers.local_model import ResolvedModel
from tunesmith.records import Completion, Message, Prompt
from tunesmith.runs.local_inventory import resolve_run_or_name
from tunesmith.runs.run_folder import RunFolder

DEFAULT_MAX_NEW_TOKENS = 256
"""Tokens of an answer, for a model that no run sets a limit for."""


@dataclass
class ChatSession:
    """A conversation with one model, or with one contender of a run."""

    contender: LoadedContender
    turns: list[Message] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Name of the model or contender that answers."""
        return self.contender.name

    @property
    def reason(self) -> str:
        """Why this contender of a run answers; "" if it was named by the user."""
        return self.contender.reason

    def answer(self, question: str) -> Completion:
        """Answer one question, with the turns so far but without adding to them."""
        return self.contender.complete([self._build_prompt(question)])[0]

    def send(self, question: str) -> Iterator[str]:
        """Stream the answer with the turns so far as context; question and answer are then added.
        Errors: `ModelError`.
        """
        pieces = []
        for piece in self._stream_answer(self._build_prompt(question)):
            pieces.append(piece)
            yield piece
        # Only after a complete answer: a conversation that was broken off stays as it was.
        self.turns += [Message("user", question), Message("assistant", "".join(pieces).strip())]

    def _stream_answer(self, prompt: Prompt) -> Iterator[str]:
        """Token by token if the answer is unconstrained; as a whole if it is constrained or comes
        from a service.
        """
        completer = self.contender.completer
        if isinstance(completer, LocalCompleter) and completer.constraint is None:
            yield from completer.stream(self.contender.build_prompt(prompt))
            return
        (completion,) = self.contender.complete([prompt])
        if completion.error:
            raise ModelError(
                "cannot-answer",
                "cannot answer this message",
                got=completion.error,
                hint="shorten the message",
            )
        yield completion.text

    def _build_prompt(self, question: str) -> Prompt:
        return (*self.turns, Message("user", question))


def load_chat(
    name: str,
    instruction: str | None = None,
    max_new_tokens: int | None = None,
    contender: str | None = None,
) -> ChatSession:
    """Load a model for a conversation.

    An exported folder answers as its `answer.py` does. A run answers with the winner of its
    verdict, or with the `contender` of that name, as it was
    measured: same precision, prompt, examples, search index and output constraint. `instruction`
    replaces the run's own. Errors: `ModelError`, `RunError`, `UsageError`, `InputError` for an
    answer limit beyond the model's context.
    """
    name = resolve_run_or_name(name)
    if is_bundle(Path(name)) and contender is None:
        loaded = load_bundle(Path(name), max_new_tokens)
        return ChatSession(loaded if instruction is None else replace(loaded, system=instruction))
    if not (Path(name) / "recipe.yaml").is_file():
        return ChatSession(
            _serve_model(name, instruction, max_new_tokens or DEFAULT_MAX_NEW_TOKENS, contender)
        )
    folder = RunFolder.open(name)
    chosen = choose_contender(folder, contender)
    if max_new_tokens is not None and chosen.inference_config.remote is None:
        _check_limit(ResolvedModel.open(name), max_new_tokens)
    served = open_contender(folder, chosen, max_new_tokens)
    return ChatSession(served if instruction is None else replace(served, system=instruction))


def _serve_model(
    name: str, instruction: str | None, max_new_tokens: int, contender: str | None
) -> LoadedContender:
    if contender is not None:
        raise UsageError(
            "not-a-run",
            "only a run has contenders",
            at=name,
            got=f"--contender {contender}",
            hint="pass a run of tunesmith decide; or remove --contender",
        )
    named = ResolvedModel.open(name)
    _check_limit(named, max_new_tokens)
    model = named.load()
    return LoadedContender(
        name, "", instruction, EMPTY_BUILDER, model.create_completer(max_new_tokens), model
    )


def _check_limit(named: ResolvedModel, max_new_tokens: int) -> None:
    if max_new_tokens >= (named.context_tokens or max_new_tokens + 1):
        raise InputError(
            "too-long",
            "answer limit exceeds the context length of the model",
            at="--max-new-tokens",
            got=f"{max_new_tokens:,}",
            hint=f"use a value below {named.context_tokens:,}",
        )
