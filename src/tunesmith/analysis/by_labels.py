"""Errors by label, and by pair of labels: which one was wanted, which one was said.

A pair is set against the rest like this: among the examples that want A, how often was B said, and how often was B said
among the examples that want neither? So a label that is said too often everywhere makes no pair stand out. The family
of the correction are all pairs of a wanted label with a label that was said anywhere, found or not.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence

from tunesmith.analysis.cases import Case, Cases
from tunesmith.analysis.contrast import rates_apart
from tunesmith.analysis.found import Found
from tunesmith.evaluation.scorers.label import LabelScorer
from tunesmith.evaluation.scorers.scorer import normalised

ARROW = " → "


def by_labels(cases: Cases, train_answers: Sequence[str]) -> tuple[list[Found], int]:
    """Every pair that occurs, most errors first, and the number of pairs that could have occurred."""
    scorer = LabelScorer(train_answers)
    spelling = {normalised(label): label for label in reversed(train_answers)}
    rows = [(case, normalised(case.example.answer), scorer.label_of(case.answer.text)) for case in cases.answered]
    wanted, said = Counter(want for _, want, _ in rows), Counter(say for _, _, say in rows if say is not None)
    table = Counter((want, say) for _, want, say in rows)
    pairs: defaultdict[tuple[str, str], list[Case]] = defaultdict(list)
    for case, want, say in rows:
        if case.is_wrong and say is not None:
            pairs[want, say].append(case)
    found = []
    for (want, say), hits in pairs.items():
        rest_said = said[say] - table[want, say] - table[say, say]
        rest = len(rows) - wanted[want] - wanted[say]
        contrast = rates_apart(len(hits), wanted[want], rest_said, rest)
        words = (spelling.get(want, want), spelling[say])
        parts = tuple((hit, hit.loss) for hit in hits)
        found.append(Found("labels", ARROW.join(words), words, parts, wanted[want], contrast))
    family = len(wanted) * len(said)
    return sorted(found, key=lambda one: (-len(one.hits), one.name)), family


def by_label(cases: Cases) -> tuple[list[Found], int]:
    """Every wanted label with an error against all other labels, most errors first, and the number of labels."""
    total = Counter(normalised(case.example.answer) for case in cases.answered)
    wrong: defaultdict[str, list[Case]] = defaultdict(list)
    for case in cases.wrong:
        wrong[normalised(case.example.answer)].append(case)
    found = []
    for label, hits in wrong.items():
        rest_wrong, rest = len(cases.wrong) - len(hits), len(cases.answered) - total[label]
        contrast = rates_apart(len(hits), total[label], rest_wrong, rest)
        name = hits[0].example.answer
        found.append(Found("label", name, (name,), tuple((hit, hit.loss) for hit in hits), total[label], contrast))
    return sorted(found, key=lambda one: (-len(one.hits), one.name)), len(total)


def named_no_label(cases: Cases, train_answers: Sequence[str]) -> list[Case]:
    """The wrong answers that stand for no label at all."""
    scorer = LabelScorer(train_answers)
    return [case for case in cases.wrong if scorer.label_of(case.answer.text) is None]
