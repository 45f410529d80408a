"""How a decision spends a given time: what it expected when it began, and what was changed on the
way.

It is stored in the run's folder, so that an interrupted decision continues with the same values
(`costs/budget_replanning.py`).
"""

from collections.abc import Sequence
from typing import TypeVar

from pydantic import Field

from tunesmith.records.recipe import Recipe
from tunesmith.records.record import Record

R = TypeVar("R", bound=Recipe)


class KindWork(Record):
    """The expected seconds of all contenders of one kind: of their `choices` on validation, and of
    their answers to the test examples.
    """

    choice_seconds: float
    test_seconds: float
    choices: int

    @property
    def seconds(self) -> float:
        """Choices and test together."""
        return self.choice_seconds + self.test_seconds


class BudgetChange(Record):
    """A value of the recipe that was planned again: at `spent_seconds` of the budget, after the
    step `after`, for `reason`.
    """

    key: str
    before: float | int | None
    value: float | int
    after: str
    spent_seconds: float
    reason: str


class BudgetPlan(Record):
    """The time of a decision.

    `open_keys` are the recipe keys that the user left open: only they may change.
    `training_minutes` and `max_test_examples` are their values at the beginning. `work` is by kind
    of contender. `probe_seconds`: general ability once. `ending_seconds`: everything after the last
    answer. `pass_seconds`: one pass of tuning over the data. `training_seconds`: the tuning as
    planned. `max_training_seconds`: the default number of passes. `spent_by_kind`: what contenders
    took so far. `shortened` names the choices that ended early, `removed_train_ids` the contenders
    that did not fit.
    """

    budget_seconds: float
    open_keys: tuple[str, ...]
    test_examples: int
    training_minutes: float | None
    test_limit: int | None
    work: dict[str, KindWork]
    probe_seconds: float
    ending_seconds: float
    pass_seconds: float
    training_seconds: float
    max_training_seconds: float
    spent_seconds: float = 0.0
    spent_by_kind: dict[str, float] = Field(default_factory=dict)
    changes: tuple[BudgetChange, ...] = ()
    shortened: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def find_value(self, key: str) -> float | int | None:
        """The latest value of a key that was changed; None for any other."""
        return next((one.value for one in reversed(self.changes) if one.key == key), None)

    def apply_changes(self, recipe: R) -> R:
        """The recipe as it is now."""
        return _with_values(recipe, [(one.key, one.value) for one in self.changes])

    def list_changes(self) -> list[tuple[str, str, str]]:
        """(what, value, why) of everything that was planned again, for a report."""
        changed = [
            (one.key, f"{one.value:g}", f"planned again after {one.after}: {one.reason}")
            for one in self.changes
        ]
        omitted = [
            ("left out", name, "its answers did not fit into the time") for name in self.left_out
        ]
        cut = [("choice ended early", name, "its time was over") for name in self.shortened]
        return [*changed, *omitted, *cut]

    def undo_changes(self, recipe: Recipe) -> Recipe:
        """The recipe as it was when the decision began."""
        return _with_values(recipe, [(one.key, one.before) for one in reversed(self.changes)])


def _with_values(recipe: R, values: Sequence[tuple[str, float | int | None]]) -> R:
    for key, value in values:
        section, name = key.split(".")
        recipe = recipe.replace(**{section: getattr(recipe, section).replace(**{name: value})})
    return recipe
