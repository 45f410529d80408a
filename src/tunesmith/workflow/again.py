"""A run's stored answers -> its evaluation and verdict, made again. No model is loaded and nothing is written.

With another bar it answers "what if": the answers stay, the rules are asked anew.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from tunesmith.decision import decide as decide_by_rules
from tunesmith.errors import GateFailed, RecipeError, RunError
from tunesmith.evaluation.evaluate import Asked, Task, evaluate_answers
from tunesmith.evaluation.scorers.choose import SCORERS
from tunesmith.evaluation.scorers.scorer import FindsAnswers, WholeSetMetric
from tunesmith.recipe.load import load_recipe
from tunesmith.records import Decision, Evaluation, Example, Message, Recipe, TestExample, TestSet
from tunesmith.records.evaluation import parts_of
from tunesmith.runs.folder import RunFolder

FREE = ("bar", "circumstances", "machine_usd_per_hour", "strict")
"""The parts of a recipe on which no answer depends and the verdict does."""


@dataclass(frozen=True)
class Again:
    """What the stored answers say under this recipe, beside what was decided when the run was made."""

    decision: Decision
    evaluation: Evaluation
    before: Decision
    is_strict: bool

    @property
    def is_same(self) -> bool:
        """Every sentence and every number is as it was."""
        return self.decision == self.before


@dataclass
class _Judged:
    """Stands where a scorer stood: the scores of the answers are stored, only metrics over all of them are made."""

    name: str
    metric: str
    whole_set: Mapping[str, WholeSetMetric]

    def score(self, answer: str, reference: str) -> dict[str, float]:
        """Nothing is judged again."""
        raise NotImplementedError


@dataclass
class _JudgedByFinding(_Judged):
    """The same for a scorer that looks for something in an answer."""

    missing: str
    finds: Callable[[str], bool]


def decide_again(folder: RunFolder, changes: Sequence[str] = ()) -> Again:
    """The verdict from the stored answers, under the run's own recipe with `changes` (`bar.min_gain=0.02`).

    Errors: `RunError` when the run was not evaluated, or an answer file is damaged or missing; `RecipeError` for a
    change that would need other answers.
    """
    folder.refuse_damage()
    recipe = _recipe(folder, changes)
    test = folder.read(TestSet)
    stored = folder.read(Evaluation)
    asked = [_asked(folder, contender.name, test) for contender in stored.contenders]
    task = replace(task_of_stored(test), machine_usd_per_hour=recipe.machine_usd_per_hour)
    evaluation = evaluate_answers(asked, task)
    before = folder.read(Decision)
    decision = decide_by_rules(evaluation, recipe.bar, recipe.circumstances, before.forgetting, before.training)
    return Again(decision, evaluation, before, recipe.strict)


def _recipe(folder: RunFolder, changes: Sequence[str]) -> Recipe:
    own, changed = folder.read_recipe(), load_recipe(folder.path / "recipe.yaml", changes)
    kept = {name for name in Recipe.model_fields if name not in FREE}
    if others := sorted(name for name in kept if getattr(own, name) != getattr(changed, name)):
        raise RecipeError(
            "other-answers", "This would need other answers than the run has.", where=str(folder.path),
            found=f"changes in {', '.join(others)}", do=f"change only {', '.join(FREE)}, or decide on the data again",
        )  # fmt: skip
    return changed


def refuse_warnings(decision: Decision, where: str) -> None:
    """What strictness refuses once a verdict is there. Errors: `GateFailed`."""
    if decision.warnings:
        raise GateFailed(
            "warned", "The verdict has warnings, and strict refuses them.", where=where,
            found=" ".join(decision.warnings), do="mend their cause, or decide without strict",
        )  # fmt: skip


def task_of_stored(test: TestSet) -> Task:
    """The task as it was, with its scorer's place taken."""
    make = next((SCORERS[part] for part in parts_of(test.scorer) if part in SCORERS), None)
    scorer = make(test.labels or [test.examples[0].answer]) if make else None
    judged = _Judged(test.scorer, test.metric, scorer.whole_set if scorer else {})
    finder: object = scorer
    if test.scorer in SCORERS and isinstance(finder, FindsAnswers):
        judged = _JudgedByFinding(judged.name, judged.metric, judged.whole_set, finder.missing, finder.finds)
    return Task(
        test.task,
        [example_of(one) for one in test.examples],
        judged,
        test.scorer_reason,
        test.machine_usd_per_hour,
        test.seed,
        frozenset(test.leaked),
    )


def example_of(stored: TestExample) -> Example:
    """As much of the example as was kept."""
    messages = (Message("user", stored.question), Message("assistant", stored.answer))
    return Example(line=stored.line, messages=messages, group=stored.group, id=stored.id, origin=stored.origin)


def _asked(folder: RunFolder, name: str, test: TestSet) -> Asked:
    asking, answers = folder.asking(name), folder.answers(name).records
    if len(answers) != len(test.examples):
        raise RunError(
            "damaged", f"The stored answers of {name} are not whole.",
            where=str(folder.path / "answers" / f"{name}.jsonl"),
            found=f"{len(answers):,} answers to {len(test.examples):,} examples",
            do="restore the file from a copy, or make the run again",
        )  # fmt: skip
    return Asked(asking.profile, answers, asking.usage, asking.judging)
