"""What to do about the errors: at most ten suggestions, most promising first.

Each suggestion states two numbers: the gain of the metric on these test examples if the group
became as good as the rest is now, and if none of its errors were left. Neither is a forecast; the
first is the more realistic one. Groups overlap (an error has a label pair, a length and a topic),
so the gains do not add up; a suggestion for mostly the same errors as a better one is dropped.
Suggestions without significance come last and are marked.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from tunesmith.analysis.by_format import TRUNCATED
from tunesmith.analysis.error_clusters import ErrorCluster
from tunesmith.analysis.nearest_examples import TrainIndex, collect_neighbors
from tunesmith.analysis.scored_examples import ScoredExample
from tunesmith.records import ErrorGroup, Example, LabelIssue, Suggestion

MAX_SUGGESTIONS = 10
MIN_ERRORS = 2
"""Errors that a group needs for a suggestion."""
MAX_SHOWN_NEIGHBORS = 6
MIN_OVERLAP_FRACTION = 2 / 3
"""A suggestion that has at least this fraction of its errors in common with a better one is
dropped.
"""
GroupedErrors = tuple[ErrorCluster, ErrorGroup]


class SuggestionDraft(NamedTuple):
    """A suggestion before its neighbors are searched, with its errors."""

    suggestion: Suggestion
    cases: Sequence[ScoredExample]


class Suggester:
    """Makes the suggestions of one analysis: `n` test examples with a score, `wrong` of them
    wrong.
    """

    def __init__(self, train: Sequence[Example], index: TrainIndex, n: int, wrong: int) -> None:
        self._index, self._n, self._wrong = index, n, wrong
        self._train_counts = Counter(example.answer for example in train)
        self._median_count = median(self._train_counts.values()) if self._train_counts else 0

    def suggest(
        self, judged: Sequence[GroupedErrors], suspects: Sequence[LabelIssue], suspects_by: str
    ) -> list[Suggestion]:
        """The best suggestions, at most `MAX_SUGGESTIONS`."""
        pairs: defaultdict[tuple[str, ...], list[GroupedErrors]] = defaultdict(list)
        made: list[SuggestionDraft] = []
        for cluster, group in judged:
            if cluster.by == "labels":
                # A confusion of A with B and of B with A is one suggestion.
                pairs[tuple(sorted(cluster.words))].append((cluster, group))
            elif cluster.by == "form":
                made.append(self._suggest_for_format(cluster))
            elif _is_actionable(cluster, group):
                made.append(self._suggest_for_group(cluster, group))
        made += [
            self._suggest_for_pair(both)
            for both in pairs.values()
            if sum(len(f.errors) for f, _ in both) >= MIN_ERRORS
        ]
        if suspects:
            made.append(SuggestionDraft(self._suggest_label_check(suspects, suspects_by), ()))
        return [
            self._add_neighbors(one)
            for one in _remove_overlapping(sorted(made, key=_get_sort_key))[:MAX_SUGGESTIONS]
        ]

    def _suggest_for_pair(self, both: Sequence[GroupedErrors]) -> SuggestionDraft:
        """A suggestion for two labels that are confused, in one direction or in both."""
        first = max(both, key=lambda one: len(one[0].errors))[0].words
        cases = [case for cluster, _ in both for case in cluster.cases]
        rows, errors = self._count_new_examples(cases), self._format_error_count(len(cases))
        times = " and ".join(
            f"{cluster.words[0]} was predicted as {cluster.words[1]} in {len(cluster.errors)} "
            f"of {cluster.n} cases"
            for cluster, _ in both
        )
        have = " and ".join(f"{self._train_counts[label]:,} of {label}" for label in first)
        return self._build_draft(
            [cluster for cluster, _ in both],
            f"Add {rows} examples that distinguish {first[0]} from {first[1]}: {errors}.",
            (
                f"{times}; the training data has {have} (median per label: "
                f"{self._median_count:,.0f})."
            ),
            not any(group.is_significant for _, group in both),
            rows,
            first,
        )

    def _suggest_for_group(self, cluster: ErrorCluster, group: ErrorGroup) -> SuggestionDraft:
        """A suggestion for a label, a field, a length or a topic."""
        rows, errors = (
            self._count_new_examples(cluster.cases),
            self._format_error_count(len({case.example.id for case in cluster.cases})),
        )
        if cluster.by == "field":
            field, defect = cluster.words
            what = {
                "wrong": f"with a value for {field}",
                "missing": f"that have {field}",
                "extra": f"without {field}",
            }
            text = f"Add {rows} examples {what[defect]}: it is {defect} in {errors}."
        elif cluster.by == "label":
            text = f"Add {rows} examples of {cluster.name}: {errors}."
        elif cluster.by == "length":
            text = f"Add {rows} questions of {cluster.name}: {errors}."
        else:
            text = f"Add {rows} questions about {', '.join(cluster.words)}: {errors}."
        lift = group.excess_rate
        # `_is_actionable` is False without a lift.
        assert lift is not None
        reason = (
            f"{len(cluster.errors):,} of {cluster.n:,} are wrong there, {100 * lift.value:.1f} "
            f"points more than elsewhere (95 % interval {100 * lift.low:.1f} to "
            f"{100 * lift.high:.1f})."
        ).replace("-", "−")
        answers = cluster.words if cluster.by == "label" else ()
        if answers:
            have, typical = self._train_counts[cluster.name], self._median_count
            reason += (
                f" The training data has {have:,} examples of it (median per label: "
                f"{typical:,.0f})."
            )
        return self._build_draft([cluster], text, reason, not group.is_significant, rows, answers)

    def _suggest_for_format(self, cluster: ErrorCluster) -> SuggestionDraft:
        """More examples do not fix what a token limit or a constraint does."""
        errors = self._format_error_count(len(cluster.errors))
        if cluster.name == TRUNCATED:
            text = (
                f"Allow longer answers (evaluation.max_new_tokens): {errors} were cut at the "
                "token limit."
            )
        else:
            text = f"Constrain the answers (evaluation.constrained): {errors} are {cluster.name}."
            text = text.replace("are no known label", "have no known label")
        return self._build_draft(
            [cluster],
            text,
            "Such an answer cannot be correct, whatever the model has learned.",
            False,
        )

    def _suggest_label_check(self, suspects: Sequence[LabelIssue], suspects_by: str) -> Suggestion:
        count = f"{len(suspects):,} training answer{'s' if len(suspects) > 1 else ''}"
        return Suggestion(
            text=f"Check {count} that may be wrong; read each one before you change it.",
            reason=(
                f"Two signals predict the same other answer ({suspects_by}). Wrong training "
                "answers teach errors."
            ),
            errors=0,
            n=self._wrong,
            expected_gain=None,
            max_gain=None,
        )

    def _build_draft(
        self,
        clusters: Sequence[ErrorCluster],
        text: str,
        reason: str,
        may_be_chance: bool,
        rows: int = 0,
        answers: tuple[str, ...] = (),
    ) -> SuggestionDraft:
        cases = [case for one in clusters for case in one.cases]
        gains = [one.estimate_gain(self._n) for one in clusters]
        most = sum(most for _, most in gains)
        suggestion = Suggestion(
            text=text,
            reason=reason,
            errors=len({case.example.id for case in cases}),
            n=self._wrong,
            expected_gain=sum(most if expected is None else expected for expected, most in gains),
            max_gain=most,
            is_uncertain=may_be_chance,
            n_new_examples=rows,
            answers=answers,
        )
        return SuggestionDraft(suggestion, cases)

    def _add_neighbors(self, draft: SuggestionDraft) -> Suggestion:
        """The suggestion with training examples near its errors, if it recommends new examples."""
        if not draft.suggestion.n_new_examples:
            return draft.suggestion
        neighbours = collect_neighbors(draft.cases, self._index, MAX_SHOWN_NEIGHBORS)
        return draft.suggestion.replace(neighbors=neighbours)

    def _count_new_examples(self, cases: Sequence[ScoredExample]) -> int:
        """Twice as many new examples as errors, between 6 and 20: what a person can fill in in one
        session.
        """
        return max(6, min(20, 2 * len(cases)))

    def _format_error_count(self, errors: int) -> str:
        return f"{errors:,} of {self._wrong:,} errors"


def _is_actionable(cluster: ErrorCluster, group: ErrorGroup) -> bool:
    """Lengths and topics are vague: they must be significant. A label or a field can be acted on
    anyway.
    """
    if (
        group.excess_rate is None
        or group.excess_rate.value <= 0
        or len(cluster.errors) < MIN_ERRORS
    ):
        return False
    return group.is_significant or group.by in ("label", "field")


def _get_sort_key(draft: SuggestionDraft) -> tuple[bool, float, int, str]:
    one = draft.suggestion
    return one.is_uncertain, -(one.expected_gain or 0.0), -one.errors, one.text


def _remove_overlapping(ranked: Sequence[SuggestionDraft]) -> list[SuggestionDraft]:
    """The suggestions without those whose errors are mostly covered by an earlier one."""
    kept: list[SuggestionDraft] = []
    covered: list[set[str]] = []
    for draft in ranked:
        ids = {case.example.id for case in draft.cases}
        if draft.suggestion.n_new_examples:
            if any(len(ids & earlier) >= MIN_OVERLAP_FRACTION * len(ids) for earlier in covered):
                continue
            covered.append(ids)
        kept.append(draft)
    return kept
