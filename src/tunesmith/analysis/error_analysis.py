"""A contender's stored answers -> its errors, similar training examples, suspect training answers,
recommended actions.
"""

from collections.abc import Mapping, Sequence

from tunesmith.analysis.by_field import group_by_field
from tunesmith.analysis.by_format import group_by_format
from tunesmith.analysis.by_label import group_by_label, group_by_label_pair
from tunesmith.analysis.by_length import group_by_length
from tunesmith.analysis.by_topic import group_by_topic
from tunesmith.analysis.error_clusters import ErrorCluster, build_error_groups
from tunesmith.analysis.label_issues import (
    MIN_SIGNALS,
    LabelSignal,
    SignalSource,
    collect_model_signals,
    collect_neighbor_signals,
    describe_signals,
    find_label_issues,
    select_examined,
)
from tunesmith.analysis.nearest_examples import TrainIndex, build_failures
from tunesmith.analysis.scored_examples import ScoredExamples, build_scored_examples
from tunesmith.analysis.suggestions import Suggester
from tunesmith.contenders.retrieval.search_index import DenseIndex
from tunesmith.data.label_detection import find_labels
from tunesmith.records import (
    Analysis,
    Answer,
    Embedder,
    ErrorGroup,
    Evaluation,
    Example,
    LabelIssue,
)

MAX_SHOWN_FAILURES = 50
MAX_SHOWN_LABEL_ISSUES = 50
MAX_SHOWN_GROUPS = 10
MAX_EMBEDDED_EXAMPLES = 5000
"""Training examples that are embedded: this many short questions take about half a minute on two
cores.
"""


def analyze_errors(
    evaluation: Evaluation,
    answers: Sequence[Answer],
    examples: Sequence[Example],
    train: Sequence[Example],
    contender: str,
    model_predictions: Mapping[str, tuple[str, float]] | None = None,
    embedder: Embedder | None = None,
) -> Analysis:
    """The errors of one contender.

    `answers` are its answers to the test `examples`; `model_predictions` are the tuned model's
    answers to training examples, with their probabilities; with an `embedder` neighbors are also
    searched by meaning. Errors: `DataError` if answers and examples do not belong together.
    """
    cases = build_scored_examples(evaluation, answers, examples)
    questions = [example for example in train if example.messages]
    index = TrainIndex(questions)
    judged = _group_errors(cases, evaluation, [example.answer for example in questions])
    suspects, suspects_by, among = _find_label_issues(questions, index, model_predictions, embedder)
    suggester = Suggester(questions, index, len(cases.answered), len(cases.wrong))
    failed = [case for case in cases.all if case.score is None]
    # Ties are broken by id, so that the same answers give the same report.
    worst = [*sorted(cases.wrong, key=lambda case: (-case.loss, case.example.id)), *failed]
    return Analysis(
        contender=contender,
        metric=evaluation.metric,
        min_correct_score=cases.min_correct_score,
        n=len(cases.answered),
        n_wrong=len(cases.wrong),
        n_unanswered=len(failed),
        groups=tuple(_select_groups([group for _, group in judged])),
        failures=tuple(build_failures(worst[:MAX_SHOWN_FAILURES], index)),
        label_issues=tuple(suspects[:MAX_SHOWN_LABEL_ISSUES]),
        n_label_issues=len(suspects),
        label_issue_signals=suspects_by,
        n_checked_labels=among,
        suggestions=tuple(suggester.suggest(judged, suspects, suspects_by)),
    )


def _group_errors(
    cases: ScoredExamples, evaluation: Evaluation, train_answers: Sequence[str]
) -> list[tuple[ErrorCluster, ErrorGroup]]:
    """Every group of errors with its record."""
    if not cases.wrong:
        return []
    sorts: list[tuple[list[ErrorCluster], int]] = [group_by_length(cases), group_by_topic(cases)]
    scorers = evaluation.scorer_names
    if "label" in scorers and train_answers:
        sorts += [group_by_label_pair(cases, train_answers), group_by_label(cases, train_answers)]
    if "json" in scorers:
        sorts.append(group_by_field(cases))
    sorts.append((group_by_format(cases, scorers, train_answers), 0))
    return [
        pair
        for clusters, family in sorts
        for pair in zip(
            clusters, build_error_groups(clusters, len(cases.wrong), family), strict=True
        )
    ]


def _select_groups(groups: Sequence[ErrorGroup]) -> list[ErrorGroup]:
    """The first ones of each grouping, and all significant ones."""
    counts: dict[str, int] = {}
    shown = []
    for group in groups:
        counts[group.by] = counts.get(group.by, 0) + 1
        if group.is_significant or counts[group.by] <= MAX_SHOWN_GROUPS:
            shown.append(group)
    return shown


def _find_label_issues(
    train: Sequence[Example],
    index: TrainIndex,
    model_predictions: Mapping[str, tuple[str, float]] | None,
    embedder: Embedder | None,
) -> tuple[list[LabelIssue], str, int]:
    """Suspects, the signals that were compared, and the number of training examples with a signal.

    Neighbors can contradict an answer only if answers repeat; with a single signal nothing is
    suspected.
    """
    signals: dict[SignalSource, Mapping[str, LabelSignal]] = {}
    if model_predictions is not None:
        signals["model"] = collect_model_signals(model_predictions)
    some = select_examined(train)
    if find_labels([example.answer for example in train]) is not None and (
        model_predictions is not None or embedder is not None
    ):
        signals["words"] = collect_neighbor_signals(some, index, "nearest neighbors by words")
        if embedder is not None:
            by_meaning = TrainIndex(
                _select_embedded(train), lambda texts: DenseIndex(texts, embedder)
            )
            signals["meaning"] = collect_neighbor_signals(
                some, by_meaning, "nearest neighbors by meaning"
            )
    if len(signals) < MIN_SIGNALS:
        return [], "", 0
    spoken = [example for example in train if any(example.id in of for of in signals.values())]
    return find_label_issues(spoken, signals), describe_signals(signals), len(spoken)


def _select_embedded(train: Sequence[Example]) -> list[Example]:
    """The examples to embed: the first ones by id, a fair sample, since ids are hashes."""
    return sorted(train, key=lambda example: example.id)[:MAX_EMBEDDED_EXAMPLES]
