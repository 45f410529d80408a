"""A resolved recipe: a recipe in which the numbers that a run needs are filled in.

`recipe/defaults.py:complete_recipe` makes one from what the user wrote, and the recipe file of a
run is read back as one. Code that cannot work with an open number takes `ResolvedRecipe`, so that
the type checker holds what an assert would have to claim.

The fields, their stored form and the fingerprint are those of `Recipe`: a resolved recipe equals
the `Recipe` with the same values, because a run is recognized by its recipe when it is resumed.
"""

from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from tunesmith.errors import RecordError
from tunesmith.records.recipe import DataRecipe, EvaluationRecipe, Recipe, TrainingRecipe
from tunesmith.records.record import Record


class _EqualByContent:
    """Equality with the wider record too; pydantic's own demands the same class."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(self, Record) or not isinstance(other, Record):
            return NotImplemented
        # The stored name is that of `Recipe`'s class, so a section equals its narrowed form but
        # never another section.
        if type(self).get_stored_name() != type(other).get_stored_name():
            return NotImplemented
        fields = type(self).model_fields
        return all(getattr(self, name) == getattr(other, name) for name in fields)


class ResolvedDataRecipe(_EqualByContent, DataRecipe):
    """`data` with the limit of an example."""

    max_length: int = Field(ge=8, description="Longest example in tokens.")


class ResolvedTrainingRecipe(_EqualByContent, TrainingRecipe):
    """`training` with a learning rate, and with a length: epochs or minutes."""

    learning_rate: float = Field(gt=0, description="Peak learning rate.")

    @property
    def length(self) -> tuple[float, Literal["epochs", "minutes"]]:
        """How long is trained, with its unit. Errors: `ValueError` for a recipe without a length,
        which cannot be built.
        """
        if self.minutes is not None:
            return self.minutes, "minutes"
        if self.epochs is not None:
            return self.epochs, "epochs"
        raise ValueError("neither epochs nor minutes is set")

    @model_validator(mode="after")
    def _check_length(self) -> Self:
        _ = self.length
        return self


class ResolvedEvaluationRecipe(_EqualByContent, EvaluationRecipe):
    """`evaluation` with the limit of an answer."""

    max_new_tokens: int = Field(ge=1, description="Longest answer in tokens.")


class ResolvedRecipe(_EqualByContent, Recipe):
    """One run with everything that it needs to be trained and evaluated.

    Still open may be what is decided later or has no limit: `training.micro_batch_size`,
    `evaluation.max_test_examples`, `retrieval.top_k`.
    """

    data: ResolvedDataRecipe
    training: ResolvedTrainingRecipe
    evaluation: ResolvedEvaluationRecipe

    @classmethod
    def from_complete(cls, recipe: Recipe, place: str = "recipe") -> Self:
        """The same recipe with narrowed sections; `place` is what an error names.

        Errors: `RecordError` (`record/incomplete`) with the first key that is still open.
        """
        # Sections are passed on as values: pydantic would keep an instance of the wider class.
        narrowed = ("data", "training", "evaluation")
        values: dict[str, Any] = {name: getattr(recipe, name) for name in Recipe.model_fields}
        values |= {name: _list_values(getattr(recipe, name)) for name in narrowed}
        try:
            made = cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            raise RecordError(
                "incomplete",
                "recipe of a run must be complete",
                at=f"{place} {'.'.join(map(str, first['loc']))}",
                got=first["msg"],
                hint="set this key in the file; or start a new run, which fills it in",
            ) from None
        made._copy_set_fields(recipe)
        for name in narrowed:
            getattr(made, name)._copy_set_fields(getattr(recipe, name))
        return made


def _list_values(section: Record) -> dict[str, Any]:
    return {name: getattr(section, name) for name in type(section).model_fields}
