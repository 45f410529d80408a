"""Judges as scorers, and a judge beside a scorer that needs no model.

    judge_mark          place of the mark on its scale, 0 worst and 1 best
    judge_preference    1 the answer is better than the reference, 0.5 neither or not the same in both orders, 0 worse

An answer that gets the best verdict is shown to the judge once more, as the answer to a question of another kind. If
it is best there, too, the verdict was not about the question: the judge follows the answer, or marks everything best.
Then there is no score; that is counted and told.

Beside another scorer a judge decides only when it has qualified. An unqualified one is shown under its own metric.
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
    score_items,
    score_one,
)
from tunesmith.records.evaluation import join_scorer_names

CONTROL_QUESTION = "Which chemical element has the symbol Au, and what is its atomic number?"
CONTROL_ANSWER = "Gold; its atomic number is 79."
INDISCRIMINATE_VERDICT = ScoringFailure("the judge finds this answer best for a question of another kind, too")
WINNER_RANKS = {"b": 0, "tie": 1, "a": 2}
"""Where a preference stands on the scale from worse to better, for a."""


class JudgeScorer(Protocol):
    """A judge as a scorer; `told` says in words what happened on the way."""

    name: str
    metric: str

    def score_items(self, items: Sequence[ScoringInput]) -> list[dict[str, float] | ScoringFailure]:
        """One entry for each item."""
        ...

    def list_notes(self) -> tuple[str, ...]:
        """Sentences with counts, for the report."""
        ...


class RubricScorer:
    """One answer, one mark."""

    name = "judge"
    metric = "judge_mark"
    corpus_metrics: Mapping[str, CorpusMetric] = {}

    def __init__(self, judge: RubricJudge) -> None:
        self.judge = judge
        self._log = _JudgeLog()

    def find_reference_error(self, reference: str) -> str | None:
        """Any reference will do, also none."""
        return None

    def score(self, answer: str, reference: str) -> dict[str, float]:
        """`judge_mark` in [0, 1]."""
        return score_one(self, answer, reference)

    def score_items(self, items: Sequence[ScoringInput]) -> list[dict[str, float] | ScoringFailure]:
        """All are put to the judge together."""
        best = len(self.judge.scale) - 1
        return [
            place if isinstance(place, ScoringFailure) else {self.metric: place / max(best, 1)}
            for place in self.rate_by_rank(items)
        ]

    def rate_by_rank(self, items: Sequence[ScoringInput]) -> list[int | ScoringFailure]:
        """The mark of each as its place on the scale."""
        self._log.record_items(items)
        marks = self.judge.rate_items(items)
        best = self.judge.scale[-1]
        again = [i for i, mark in enumerate(marks) if mark == best]
        others = self.judge.rate_items([ScoringInput(items[i].answer, CONTROL_ANSWER, CONTROL_QUESTION) for i in again])
        for i, other in zip(again, others, strict=True):
            if other == best:
                marks[i] = self._log.record_indiscriminate()
        return [mark if isinstance(mark, ScoringFailure) else self.judge.scale.index(mark) for mark in marks]

    def list_notes(self) -> tuple[str, ...]:
        """What was done to answers before they were shown, and which verdicts were refused."""
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
        """It is one of the two that are compared."""
        return None if reference.strip() else "it is empty"

    def score(self, answer: str, reference: str) -> dict[str, float]:
        """`judge_preference`: 0, 0.5 or 1."""
        return score_one(self, answer, reference)

    def score_items(self, items: Sequence[ScoringInput]) -> list[dict[str, float] | ScoringFailure]:
        """An answer that is the reference is a tie, unasked."""
        apart = [i for i, item in enumerate(items) if item.answer.strip() != item.reference.strip()]
        self._log.record_items([items[i] for i in apart])
        found = self.compare_pairs([AnswerPair(items[i].question, items[i].answer, items[i].reference) for i in apart])
        scores: list[dict[str, float] | ScoringFailure] = [{self.metric: 0.5} for _ in items]
        for i, one in zip(apart, found, strict=True):
            scores[i] = one if isinstance(one, ScoringFailure) else {self.metric: WINNER_RANKS[one.winner] / 2}
        return scores

    def compare_pairs(self, pairs: Sequence[AnswerPair]) -> list[Preference | ScoringFailure]:
        """What the judge prefers; who wins must not win with another question, too."""
        found = self.judge.compare_pairs(pairs)
        again = [i for i, one in enumerate(found) if isinstance(one, Preference) and one.winner != "tie"]
        winners = [pairs[i].a if found[i].winner == "a" else pairs[i].b for i in again]  # type: ignore[union-attr]
        others = self.judge.compare_pairs([AnswerPair(CONTROL_QUESTION, winner, CONTROL_ANSWER) for winner in winners])
        for i, other in zip(again, others, strict=True):
            if isinstance(other, Preference) and other.winner == "a":
                found[i] = self._log.record_indiscriminate()
        self._log.order_dependent += sum(isinstance(one, Preference) and not one.is_consistent for one in found)
        return found

    def list_notes(self) -> tuple[str, ...]:
        """What was done to answers, which verdicts were refused, and which turned with the order."""
        return self._log.list_notes()


class _JudgeLog:
    """What happened on the way, counted."""

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
        said = (
            (self._counts["long"], f"answers were shown to the judge cut to {MAX_CHARACTERS:,} characters"),
            (self._counts["spoke"], "answers spoke to the judge; those sentences were taken out"),
            (self._counts["best"], "verdicts are not counted: the answer was best for a question of another kind, too"),
            (self.order_dependent, "verdicts turned with the order of the two answers and count as ties"),
        )
        return tuple(f"{count:,} {what}." for count, what in said if count)


class ScorerWithJudge:
    """A scorer and a judge side by side: both metrics, and the one that may decide first."""

    def __init__(self, plain: Scorer, judge: JudgeScorer, *, decides: bool) -> None:
        self._plain, self._judge, self._decides = plain, judge, decides
        first, second = (judge, plain) if decides else (plain, judge)
        self.name = join_scorer_names(first.name, second.name)
        self.metric = judge.metric if decides else plain.metric

    @property
    def corpus_metrics(self) -> Mapping[str, CorpusMetric]:
        """Those of the plain scorer."""
        return self._plain.corpus_metrics

    def find_reference_error(self, reference: str) -> str | None:
        """What the plain scorer finds."""
        return find_reference_error(self._plain, reference)

    def score(self, answer: str, reference: str) -> dict[str, float]:
        """The scores of both."""
        return score_one(self, answer, reference)

    def score_items(self, items: Sequence[ScoringInput]) -> list[dict[str, float] | ScoringFailure]:
        """An item without the deciding score is unscored; without the other one it lacks only that."""
        judged, plain = self._judge.score_items(items), score_items(self._plain, items)
        first, second = (judged, plain) if self._decides else (plain, judged)
        return [
            one if isinstance(one, ScoringFailure) else {**one, **(other if isinstance(other, dict) else {})}
            for one, other in zip(first, second, strict=True)
        ]

    def list_notes(self) -> tuple[str, ...]:
        """What happened on the judge's way."""
        return self._judge.list_notes()
