"""Answers of external systems and the user's own prompts, read before money is spent: an unusable
file must not end a run half way.

A contender is named after its file, reduced to the characters that a name may have. Two files of
one name would be one contender, so this is refused here as well.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from tunesmith.contenders.external_answers import ExternalContender, read_external_answers
from tunesmith.contenders.prompting.user_prompts import (
    UserPrompt,
    check_name_conflicts,
    read_user_prompts,
)
from tunesmith.errors import UsageError
from tunesmith.models.resolve import is_folder_path
from tunesmith.records import Example, Recipe
from tunesmith.records.contender_kinds import list_planned_names


def read_external_contenders(
    recipe: Recipe, examples: Sequence[Example], taken: Iterable[str]
) -> list[ExternalContender]:
    """The contents of the recipe's answer files. `taken`: the names of all other contenders.

    Errors: `UsageError` for a name used twice, `DataError` for an unusable file.
    """
    return [
        read_external_answers(path, examples, name)
        for name, path in _name_files(recipe.evaluation.external_answers, taken).items()
    ]


def read_custom_prompts(recipe: Recipe) -> list[UserPrompt]:
    """The user's own prompts. Errors: `RecipeError`."""
    if recipe.evaluation.prompts is None:
        return []
    prompts = read_user_prompts(Path(recipe.evaluation.prompts).expanduser())
    check_name_conflicts(
        prompts, (*list_planned_names(trained=False), *list_planned_names(trained=True))
    )
    return prompts


def list_contender_names(recipe: Recipe, own: Sequence[str] = ()) -> Iterator[str]:
    """The possible names of all contenders that do not come from answer files; `own`: names of the
    user's own prompts.
    """
    untuned = [*list_planned_names(trained=False), *own]
    yield from (*untuned, *list_planned_names(trained=True))
    for remote in recipe.evaluation.remote:
        yield from (f"{remote.name}+{way}" for way in untuned)


def _name_files(files: Iterable[str], taken: Iterable[str]) -> Mapping[str, Path]:
    named: dict[str, Path] = {}
    taken = {*taken}
    for file in files:
        path = Path(file)
        name = make_contender_name(path.stem)
        if name in taken or name in named:
            raise UsageError(
                "same-name",
                f"duplicate contender name {name}",
                at=f"evaluation.external_answers {file}",
                hint="rename the file; a contender has the name of its file",
            )
        named[name] = path
    return named


def make_contender_name(name: str) -> str:
    """The name of a model or file as a contender's name: the last part of a path, `org-name` for a
    hub model.
    """
    last = Path(name).resolve().name if is_folder_path(name) else name.replace("/", "-")
    last = re.sub(r"[^A-Za-z0-9+_.]+", "-", last)
    # The name becomes a file name in the run's folder: no "..", no leading dot, at most 64
    # characters.
    return re.sub(r"\.{2,}", ".", last).strip("-+_.")[:64].rstrip("-+_.") or "model"
