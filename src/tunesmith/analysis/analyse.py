"""A contender's stored answers -> what it gets wrong, what is near, which train answers are suspect, what to do."""

from collections.abc import Mapping, Sequence

from tunesmith.analysis.by_field import by_field
from tunesmith.analysis.by_form import by_form
from tunesmith.analysis.by_labels import by_label, by_labels
from tunesmith.analysis.by_length import by_length
from tunesmith.analysis.by_topic import by_topic
from tunesmith.analysis.cases import Cases, cases_of
from tunesmith.analysis.found import Found, as_groups
from tunesmith.analysis.neighbours import TrainIndex, failures_of
from tunesmith.analysis.suggest import Suggester
from tunesmith.analysis.suspects import (
    SIGNALS_NEEDED,
    Signal,
    Source,
    examined,
    find_suspects,
    name_signals,
    signals_of_model,
    signals_of_neighbors,
)  # fmt: skip
from tunesmith.baselines.rag.index import DenseIndex
from tunesmith.data.label_set import find_labels
from tunesmith.records import Analysis, Answer, Embedder, ErrorGroup, Evaluation, Example, Suspect

SHOWN_FAILURES = 50
SHOWN_SUSPECTS = 50
SHOWN_GROUPS = 10
MOST_EMBEDDED = 5000
"""Vectors of so many short questions take about half a minute of two cores."""


def analyse(
    evaluation: Evaluation,
    answers: Sequence[Answer],
    examples: Sequence[Example],
    train: Sequence[Example],
    contender: str,
    beliefs: Mapping[str, tuple[str, float]] | None = None,
    embedder: Embedder | None = None,
) -> Analysis:
    """The errors of one contender.

    `answers` are its answers to the test `examples`; `beliefs` what the tuned model says to train examples, with its
    probability; `embedder` finds the neighbors by meaning, where there is one. Errors: `DataError` when answers and
    examples do not belong together.
    """
    cases = cases_of(evaluation, answers, examples)
    questions = [example for example in train if example.messages]
    index = TrainIndex(questions)
    judged = _judged(cases, evaluation, [example.answer for example in questions])
    suspects, suspects_by, among = _suspects(questions, index, beliefs, embedder)
    suggester = Suggester(questions, index, len(cases.answered), len(cases.wrong))
    failed = [case for case in cases.all if case.score is None]
    worst = [*sorted(cases.wrong, key=lambda case: (-case.loss, case.example.id)), *failed]
    return Analysis(
        contender=contender,
        metric=evaluation.metric,
        wrong_below=cases.wrong_below,
        n=len(cases.answered),
        wrong=len(cases.wrong),
        unanswered=len(failed),
        groups=tuple(_shown([group for _, group in judged])),
        failures=tuple(failures_of(worst[:SHOWN_FAILURES], index)),
        suspects=tuple(suspects[:SHOWN_SUSPECTS]),
        suspected=len(suspects),
        suspects_by=suspects_by,
        suspects_among=among,
        suggestions=tuple(suggester.suggest(judged, suspects, suspects_by)),
    )


def _judged(cases: Cases, evaluation: Evaluation, train_answers: Sequence[str]) -> list[tuple[Found, ErrorGroup]]:
    """Every group of errors beside its record."""
    if not cases.wrong:
        return []
    sorts: list[tuple[list[Found], int]] = [by_length(cases), by_topic(cases)]
    scorers = evaluation.scorers
    if "label" in scorers and train_answers:
        sorts += [by_labels(cases, train_answers), by_label(cases, train_answers)]
    if "json" in scorers:
        sorts.append(by_field(cases))
    sorts.append((by_form(cases, scorers, train_answers), 0))
    return [
        pair for found, family in sorts for pair in zip(found, as_groups(found, len(cases.wrong), family), strict=True)
    ]


def _shown(groups: Sequence[ErrorGroup]) -> list[ErrorGroup]:
    """Of each sort the first ones, and all that are beyond noise."""
    counts: dict[str, int] = {}
    shown = []
    for group in groups:
        counts[group.by] = counts.get(group.by, 0) + 1
        if group.is_beyond_noise or counts[group.by] <= SHOWN_GROUPS:
            shown.append(group)
    return shown


def _suspects(
    train: Sequence[Example],
    index: TrainIndex,
    beliefs: Mapping[str, tuple[str, float]] | None,
    embedder: Embedder | None,
) -> tuple[list[Suspect], str, int]:
    """Suspects, the signals that were compared, and how many train examples they spoke about.

    Neighbors can contradict an answer only where answers repeat; with one signal nothing is suspected.
    """
    signals: dict[Source, Mapping[str, Signal]] = {}
    if beliefs is not None:
        signals["model"] = signals_of_model(beliefs)
    some = examined(train)
    if find_labels([example.answer for example in train]) is not None and (beliefs is not None or embedder is not None):
        signals["words"] = signals_of_neighbors(some, index, "nearest by words")
        if embedder is not None:
            by_meaning = TrainIndex(_embedded(train), lambda texts: DenseIndex(texts, embedder))
            signals["meaning"] = signals_of_neighbors(some, by_meaning, "nearest by meaning")
    if len(signals) < SIGNALS_NEEDED:
        return [], "", 0
    spoken = [example for example in train if any(example.id in of for of in signals.values())]
    return find_suspects(spoken, signals), name_signals(signals), len(spoken)


def _embedded(train: Sequence[Example]) -> list[Example]:
    """Those that are given vectors: the first by id, as those that are examined."""
    return sorted(train, key=lambda example: example.id)[:MOST_EMBEDDED]
