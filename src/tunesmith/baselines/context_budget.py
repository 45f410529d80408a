"""How much fits before an answer: the longest prompt that the model can read and still have room to answer.

What does not fit is left out before it is asked, the farthest first: a retrieved example too many must not cost a
contender its answer.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tunesmith.errors import ModelError
from tunesmith.records import ChatTokenizer, Prompt


@dataclass(frozen=True, slots=True)
class ContextBudget:
    """Holds prompts of up to `most_tokens`: what the model reads less what its answer may take."""

    tokenizer: ChatTokenizer
    max_prompt_tokens: int

    def fits(self, prompt: Prompt) -> bool:
        """Whether it fits. One that the template refuses does: whoever answers says what is wrong with it."""
        try:
            text = self.tokenizer.render(prompt, open_answer=True)
        except ModelError:
            return True
        if len(text.encode()) <= self.max_prompt_tokens:  # no token is shorter than a byte
            return True
        return len(self.tokenizer.encode([text])[0].ids) <= self.max_prompt_tokens


def count_fitting(build: Callable[[int], Prompt], k: int, context_budget: ContextBudget | None) -> int:
    """With how many pieces, at most k, the prompt that `build` makes still fits; 0 where not even one does."""
    return next(
        (pieces for pieces in range(k, 0, -1) if context_budget is None or context_budget.fits(build(pieces))), 0
    )
