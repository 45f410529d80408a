"""Judges as scorers, and a judge combined with a scorer that needs no model.

    judge_mark          position of the grade on its scale, 0 worst and 1 best
    judge_preference    1 if the answer is better than the reference, 0 if worse, 0.5 if neither is
                        or the verdict depends on the order

An answer with the best verdict is shown to the judge once more, as the answer to an unrelated
question. If it gets the best verdict there, too, the verdict was not about the question: the judge
obeys the answer, or grades everything best. Then there is no score, which is counted and reported.

Combined with another scorer, a judge decides only if it has qualified. Without qualification its
score is shown under its own metric.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol

from tunesmith.evaluation.judge.pairwise_judge import AnswerPair, PairwiseJudge, Preference
from tunesmith.evaluation.judge.prompt_sanitizer import MAX_CHARACTERS, has_injection
from tunesmith.evaluation.judge.rubric_judge import RubricJudge
from tunesmith.evaluation.scorers.scorer_protocol import (
    CorpusMetric,
    Scorer,
    ScoringFailure,
    ScoringInput,
    find_reference_error,
    is_free_text,
    score_items,
    score_one,
)
from tunesmith.records.evaluation import join_scorer_names

CONTROL_QUESTION = "Which chemical element has the symbol Au, and what is its atomic number?"
CONTROL_ANSWER = "Gold; its atomic number is 79."
INDISCRIMINATE_VERDICT = ScoringFailure(
    "the judge also gives this answer the best verdict for an unrelated question"
)
WINNER_RANKS = {"b": 0, "tie": 1, "a": 2}
"""Rank of a winner on a scale from worse to better, from the point of view of answer a."""


class JudgeScorer(Protocol):
    """A judge as a scorer; `list_notes` reports unusual events as sentences."""

    name: str
    metric: str

    def score_items(self, items: Sequence[ScoringInput]) -> list[dict[str, float] | ScoringFailure]:
        """One entry for each item, in order."""
        ...

    def list_notes(self) -> tuple[str, ...]:
        """Sentences with counts, for the report."""
        ...


class RubricScorer:
    """One answer, one grade."""

    name = "judge"
    metric = "judge_mark"
    corpus_metrics: Mapping[str, CorpusMetric] = {}

    def __init__(self, judge: RubricJudge) -> None:
        self.judge = judge
        self._log = _JudgeLog()

    def find_reference_error(self, reference: str) -> str | None:
        """Always None: a judge accepts any reference, also an empty one."""
        return None

    def score(self, answer: str, reference: str) -> dict[str, float]:
        """`judge_mark` in [0, 1]."""
        return score_one(self, answer, reference)

    def score_items(self, items: Sequence[ScoringInput]) -> list[dict[str, float] | ScoringFailure]:
        """One entry for each item; all items go to the judge in one call."""
        best = len(self.judge.scale) - 1
        return [
            place if isinstance(place, ScoringFailure) else {self.metric: place / max(best, 1)}
            for place in self.rate_by_rank(items)
        ]

    def rate_by_rank(self, items: Sequence[ScoringInput]) -> list[int | ScoringFailure]:
        """The grade of each item as its index on the scale."""
        self._log.record_items(items)
        marks = self.judge.rate_items(items)
        best = self.judge.scale[-1]
        # Only the best grade pays off for a manipulated answer, so only that one is verified.
        again = [i for i, mark in enumerate(marks) if mark == best]
        # The same answer to an unrelated question: if it is best there, too, the judge ignores the
        # question.
        others = self.judge.rate_items(
            [ScoringInput(items[i].answer, CONTROL_ANSWER, CONTROL_QUESTION) for i in again]
        )
        for i, other in zip(again, others, strict=True):
            if other == best:
                marks[i] = self._log.record_indiscriminate()
        return [
            mark if isinstance(mark, ScoringFailure) else self.judge.scale.index(mark)
            for mark in marks
        ]

    def list_notes(self) -> tuple[str, ...]:
        """Counts of answers changed before they were shown, and of rejected verdicts."""
        return self._log.list_notes()


class PairwiseScorer:
    """The answer against the reference, in both orders."""

    name = "judge"
    metric = "judge_preference"
    corpus_metrics: Mapping[str, CorpusMetric] = {}

    def __init__(self, judge: PairwiseJudge) -> None:
        self.judge = judge
        self._log = _JudgeLog()

    def find_reference_error(self, reference: str) -> str | None:
        """An error for an empty reference: it is one of the two compared answers."""
        return None if reference.strip() else "it is empty"

    def score(self, answer: str, reference: str) -> dict[str, float]:
        """`judge_preference`: 0, 0.5 or 1."""
        return score_one(self, answer, reference)

    def score_items(self, items: Sequence[ScoringInput]) -> list[dict[str, float] | ScoringFailure]:
        """One entry for each item. An answer equal to its reference is a tie without a request."""
        # Equal texts are a tie by definition, so the judge need not compare them.
        apart = [i for i, item in enumerate(items) if item.answer.strip() != item.reference.strip()]
        self._log.record_items([items[i] for i in apart])
        verdicts = self.compare_pairs(
            [AnswerPair(items[i].question, items[i].answer, items[i].reference) for i in apart]
        )
        scores: list[dict[str, float] | ScoringFailure] = [{self.metric: 0.5} for _ in items]
        for i, one in zip(apart, verdicts, strict=True):
            scores[i] = (
                one
                if isinstance(one, ScoringFailure)
                else {self.metric: WINNER_RANKS[one.winner] / 2}
            )
        return scores

    def compare_pairs(self, pairs: Sequence[AnswerPair]) -> list[Preference | ScoringFailure]:
        """The judge's preferences. The winner is also compared on the control question, where it
        must not win."""
        verdicts = self.judge.compare_pairs(pairs)
        again = [
            i
            for i, one in enumerate(verdicts)
            if isinstance(one, Preference) and one.winner != "tie"
        ]
        winners = [pairs[i].a if verdicts[i].winner == "a" else pairs[i].b for i in again]  # type: ignore[union-attr]
        others = self.judge.compare_pairs(
            [AnswerPair(CONTROL_QUESTION, winner, CONTROL_ANSWER) for winner in winners]
        )
        for i, other in zip(again, others, strict=True):
            if isinstance(other, Preference) and other.winner == "a":
                verdicts[i] = self._log.record_indiscriminate()
        self._log.order_dependent += sum(
            isinstance(one, Preference) and not one.is_consistent for one in verdicts
        )
        return verdicts

    def list_notes(self) -> tuple[str, ...]:
        """Counts of changed answers, of rejected verdicts, and of order-dependent ones."""
        return self._log.list_notes()


class _JudgeLog:
    """Counts of unusual events."""

    def __init__(self) -> None:
        self.order_dependent = 0
        self._counts: Counter[str] = Counter()

    def record_items(self, items: Sequence[ScoringInput]) -> None:
        for item in items:
            self._counts["long"] += len(item.answer) > MAX_CHARACTERS
            self._counts["spoke"] += has_injection(item.answer, item.question, item.reference)

    def record_indiscriminate(self) -> ScoringFailure:
        self._counts["best"] += 1
        return INDISCRIMINATE_VERDICT

    def list_notes(self) -> tuple[str, ...]:
        sentences = (
            (
                self._counts["long"],
                f"answers were truncated to {MAX_CHARACTERS:,} characters for the judge",
            ),
            (self._counts["spoke"], "answers addressed the judge; those sentences were removed"),
            (
                self._counts["best"],
                (
                    "verdicts are not counted: the answer was also judged best for an unrelated "
                    "question"
                ),
            ),
            (
                self.order_dependent,
                "verdicts changed with the order of the two answers and count as ties",
            ),
        )
        return tuple(f"{count:,} {what}." for count, what in sentences if count)


class ScorerWithJudge:
    """A scorer and a judge together: the metrics of both, the primary one first."""

    def __init__(self, plain: Scorer, judge: JudgeScorer, *, decides: bool) -> None:
        self._plain, self._judge, self._decides = plain, judge, decides
        first, second = (judge, plain) if decides else (plain, judge)
        self.name = join_scorer_names(first.name, second.name)
        self.metric = judge.metric if decides else plain.metric
        self.is_free_text = is_free_text(plain)

    @property
    def corpus_metrics(self) -> Mapping[str, CorpusMetric]:
        """Those of the plain scorer."""
        return self._plain.corpus_metrics

    def find_reference_error(self, reference: str) -> str | None:
        """The plain scorer's error."""
        return find_reference_error(self._plain, reference)

    def score(self, answer: str, reference: str) -> dict[str, float]:
        """The scores of both."""
        return score_one(self, answer, reference)

    def score_items(self, items: Sequence[ScoringInput]) -> list[dict[str, float] | ScoringFailure]:
        """One entry for each item. It is unscored if the primary score is missing; if only the
        other one is missing, it lacks that score."""
        judged, plain = self._judge.score_items(items), score_items(self._plain, items)
        first, second = (judged, plain) if self._decides else (plain, judged)
        return [
            (
                one
                if isinstance(one, ScoringFailure)
                else {**one, **(other if isinstance(other, dict) else {})}
            )
            for one, other in zip(first, second, strict=True)
        ]

    def list_notes(self) -> tuple[str, ...]:
        """The judge's notes."""
        return self._judge.list_notes()
