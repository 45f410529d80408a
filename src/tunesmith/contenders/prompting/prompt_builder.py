"""How a prompt is transformed before a model sees it, as data: what is evaluated is exactly what is
served and exported later.

    the user's own template around the question -> instruction -> fixed shots -> retrieved texts

One `PromptBuilder` makes every contender's prompts, during the evaluation and afterwards
(`contenders/contender_loading.py`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tunesmith.contenders.prompting.context_budget import ContextBudget
from tunesmith.contenders.prompting.few_shot import append_instruction, with_shots
from tunesmith.contenders.retrieval.prompt_augmentation import RetrievalIndex
from tunesmith.records import Completer, Completion, Example, Message, ProgressCallback, Prompt

PLACEHOLDER = re.compile(r"\{\{\s*(?:input|question|prompt)\s*\}\}|\{(?:input|question|prompt)\}")
"""Where the question goes in a user's own template. Other braces (JSON) stay as they are."""


@dataclass(frozen=True, slots=True)
class PromptBuilder:
    """What is added around a question; nothing by default.

    `template` is the user message with a placeholder for the question; `instruction` is appended to
    the system message; `shots` are fixed; `index` retrieves up to `k` texts per question, as many
    as `context_budget` admits.
    """

    instruction: str = ""
    shots: tuple[Example, ...] = ()
    template: str = ""
    index: RetrievalIndex | None = None
    k: int = 0
    context_budget: ContextBudget | None = None

    def rewrite_prompts(self, prompts: Sequence[Prompt]) -> list[Prompt]:
        """The prompts as the model will see them."""
        changed = list(prompts)
        if self.template:
            changed = [fill_template(self.template, prompt) for prompt in changed]
        if self.instruction:
            changed = [append_instruction(prompt, self.instruction) for prompt in changed]
        if self.shots:
            changed = [with_shots(prompt, self.shots) for prompt in changed]
        # Retrieval last: the budget must know the prompt with everything else in it.
        return (
            self.index.rewrite_prompts(changed, self.k, self.context_budget)
            if self.index
            else changed
        )

    def wrap(self, completer: Completer) -> Completer:
        """A completer that sends the transformed prompts to the inner one."""
        return PromptedCompleter(completer, self)


@dataclass(frozen=True, slots=True)
class PromptedCompleter:
    """A `Completer` that transforms each prompt and passes it to another completer."""

    completer: Completer
    prompt_builder: PromptBuilder

    def complete(
        self, prompts: Sequence[Prompt], progress: ProgressCallback | None = None
    ) -> list[Completion]:
        """One completion per prompt; see `records.Completer`."""
        return self.completer.complete(self.prompt_builder.rewrite_prompts(prompts), progress)


def fill_template(template: str, prompt: Prompt) -> Prompt:
    """The prompt with its last user message inserted at the template's placeholder."""
    last = max((i for i, message in enumerate(prompt) if message.role == "user"), default=None)
    if last is None:
        return (*prompt, Message("user", template))
    # A function as replacement: `sub` would interpret backslashes in the question.
    text = PLACEHOLDER.sub(lambda _: prompt[last].content, template)
    return (*prompt[:last], replace(prompt[last], content=text), *prompt[last + 1 :])
