"""Model -> answers, one question at a time."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from tunesmith.errors import InputError
from tunesmith.providers.local import LocalCompleter
from tunesmith.providers.local_model import NamedModel
from tunesmith.records import Completion, Message, Prompt
from tunesmith.workflow.inventory import folder_if_run, recipe_of


@dataclass
class Talk:
    """A conversation with one model. The instruction stands in front of every prompt."""

    name: str
    completer: LocalCompleter
    instruction: str | None
    turns: list[Message] = field(default_factory=list)

    def answer(self, question: str) -> Completion:
        """Answer one question by itself."""
        return self.completer.complete([self._prompt(question)])[0]

    def say(self, question: str) -> Iterator[str]:
        """Answer piece by piece with the turns so far in mind; question and answer join them. Errors: `ModelError`."""
        pieces = []
        for piece in self.completer.stream(self._prompt(question)):
            pieces.append(piece)
            yield piece
        self.turns += [Message("user", question), Message("assistant", "".join(pieces).strip())]

    def _prompt(self, question: str) -> Prompt:
        system = [Message("system", self.instruction)] if self.instruction else []
        return (*system, *self.turns, Message("user", question))


def open_talk(name: str, instruction: str | None, max_new_tokens: int) -> Talk:
    """Load a model for talking. A run answers as it did when it was measured: in the precision it was trained in, asked
    with the instruction it was trained with unless another is given.

    Errors: `ModelError`.
    """
    name = folder_if_run(name)
    recipe = recipe_of(name)
    if instruction is None and recipe is not None:
        instruction = recipe.data.instruction
    named = NamedModel.open(name)
    if max_new_tokens >= (named.context_tokens or max_new_tokens + 1):
        raise InputError(
            "too-long", "The answer cannot be longer than what the model reads.", where="--max-new-tokens",
            found=f"{max_new_tokens:,}", do=f"ask for less than {named.context_tokens:,}",
        )  # fmt: skip
    local = named.load(recipe.training.precision) if recipe else named.load()
    return Talk(name, local.completer(max_new_tokens), instruction)
