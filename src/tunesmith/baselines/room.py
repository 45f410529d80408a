"""How much fits before an answer: the longest prompt that the model can read and still have room to answer.

What does not fit is left out before it is asked, the farthest first: a retrieved example too many must not cost a
contender its answer.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tunesmith.errors import ModelError
from tunesmith.records import ChatTokenizer, Prompt


@dataclass(frozen=True, slots=True)
class Room:
    """Holds prompts of up to `most_tokens`: what the model reads less what its answer may take."""

    tokenizer: ChatTokenizer
    most_tokens: int

    def holds(self, prompt: Prompt) -> bool:
        """Whether it fits. One that the template refuses does: whoever answers says what is wrong with it."""
        try:
            text = self.tokenizer.render(prompt, open_answer=True)
        except ModelError:
            return True
        if len(text.encode()) <= self.most_tokens:  # no token is shorter than a byte
            return True
        return len(self.tokenizer.encode([text])[0].ids) <= self.most_tokens


def most_that_fit(build: Callable[[int], Prompt], k: int, room: Room | None) -> int:
    """With how many pieces, at most k, the prompt that `build` makes still fits; 0 where not even one does."""
    return next((pieces for pieces in range(k, 0, -1) if room is None or room.holds(build(pieces))), 0)
