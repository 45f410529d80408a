"""Which answers of a contender are wrong.

For exact scores and JSON, everything below 1 is wrong. Free text hardly ever scores 1; if fewer
than one answer in ten does, and scores are graded, everything below one half is wrong. Missing
answers and those that could not be judged are counted separately: their failure says nothing about
what was not learned.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tunesmith.data.final_answer import extract_final_answer
from tunesmith.errors import DataError
from tunesmith.records import Answer, Evaluation, Example

MAX_FREE_TEXT_PERFECT_FRACTION = 0.1
"""Graded scores with a smaller fraction of perfect ones are treated as free text."""
FREE_TEXT_MIN_CORRECT_SCORE = 0.5
"""Free text with a lower score is wrong."""


@dataclass(frozen=True, slots=True)
class ScoredExample:
    """One test example with its answer. `score` is None if there is none; `is_wrong` is then
    False.
    """

    example: Example
    answer: Answer
    score: float | None
    is_wrong: bool

    @property
    def predicted(self) -> str:
        """The final answer, without reasoning: the part that was scored."""
        return extract_final_answer(self.answer.text)

    @property
    def expected(self) -> str:
        """The expected final answer."""
        return extract_final_answer(self.example.answer)

    @property
    def loss(self) -> float:
        """1 - score; 0 without a score."""
        return 0.0 if self.score is None else 1 - self.score


@dataclass(frozen=True, slots=True)
class ScoredExamples:
    """All test examples of a contender; those below `min_correct_score` are wrong."""

    all: tuple[ScoredExample, ...]
    min_correct_score: float

    @property
    def answered(self) -> list[ScoredExample]:
        """The examples with a score."""
        return [case for case in self.all if case.score is not None]

    @property
    def wrong(self) -> list[ScoredExample]:
        """The examples with a score that is too low."""
        return [case for case in self.all if case.is_wrong]


def build_scored_examples(
    evaluation: Evaluation, answers: Sequence[Answer], examples: Sequence[Example]
) -> ScoredExamples:
    """Answers with their examples, in the order of the test set. Errors: `DataError` if some do not
    match.
    """
    by_id = {example.id: example for example in examples}
    if [answer.example for answer in answers] != list(evaluation.examples) or not by_id.keys() >= {
        *evaluation.examples
    }:
        raise DataError(
            "other-answers",
            "answers do not match the test examples of this evaluation",
            got=(
                f"{len(answers):,} answers, {len(evaluation.examples):,} test examples, "
                f"{len(by_id):,} examples provided"
            ),
            hint="pass the answers and the test examples of the same run",
        )
    scores = [answer.scores.get(evaluation.metric) for answer in answers]
    limit = choose_min_correct_score([score for score in scores if score is not None])
    return ScoredExamples(
        tuple(
            ScoredExample(by_id[answer.example], answer, score, score is not None and score < limit)
            for answer, score in zip(answers, scores, strict=True)
        ),
        limit,
    )


def choose_min_correct_score(scores: Sequence[float]) -> float:
    """The score below which an answer is wrong; by the rule at the top of this module."""
    is_graded = any(0 < score < 1 for score in scores)
    perfect = sum(score == 1 for score in scores)
    return (
        FREE_TEXT_MIN_CORRECT_SCORE
        if is_graded and perfect < MAX_FREE_TEXT_PERFECT_FRACTION * len(scores)
        else 1.0
    )
