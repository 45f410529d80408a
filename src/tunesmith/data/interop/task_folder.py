"""Find the one file in a folder that defines another evaluation tool's task.

A folder stands for a task if every file in it that holds rows belongs to one: the file is a task
itself, or a configuration names it. A folder that also holds data of our own is a data set, and the
task is reported as a file that is not read (docs/decisions/091).
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tunesmith.atomic_io import read_text_file
from tunesmith.data.interop.tool_formats import detect_tool
from tunesmith.data.read.source_files import data_files_in, files_in, report_skipped_files
from tunesmith.errors import DataError, truncate_list
from tunesmith.records import Problem

CONFIGURATIONS = (".yaml", ".yml")


class TaskFile(NamedTuple):
    """The file that defines the task, and a warning with the other files, which are not read."""

    path: Path
    problems: tuple[Problem, ...] = ()


def find_task_file(path: str | Path) -> TaskFile | None:
    """The task that a file or folder stands for; None for a data set of our own.

    Errors: `DataError` where a folder holds several tasks.
    """
    path = Path(path)
    if not os.path.isdir(path):  # unlike `Path.is_dir`, it does not raise for an impossible name
        return TaskFile(path) if detect_tool(path) is not None else None
    try:
        files = files_in(path)
        configurations = [
            file for file in files if file.suffix in CONFIGURATIONS and detect_tool(file)
        ]
        named = _named_in(configurations, files)
        rows = [file for file in data_files_in(path) if file not in named]
        if not all(detect_tool(file) for file in rows):
            return None
        logs = [file for file in files if file.suffix == ".eval" and detect_tool(file)]
    except OSError:
        return None  # the reader of data folders reports what cannot be read
    tasks = sorted({*configurations, *rows, *logs} - named)
    if len(tasks) > 1:
        raise DataError(
            "several-tasks",
            "folder contains several tasks of other evaluation tools",
            at=str(path),
            got=truncate_list([_below(file, path) for file in tasks]),
            hint=f"pass one of them, for example {tasks[0]}",
        )
    if not tasks:
        return None
    others = [_below(file, path) for file in files if file not in named and file != tasks[0]]
    return TaskFile(tasks[0], (report_skipped_files(path, others),) if others else ())


def list_other_tasks(folder: Path) -> str:
    """The tasks of other tools in a folder, for a hint; empty where there are none."""
    try:
        return (
            truncate_list([str(file) for file in files_in(folder) if detect_tool(file)])
            if os.path.isdir(folder)
            else ""
        )
    except OSError:
        return ""


def _named_in(configurations: Sequence[Path], files: Sequence[Path]) -> set[Path]:
    """The files whose path relative to a configuration occurs in its text."""
    found: set[Path] = set()
    for configuration in configurations:
        text = read_text_file(configuration)
        found |= {
            file
            for file in files
            if file.is_relative_to(configuration.parent)
            and _below(file, configuration.parent) in text
        }
    return found


def _below(file: Path, folder: Path) -> str:
    return file.relative_to(folder).as_posix()
