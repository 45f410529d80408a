"""Detect which tool wrote a file by its content, and read it."""

import zipfile
from collections.abc import Callable
from pathlib import Path

from tunesmith.atomic_io import open_regular_file
from tunesmith.data.interop import inspect_ai, lm_eval, openai_evals, promptfoo
from tunesmith.data.interop.imported_content import ImportedAnswers, ImportedTask
from tunesmith.data.interop.tool_files import read_yaml
from tunesmith.data.read.jsonl_file import read_jsonl
from tunesmith.data.read.row_errors import Row
from tunesmith.errors import DataError, TunesmithError

TOOL_READERS: dict[str, Callable[[Path], ImportedTask | ImportedAnswers]] = {
    "promptfoo": promptfoo.read_promptfoo,
    "openai-evals": openai_evals.read_samples,
    "openai-evals registry": openai_evals.read_registry,
    "inspect_ai": inspect_ai.read_inspect_log,
    "lm-eval": lm_eval.read_lm_eval,
}
HEAD_BYTES = 2**16
SUFFIXES = (".yaml", ".yml", ".eval", ".json", ".jsonl")


def detect_tool(path: str | Path) -> str | None:
    """The format of this file, a key of `TOOL_READERS`; None when it is none of them."""
    path = Path(path)
    if path.suffix not in SUFFIXES:
        return None
    try:
        if not path.is_file():  # opening a pipe would wait for its writer
            return None
        if path.suffix in (".yaml", ".yml"):
            return _detect_yaml_tool(path)
        if path.suffix == ".eval":
            return "inspect_ai" if zipfile.is_zipfile(path) else None
        if path.suffix == ".json":
            with open_regular_file(path) as file:
                head = file.read(HEAD_BYTES)
            # The beginning is enough: inspect_ai writes `eval` first, and logs may be huge.
            return (
                "inspect_ai"
                if head.lstrip().startswith(b"{") and b'"eval"' in head and b'"model"' in head
                else None
            )
        first = next((row.values for row in read_jsonl(path) if isinstance(row, Row)), {})
    except (OSError, TunesmithError):
        return None
    if lm_eval.is_lm_eval(first):
        return "lm-eval"
    return "openai-evals" if openai_evals.is_openai_evals(first) else None


def _detect_yaml_tool(path: Path) -> str | None:
    value = read_yaml(path)
    if promptfoo.is_promptfoo(value):
        return "promptfoo"
    return "openai-evals registry" if openai_evals.is_registry(value) else None


def read_tool_file(path: str | Path) -> ImportedTask | ImportedAnswers:
    """The task or the answers in this file.

    Errors: `DataError` when its format is unknown, it cannot be read, or it has no usable example.
    """
    path = Path(path)
    kind = detect_tool(path)
    if kind is None:
        raise _build_unknown_error(path)
    found = TOOL_READERS[kind](path)
    task = found.task if isinstance(found, ImportedAnswers) else found
    if not task.examples:
        raise DataError(
            "nothing-understood",
            f"nothing in this {task.format} file can be used",
            at=str(path),
            got="; ".join(task.unsupported) or "no examples",
            hint="pass a file with questions and their answers",
        )
    return found


def _build_unknown_error(path: Path) -> DataError:
    if path.suffix in (".yaml", ".yml") and path.is_file():
        read_yaml(path)  # raises a more precise error if the YAML is invalid
    return DataError(
        "unknown-outside-format",
        "not a file of a supported evaluation tool",
        at=str(path),
        got="no such file" if not path.is_file() else "none of the formats",
        hint=(
            "pass promptfoo YAML, OpenAI Evals JSONL or registry YAML, an inspect_ai log, or "
            "lm-eval samples"
        ),
    )
