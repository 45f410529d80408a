"""A task of another tool as a data set, so that every command that reads examples reads it too."""

from pathlib import Path

from tunesmith.data.outside.read import read_outside, sniff
from tunesmith.data.outside.task import OutsideAnswers, OutsideTask
from tunesmith.data.read.dataset import Loaded, Part, read_dataset
from tunesmith.files import sha256_of
from tunesmith.records import DataRecipe, Dataset, Method, Problem, SourceFile, fingerprint_of


def load_data(path: str | Path, data: DataRecipe, method: Method | None = None) -> Loaded:
    """Our own formats, read with the recipe's columns and group for its method, and tasks of other evaluation tools.

    Errors: `DataError`.
    """
    if sniff(path) is not None:
        return load_outside(path)[0]
    return read_dataset(path, data.columns, data.group, method)


def load_outside(path: str | Path) -> tuple[Loaded, OutsideTask]:
    """The examples of the file, and the task with the scorer that it asks for. Errors: `DataError`."""
    path = Path(path)
    found = read_outside(path)
    task = found.task if isinstance(found, OutsideAnswers) else found
    examples = list(task.examples)
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
        Problem(
            code="data/not-understood", severity="warning", count=1, message=f"{task.format}: {sentence}",
            do="say it in a recipe, or leave it", file=str(path),
        )
        for sentence in task.not_understood
    ]  # fmt: skip
    part = Part(str(path), None, 0, len(examples), "rows")
    return Loaded(dataset, examples, problems, (part,), task.has_answers), task
