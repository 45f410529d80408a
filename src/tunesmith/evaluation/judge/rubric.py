"""A judge that gives one answer a mark on a scale, by a rubric."""

from collections.abc import Sequence
from dataclasses import dataclass

from tunesmith.evaluation.judge.counted import CountedCompleter
from tunesmith.evaluation.judge.shown import fenced, shown, shown_answer
from tunesmith.evaluation.judge.verdict import RULES, verdict_in
from tunesmith.evaluation.scorers.scorer import Item, Unscored
from tunesmith.records import Message, Progress, Prompt

RUBRIC = (
    "A good answer says what the reference says and answers the question; other words are fine, other facts are not."
)


@dataclass(frozen=True, slots=True)
class RubricJudge:
    """`scale` are the marks from worst to best, as people used them."""

    name: str
    completer: CountedCompleter
    scale: tuple[str, ...]
    rubric: str = RUBRIC

    @property
    def verdicts(self) -> tuple[str, ...]:
        """What it may say."""
        return self.scale

    def marks(
        self, items: Sequence[Item], *, is_turned: bool = False, progress: Progress | None = None
    ) -> list[str | Unscored]:
        """A mark for each; `is_turned` lists the scale from best to worst, which should change nothing."""
        prompts = [self._prompt(item, is_turned) for item in items]
        replies = self.completer.complete(prompts, progress) if prompts else []
        return [verdict_in(reply, self.scale) for reply in replies]

    def _prompt(self, item: Item, is_turned: bool) -> Prompt:
        marks = ", ".join(self.scale[::-1] if is_turned else self.scale)
        order = "best to worst" if is_turned else "worst to best"
        asked = (
            f"You mark answers. {RULES} The verdict is one of these marks, from {order}: {marks}.\n"
            f"What counts: {self.rubric}"
        )
        texts = [("question", shown(item.question)), ("reference answer", shown(item.reference))]
        parts = [fenced(kind, text) for kind, text in texts if text]
        answer = shown_answer(item.answer, item.question, item.reference)
        parts.append(fenced("answer to mark", answer or "(empty)"))
        return (Message("system", asked), Message("user", "\n\n".join([*parts, "Mark the answer by what counts."])))
