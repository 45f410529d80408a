"""A task of another tool as a data set, so that every command that reads examples reads it too."""

import os
from dataclasses import replace
from pathlib import Path

from tunesmith.data.outside.folder import task_file, tasks_beside
from tunesmith.data.outside.read import read_outside
from tunesmith.data.outside.task import OutsideAnswers, OutsideTask
from tunesmith.data.read.dataset import Loaded, Part, read_dataset
from tunesmith.errors import DataError
from tunesmith.files import sha256_of
from tunesmith.records import DataRecipe, Dataset, Method, Origin, Problem, SourceFile, fingerprint_of


def load_data(path: str | Path, data: DataRecipe, method: Method | None = None) -> Loaded:
    """Our own formats, read with the recipe's columns and group for its method, and tasks of other evaluation tools.

    A folder of another tool stands for the task in it, unless columns are named. Errors: `DataError`.
    """
    if is_task(path, data):
        return load_outside(path)[0]
    try:
        return read_dataset(path, data.columns, data.group, method)
    except DataError as error:
        if tasks := tasks_beside(Path(path)):
            error.do = f"{error.do}; or give a task of another tool that stands there: {tasks}"
        raise


def is_task(path: str | Path, data: DataRecipe) -> bool:
    """Whether this is read as a task of another tool. Errors: `DataError` for a folder of several."""
    if os.path.isdir(path) and data.columns:
        return False
    return task_file(path) is not None


def load_outside(path: str | Path) -> tuple[Loaded, OutsideTask]:
    """The examples of a task, and the task with the scorer that it asks for. Errors: `DataError`."""
    given = task_file(path)
    path, beside = given if given else (Path(path), ())
    found = read_outside(path)
    task = found.task if isinstance(found, OutsideAnswers) else found
    origin = Origin(str(path), "rows")
    examples = [replace(example, origin=origin) for example in task.examples]
    file = SourceFile(path=str(path), sha256=sha256_of(path), size_bytes=path.stat().st_size, examples=len(examples))
    dataset = Dataset(
        name=task.name,
        shape="messages",
        files=(file,),
        columns={},
        examples=len(examples),
        content=fingerprint_of([example.id for example in examples]),
    )
    problems = [
        *beside,
        *(Problem(
            code="data/not-understood", severity="warning", count=1, message=f"{task.format}: {sentence}",
            do="say it in a recipe, or leave it", file=str(path),
        )
        for sentence in task.not_understood),
    ]  # fmt: skip
    part = Part(str(path), None, 0, len(examples), "rows")
    return Loaded(dataset, examples, problems, (part,), task.has_answers), task
