"""Model, or the winner of a run -> answers, one question at a time."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from tunesmith.baselines.choosing import NOTHING_AROUND
from tunesmith.errors import InputError, ModelError, UsageError
from tunesmith.providers.local import LocalCompleter
from tunesmith.providers.local_model import NamedModel
from tunesmith.records import Completion, Message, Prompt
from tunesmith.runs.folder import RunFolder
from tunesmith.workflow.inventory import folder_if_run
from tunesmith.workflow.serving import Served, choose_contender, open_contender

USUAL_TOKENS = 256


@dataclass
class Talk:
    """A conversation with one model, or with one contender of a run."""

    served: Served
    turns: list[Message] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Who answers."""
        return self.served.name

    @property
    def why(self) -> str:
        """Why just this contender of a run answers; "" where somebody named it."""
        return self.served.why

    def answer(self, question: str) -> Completion:
        """Answer one question by itself."""
        return self.served.complete([self._prompt(question)])[0]

    def say(self, question: str) -> Iterator[str]:
        """Answer piece by piece with the turns so far in mind; question and answer join them. Errors: `ModelError`."""
        pieces = []
        for piece in self._pieces(self._prompt(question)):
            pieces.append(piece)
            yield piece
        self.turns += [Message("user", question), Message("assistant", "".join(pieces).strip())]

    def _pieces(self, prompt: Prompt) -> Iterator[str]:
        """Token by token where the answer is free; whole where it is held to a form, or comes from a service."""
        completer = self.served.completer
        if isinstance(completer, LocalCompleter) and completer.constraint is None:
            yield from completer.stream(self.served.asked(prompt))
            return
        (completion,) = self.served.complete([prompt])
        if completion.error:
            raise ModelError("cannot-answer", "This cannot be answered.", found=completion.error, do="shorten it")
        yield completion.text

    def _prompt(self, question: str) -> Prompt:
        return (*self.turns, Message("user", question))


def open_talk(
    name: str, instruction: str | None, max_new_tokens: int | None = None, contender: str | None = None
) -> Talk:
    """Load a model for talking. A run answers by the winner of its verdict, or by the `contender` of that name, as it
    did when it was measured: in its precision, with its prompt, its examples, what it searches and the form of its
    answers. `instruction` stands in the place of the run's own.

    Errors: `ModelError`, `RunError`, `UsageError`, `InputError` for an answer longer than what the model reads.
    """
    name = folder_if_run(name)
    if not (Path(name) / "recipe.yaml").is_file():
        return Talk(_bare(name, instruction, max_new_tokens or USUAL_TOKENS, contender))
    folder = RunFolder.open(name)
    chosen = choose_contender(folder, contender)
    if max_new_tokens is not None and chosen.serving.remote is None:
        _check_limit(NamedModel.open(name), max_new_tokens)
    served = open_contender(folder, chosen, max_new_tokens)
    return Talk(served if instruction is None else replace(served, system=instruction))


def _bare(name: str, instruction: str | None, max_new_tokens: int, contender: str | None) -> Served:
    if contender is not None:
        raise UsageError(
            "not-a-run", "Only a run has contenders.", where=name, found=f"--contender {contender}",
            do="give a run of tunesmith decide, or leave --contender out",
        )  # fmt: skip
    named = NamedModel.open(name)
    _check_limit(named, max_new_tokens)
    model = named.load()
    return Served(name, "", instruction, NOTHING_AROUND, model.completer(max_new_tokens), model)


def _check_limit(named: NamedModel, max_new_tokens: int) -> None:
    if max_new_tokens >= (named.context_tokens or max_new_tokens + 1):
        raise InputError(
            "too-long", "The answer cannot be longer than what the model reads.", where="--max-new-tokens",
            found=f"{max_new_tokens:,}", do=f"ask for less than {named.context_tokens:,}",
        )  # fmt: skip
