"""Load another tool's task as a data set, so that every command that reads examples accepts it."""

import os
from dataclasses import replace
from pathlib import Path

from tunesmith.atomic_io import compute_sha256
from tunesmith.data.interop.imported_content import ImportedAnswers, ImportedTask
from tunesmith.data.interop.task_folder import find_task_file, list_other_tasks
from tunesmith.data.interop.tool_formats import read_tool_file
from tunesmith.data.read.dataset_reader import LoadedDataset, SourceSpan, read_dataset
from tunesmith.errors import DataError
from tunesmith.records import (
    DataRecipe,
    DatasetInfo,
    Method,
    Origin,
    Problem,
    SourceFile,
    compute_fingerprint,
)


def load_data(path: str | Path, data: DataRecipe, method: Method | None = None) -> LoadedDataset:
    """Load data in our own formats or a task of another evaluation tool.

    Our formats are read with the recipe's columns and group, for its method. A folder of another
    tool stands for the task in it, unless columns are named. Errors: `DataError`.
    """
    if is_task(path, data):
        return load_imported_task(path)[0]
    try:
        return read_dataset(path, data.columns, data.group_column, method)
    except DataError as error:
        if tasks := list_other_tasks(Path(path)):
            hint = f"{error.hint}; or pass a task file of another tool from this folder: {tasks}"
            raise error.replace(hint=hint) from None
        raise


def is_task(path: str | Path, data: DataRecipe) -> bool:
    """Whether this is a task of another tool. Errors: `DataError` for a folder of several tasks."""
    # Mapped columns only make sense for our own formats, so they decide for the data in the folder.
    if os.path.isdir(path) and data.columns:
        return False
    return find_task_file(path) is not None


def load_imported_task(path: str | Path) -> tuple[LoadedDataset, ImportedTask]:
    """(the task's examples as a data set, the task with its scorer). Errors: `DataError`."""
    given = find_task_file(path)
    path, beside = given if given else (Path(path), ())
    found = read_tool_file(path)
    task = found.task if isinstance(found, ImportedAnswers) else found
    # Examples of a task carry no file of their own, which messages about them need.
    origin = Origin(str(path), "rows")
    examples = [replace(example, origin=origin) for example in task.examples]
    file = SourceFile(
        path=str(path),
        sha256=compute_sha256(path),
        size_bytes=path.stat().st_size,
        examples=len(examples),
    )
    dataset = DatasetInfo(
        name=task.name,
        format="messages",
        files=(file,),
        columns={},
        examples=len(examples),
        content=compute_fingerprint([example.id for example in examples]),
    )
    problems = [
        *beside,
        *(
            Problem(
                code="data/not-understood",
                severity="warning",
                count=1,
                message=f"{task.format}: {sentence}",
                hint="configure it in a recipe; or ignore it",
                file=str(path),
            )
            for sentence in task.unsupported
        ),
    ]
    part = SourceSpan(str(path), None, 0, len(examples), "rows")
    return LoadedDataset(dataset, examples, problems, (part,), task.has_answers), task
