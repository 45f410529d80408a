"""Errors by label, and by pair of labels: expected label, predicted label.

A pair (A, B) is compared with the rest as follows: how often was B predicted among the examples
with label A, and how often among the examples that are neither A nor B? So a label that is
predicted too often everywhere makes no single pair stand out. The family for the correction are all
pairs of an expected label with a label that was predicted anywhere, whether the pair occurred or
not.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence

from tunesmith.analysis.error_clusters import ErrorCluster
from tunesmith.analysis.rate_differences import compare_rates
from tunesmith.analysis.scored_examples import ScoredExample, ScoredExamples
from tunesmith.data.final_answer import extract_final_answer
from tunesmith.evaluation.scorers.label import LabelScorer

ARROW = " → "


def group_by_label_pair(
    cases: ScoredExamples, train_answers: Sequence[str]
) -> tuple[list[ErrorCluster], int]:
    """Every pair that occurs, most errors first, and the number of pairs that could have
    occurred.
    """
    scorer = LabelScorer(list(map(extract_final_answer, train_answers)))
    spelling = {scorer.normalize_label(label): label for label in scorer.label_set.labels}
    rows = [
        (case, scorer.normalize_label(case.expected), scorer.extract_label(case.predicted))
        for case in cases.answered
    ]
    expected, predicted = (
        Counter(want for _, want, _ in rows),
        Counter(say for _, _, say in rows if say is not None),
    )
    table = Counter((want, say) for _, want, say in rows)
    pairs: defaultdict[tuple[str, str], list[ScoredExample]] = defaultdict(list)
    for case, want, say in rows:
        if case.is_wrong and say is not None:
            pairs[want, say].append(case)
    clusters = []
    for (want, say), hits in pairs.items():
        # Predictions of B outside A and B: minus those for A, minus the correct ones for B.
        rest_said = predicted[say] - table[want, say] - table[say, say]
        rest = len(rows) - expected[want] - expected[say]
        contrast = compare_rates(len(hits), expected[want], rest_said, rest)
        words = (spelling.get(want, want), spelling[say])
        parts = tuple((hit, hit.loss) for hit in hits)
        clusters.append(
            ErrorCluster("labels", ARROW.join(words), words, parts, expected[want], contrast)
        )
    family = len(expected) * len(predicted)
    return sorted(clusters, key=lambda one: (-len(one.errors), one.name)), family


def group_by_label(
    cases: ScoredExamples, train_answers: Sequence[str]
) -> tuple[list[ErrorCluster], int]:
    """Every expected label with an error compared with all other labels, most errors first, and the
    number of labels.
    """
    scorer = LabelScorer(list(map(extract_final_answer, train_answers)))
    total = Counter(scorer.normalize_label(case.expected) for case in cases.answered)
    wrong: defaultdict[str, list[ScoredExample]] = defaultdict(list)
    for case in cases.wrong:
        wrong[scorer.normalize_label(case.expected)].append(case)
    clusters = []
    for label, hits in wrong.items():
        rest_wrong, rest = len(cases.wrong) - len(hits), len(cases.answered) - total[label]
        contrast = compare_rates(len(hits), total[label], rest_wrong, rest)
        name = hits[0].expected
        clusters.append(
            ErrorCluster(
                "label",
                name,
                (name,),
                tuple((hit, hit.loss) for hit in hits),
                total[label],
                contrast,
            )
        )
    return sorted(clusters, key=lambda one: (-len(one.errors), one.name)), len(total)


def select_without_label(
    cases: ScoredExamples, train_answers: Sequence[str]
) -> list[ScoredExample]:
    """The wrong answers in which no label can be recognized."""
    scorer = LabelScorer(list(map(extract_final_answer, train_answers)))
    return [case for case in cases.wrong if scorer.extract_label(case.predicted) is None]
