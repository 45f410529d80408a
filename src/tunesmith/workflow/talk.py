"""Model -> answers, one question at a time."""

from dataclasses import dataclass, field

from tunesmith.errors import InputError
from tunesmith.providers.local import LocalCompleter
from tunesmith.providers.local_model import NamedModel
from tunesmith.records import Completion, Message
from tunesmith.workflow.inventory import folder_if_run, instruction_of


@dataclass
class Talk:
    """A conversation with one model. The instruction stands in front of every prompt."""

    name: str
    completer: LocalCompleter
    instruction: str | None
    turns: list[Message] = field(default_factory=list)

    def answer(self, question: str, *, remember: bool) -> Completion:
        """Answer a question; with `remember` the turns so far are part of the prompt, and these two join them."""
        system = [Message("system", self.instruction)] if self.instruction else []
        asked = Message("user", question)
        completion = self.completer.complete([(*system, *self.turns, asked)])[0]
        if remember and completion.error is None:
            self.turns += [asked, Message("assistant", completion.text)]
        return completion


def open_talk(name: str, instruction: str | None, max_new_tokens: int) -> Talk:
    """Load a model for talking. A run is asked with the instruction it was trained with unless another is given.

    Errors: `ModelError`.
    """
    name = folder_if_run(name)
    instruction = instruction_of(name) if instruction is None else instruction
    named = NamedModel.open(name)
    if max_new_tokens >= (named.context_tokens or max_new_tokens + 1):
        raise InputError(
            "too-long", "The answer cannot be longer than what the model reads.", where="--max-new-tokens",
            found=f"{max_new_tokens:,}", do=f"ask for less than {named.context_tokens:,}",
        )  # fmt: skip
    return Talk(name, named.load().completer(max_new_tokens), instruction)
