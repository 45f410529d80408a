"""How a prompt is changed before a model sees it, as data: what is evaluated is what is served and exported later.

    the user's own prompt around the question -> instruction -> fixed shots -> what is retrieved

One `Prompting` makes every contender's prompts, in a race and afterwards (`workflow/serving.py`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tunesmith.baselines.prompt import added, with_shots
from tunesmith.baselines.rag.answer import Index
from tunesmith.baselines.room import Room
from tunesmith.records import Completer, Completion, Example, Message, Progress, Prompt

PLACEHOLDER = re.compile(r"\{\{\s*(?:input|question|prompt)\s*\}\}|\{(?:input|question|prompt)\}")
"""Where the question goes in a prompt of the user's own. Other braces (JSON) stay as they are."""


@dataclass(frozen=True, slots=True)
class Prompting:
    """What stands around a question; nothing by default.

    `template` is the user message with a placeholder for the question; `instruction` goes to the end of the system
    message; `shots` are fixed; `index` finds up to `k` texts for each question, as many as `room` holds.
    """

    instruction: str = ""
    shots: tuple[Example, ...] = ()
    template: str = ""
    index: Index | None = None
    k: int = 0
    room: Room | None = None

    def rewritten(self, prompts: Sequence[Prompt]) -> list[Prompt]:
        """The prompts as the model is asked them."""
        changed = list(prompts)
        if self.template:
            changed = [filled(self.template, prompt) for prompt in changed]
        if self.instruction:
            changed = [added(prompt, self.instruction) for prompt in changed]
        if self.shots:
            changed = [with_shots(prompt, self.shots) for prompt in changed]
        return self.index.rewritten(changed, self.k, self.room) if self.index else changed

    def around(self, completer: Completer) -> Completer:
        """A completer that asks the inner one the changed prompts."""
        return Prompted(completer, self)


@dataclass(frozen=True, slots=True)
class Prompted:
    """A `Completer` around another one."""

    completer: Completer
    prompting: Prompting

    def complete(self, prompts: Sequence[Prompt], progress: Progress | None = None) -> list[Completion]:
        """See `records.Completer`."""
        return self.completer.complete(self.prompting.rewritten(prompts), progress)


def filled(template: str, prompt: Prompt) -> Prompt:
    """The prompt with its last user turn put where the template has its placeholder."""
    last = max((i for i, message in enumerate(prompt) if message.role == "user"), default=None)
    if last is None:
        return (*prompt, Message("user", template))
    text = PLACEHOLDER.sub(lambda _: prompt[last].content, template)
    return (*prompt[:last], replace(prompt[last], content=text), *prompt[last + 1 :])
