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


def with_most(build: Callable[[int], Prompt], k: int, room: Room | None) -> Prompt:
    """The prompt that `build` makes with the most pieces that fit, at most k; with none where not even one does."""
    for pieces in range(k, 0, -1):
        prompt = build(pieces)
        if room is None or room.holds(prompt):
            return prompt
    return build(0)
