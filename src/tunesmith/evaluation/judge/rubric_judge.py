"""A judge that grades one answer on a scale, by a rubric."""

from collections.abc import Sequence
from dataclasses import dataclass

from tunesmith.evaluation.judge.caching_completer import CachingCompleter
from tunesmith.evaluation.judge.prompt_sanitizer import sanitize, sanitize_answer, wrap_in_fence
from tunesmith.evaluation.judge.verdict_parsing import RULES, parse_verdict
from tunesmith.evaluation.scorers.scorer_protocol import ScoringFailure, ScoringInput
from tunesmith.records import Message, ProgressCallback, Prompt

DEFAULT_RUBRIC = (
    "A good answer says what the reference says and answers the question; other words are fine,"
    " other facts are not."
)


@dataclass(frozen=True, slots=True)
class RubricJudge:
    """Grades single answers. `scale` are the grades from worst to best, as people used them."""

    name: str
    completer: CachingCompleter
    scale: tuple[str, ...]
    rubric: str = DEFAULT_RUBRIC

    @property
    def verdicts(self) -> tuple[str, ...]:
        """The verdicts it may give."""
        return self.scale

    def rate_items(
        self,
        items: Sequence[ScoringInput],
        *,
        is_reversed: bool = False,
        progress: ProgressCallback | None = None,
    ) -> list[str | ScoringFailure]:
        """A grade for each item; `is_reversed` lists the scale from best to worst, which should not
        change the grade."""
        prompts = [self._build_prompt(item, is_reversed) for item in items]
        replies = self.completer.complete(prompts, progress) if prompts else []
        return [parse_verdict(reply, self.scale) for reply in replies]

    def _build_prompt(self, item: ScoringInput, is_reversed: bool) -> Prompt:
        marks = ", ".join(self.scale[::-1] if is_reversed else self.scale)
        order = "best to worst" if is_reversed else "worst to best"
        asked = (
            f"You mark answers. {RULES} The verdict is one of these marks, from {order}: {marks}.\n"
            f"What counts: {self.rubric}"
        )
        texts = [
            ("question", sanitize(item.question)),
            ("reference answer", sanitize(item.reference)),
        ]
        parts = [wrap_in_fence(kind, text) for kind, text in texts if text]
        answer = sanitize_answer(item.answer, item.question, item.reference)
        parts.append(wrap_in_fence("answer to mark", answer or "(empty)"))
        return (
            Message("system", asked),
            Message("user", "\n\n".join([*parts, "Mark the answer by what counts."])),
        )
