"""A run's stored answers -> its evaluation and verdict, recomputed. No model is loaded and nothing
is written.

With other requirements it answers "what if": the answers stay, only the rules are applied again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tunesmith.contenders.evaluation_runner import read_contender_answers
from tunesmith.decision import decide as decide_by_rules
from tunesmith.errors import GateFailed, RecipeError, RunError, format_command_line
from tunesmith.evaluation.contender_answers import ContenderAnswers
from tunesmith.evaluation.harness import evaluate_answers
from tunesmith.evaluation.task_building import rebuild_task
from tunesmith.recipe.recipe_loader import load_recipe
from tunesmith.records import Decision, Evaluation, Recipe, Run, TestSet
from tunesmith.runs.run_folder import RunFolder

CHANGEABLE_SECTIONS = ("requirements", "usage", "machine_usd_per_hour", "fail_on_warning")
"""The parts of a recipe that affect the verdict but no answer."""


@dataclass(frozen=True)
class Redecision:
    """The verdict from the stored answers under this recipe, with the verdict of the run."""

    decision: Decision
    evaluation: Evaluation
    previous: Decision
    is_strict: bool

    @property
    def is_same(self) -> bool:
        """Whether every sentence and every number is unchanged."""
        return self.decision == self.previous


def redecide(folder: RunFolder, changes: Sequence[str] = ()) -> Redecision:
    """The verdict from the stored answers, under the run's own recipe with `changes`
    (`requirements.min_gain=0.02`).

    Errors: `RunError` if the run was not evaluated, or an answer file is damaged or missing;
    `RecipeError` for a change that would need other answers.
    """
    run = folder.read(Run)
    if not folder.has(Decision):
        is_decision = run.command == "decide"
        raise RunError(
            "no-verdict",
            f"run of tunesmith {run.command} has no verdict" + (" yet" if is_decision else ""),
            at=str(folder.path),
            hint=(
                f"finish it with {format_command_line('resume', folder.path)}"
                if is_decision
                else "give a run of tunesmith decide"
            ),
        )
    folder.check_integrity()
    recipe = _load_changed_recipe(folder, changes)
    test = folder.read(TestSet)
    stored = folder.read(Evaluation)
    # In the order of the stored evaluation, so that an unchanged verdict is equal field by field.
    asked = [_load_answers(folder, contender.name, test) for contender in stored.contenders]
    task = replace(rebuild_task(test), machine_usd_per_hour=recipe.machine_usd_per_hour)
    evaluation = evaluate_answers(asked, task)
    before = folder.read(Decision)
    decision = decide_by_rules(
        evaluation, recipe.requirements, recipe.usage, before.forgetting, before.training_length
    )
    return Redecision(decision, evaluation, before, recipe.fail_on_warning)


def _load_changed_recipe(folder: RunFolder, changes: Sequence[str]) -> Recipe:
    own = folder.read_recipe()
    changed = load_recipe(folder.path / "recipe.yaml", changes, is_stored=True)
    kept = {name for name in Recipe.model_fields if name not in CHANGEABLE_SECTIONS}
    if others := sorted(name for name in kept if getattr(own, name) != getattr(changed, name)):
        raise RecipeError(
            "other-answers",
            "change requires new model outputs",
            at=str(folder.path),
            got=f"changes in {', '.join(others)}",
            hint=f"change only {', '.join(CHANGEABLE_SECTIONS)}; or run tunesmith decide on the "
            "data again",
        )
    return changed


def fail_on_warnings(decision: Decision, where: str) -> None:
    """Raise on warnings of a verdict, for strict runs. Errors: `GateFailed`."""
    if decision.warnings:
        raise GateFailed(
            "warned",
            "verdict has warnings and fail_on_warning is set",
            at=where,
            got=" ".join(decision.warnings),
            hint="fix the cause; or turn off fail_on_warning",
        )


def _load_answers(folder: RunFolder, name: str, test: TestSet) -> ContenderAnswers:
    stored = read_contender_answers(folder, name)
    if len(stored.answers) != len(test.examples):
        raise RunError(
            "damaged",
            f"stored answers of {name} are incomplete",
            at=str(folder.path / "answers" / f"{name}.jsonl"),
            got=f"{len(stored.answers):,} answers for {len(test.examples):,} examples",
            hint="restore the file from a copy; or repeat the run",
        )
    return stored
