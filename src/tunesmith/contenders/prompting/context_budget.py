"""How much fits before an answer: the longest prompt that leaves the model room to answer.

What does not fit is dropped before the request, the least similar first: one retrieved example too
many must not cost a contender its answer.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tunesmith.errors import ModelError
from tunesmith.records import ChatTokenizer, Prompt


@dataclass(frozen=True, slots=True)
class ContextBudget:
    """A limit of `max_prompt_tokens`: the model's context minus the maximum answer length."""

    tokenizer: ChatTokenizer
    max_prompt_tokens: int

    def fits(self, prompt: Prompt) -> bool:
        """Whether the prompt fits. True for one that the template rejects: the completer reports
        that error."""
        try:
            text = self.tokenizer.render(prompt, open_answer=True)
        except ModelError:
            return True
        if len(text.encode()) <= self.max_prompt_tokens:  # no token is shorter than a byte
            return True
        return len(self.tokenizer.encode([text])[0].ids) <= self.max_prompt_tokens


def count_fitting(
    build: Callable[[int], Prompt], k: int, context_budget: ContextBudget | None
) -> int:
    """The largest number of pieces, at most `k`, with which the prompt still fits; else 0."""
    return next(
        (
            pieces
            for pieces in range(k, 0, -1)
            if context_budget is None or context_budget.fits(build(pieces))
        ),
        0,
    )
