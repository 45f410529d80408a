"""The task that all contenders share: built from examples and a scorer, stored with a run, rebuilt
from there.

`build_task` makes it for `decide` and `evaluate` alike; `build_test_set` is its stored part, from
which `rebuild_task` makes it again where answers are compared and not scored.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from tunesmith.data.final_answer import extract_final_answer
from tunesmith.data.label_detection import build_label_set
from tunesmith.errors import RecipeError
from tunesmith.evaluation.harness import Task, check_task
from tunesmith.evaluation.scorers.function import FunctionScorer
from tunesmith.evaluation.scorers.scorer_protocol import (
    CorpusMetric,
    ParsingScorer,
    Scorer,
    ScoringFailure,
    ScoringInput,
)
from tunesmith.evaluation.scorers.scorer_registry import SCORERS, build_scorer
from tunesmith.records import Example, Message, Recipe, TestExample, TestSet
from tunesmith.records.evaluation import split_scorer_name

MAX_SCORER_TRIAL_EXAMPLES = 8
"""Expected answers on which a custom scorer is tried before money is spent."""


def build_task(
    name: str,
    examples: Sequence[Example],
    scorer: Scorer,
    scorer_reason: str,
    recipe: Recipe,
    contaminated_ids: frozenset[str] = frozenset(),
) -> Task:
    """The examples with the scorer that was chosen for them, checked before anything is spent.

    Errors: `DataError`, `RecipeError`.
    """
    task = Task(
        name,
        examples,
        scorer,
        scorer_reason,
        recipe.machine_usd_per_hour,
        recipe.seed,
        contaminated_ids,
    )
    check_task(task)
    check_custom_scorer(task)
    return task


def check_custom_scorer(task: Task) -> None:
    """Reject a custom scorer that fails on the expected answers themselves: it could not decide
    anything.

    Errors: `RecipeError`.
    """
    if not isinstance(task.scorer, FunctionScorer):
        return
    scores = task.scorer.score_items(
        [
            ScoringInput(extract_final_answer(e.answer), extract_final_answer(e.answer), e.question)
            for e in task.examples[:MAX_SCORER_TRIAL_EXAMPLES]
        ]
    )
    faults = [one.reason for one in scores if isinstance(one, ScoringFailure)]
    if len(faults) == len(scores):
        raise RecipeError(
            "failing-scorer",
            f"scorer failed on all {len(scores):,} reference answers",
            at="evaluation.scorer",
            got=faults[0],
            hint="fix the scorer; it is called with an answer and a reference, here the same text "
            "twice",
        )


def build_test_set(task: Task, train_answers: Iterable[str]) -> TestSet:
    """The stored part of the task, from which the verdict can be recomputed."""
    labels = (
        build_label_set(list(map(extract_final_answer, train_answers))).labels
        if "label" in split_scorer_name(task.scorer.name)
        else ()
    )
    return TestSet(
        task=task.name,
        scorer=task.scorer.name,
        scorer_reason=task.scorer_reason,
        metric=task.scorer.metric,
        examples=build_test_examples(task.examples),
        labels=tuple(labels),
        contaminated=tuple(sorted(task.contaminated_ids)),
        machine_usd_per_hour=task.machine_usd_per_hour,
        seed=task.seed,
    )


def build_test_examples(examples: Iterable[Example]) -> tuple[TestExample, ...]:
    """The stored part of the test examples."""
    return tuple(
        TestExample(
            id=one.id,
            question=one.question,
            answer=one.answer,
            group=one.group,
            line=one.line,
            origin=one.origin,
            # Empty for a plain question, which `question` already holds.
            prompt=() if one.prompt == (Message("user", one.question),) else one.prompt,
        )
        for one in examples
    )


def rebuild_task(test: TestSet) -> Task:
    """The task as it was, with a stand-in for its scorer."""
    # A scorer with a judge is named `label + judge`; corpus metrics come from its built-in part.
    name = next((part for part in split_scorer_name(test.scorer) if part in SCORERS), None)
    scorer = build_scorer(name, test.labels or [test.examples[0].answer]) if name else None
    judged = _StoredScorer(test.scorer, test.metric, scorer.corpus_metrics if scorer else {})
    finder: object = scorer
    if test.scorer in SCORERS and isinstance(finder, ParsingScorer):
        judged = _StoredFindingScorer(
            judged.name, judged.metric, judged.corpus_metrics, finder.failure_text, finder.can_parse
        )
    return Task(
        test.task,
        [rebuild_example(one) for one in test.examples],
        judged,
        test.scorer_reason,
        test.machine_usd_per_hour,
        test.seed,
        frozenset(test.contaminated),
    )


def rebuild_example(stored: TestExample) -> Example:
    """The example, as far as it was stored."""
    messages = (Message("user", stored.question), Message("assistant", stored.answer))
    return Example(
        line=stored.line, messages=messages, group=stored.group, id=stored.id, origin=stored.origin
    )


@dataclass
class _StoredScorer:
    """Replaces a scorer: the scores of the answers are stored, only metrics over all of them are
    computed.
    """

    name: str
    metric: str
    corpus_metrics: Mapping[str, CorpusMetric]

    def score(self, answer: str, reference: str) -> dict[str, float]:
        """Never called: nothing is scored again."""
        raise NotImplementedError


@dataclass
class _StoredFindingScorer(_StoredScorer):
    """The same for a scorer that extracts something from an answer."""

    failure_text: str
    can_parse: Callable[[str], bool]
