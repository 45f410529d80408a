"""Loads the recipe's documents in a child process under limits, and reports how many were read and
which were skipped.
"""

from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

from tunesmith.contenders.retrieval.document_passages import (
    KINDS_IN_EXTRA,
    DocumentCollection,
    ExtractedText,
    read_documents,
)
from tunesmith.errors import GateFailed, MissingExtraError, truncate_list
from tunesmith.evaluation.sandbox import (
    SandboxLimits,
    TaskFailure,
    WorkerSetupError,
    run_in_sandbox,
)
from tunesmith.progress_listener import ProgressListener
from tunesmith.records import Recipe
from tunesmith.runs.contender_files import write_json
from tunesmith.runs.run_folder import RunFolder

EXTRACTION_LIMITS = SandboxLimits(
    task_timeout_seconds=60.0,
    total_timeout_seconds=3600.0,
    memory_bytes=3 * 2**30,
    output_bytes=256 * 2**20,
)
"""Limits of the parsing process: seconds per file and in total, bytes of memory and of output."""
READER_MODULES = {"pdf": "pypdf", "word": "docx", "sheet": "openpyxl"}
"""Document kind -> the module of the extra `documents` that reads it."""
MAX_SHOWN_WARNINGS = 20
"""Warnings shown on the terminal; all of them are written to the run's folder."""


def load_documents(recipe: Recipe, listener: ProgressListener) -> DocumentCollection | None:
    """Load the recipe's documents and report them; None if it names none.

    Errors: `DataError` if there is no text; `MissingExtraError` for a kind whose reader is not
    installed; `GateFailed` if strict and a file was skipped, or everything is a single passage.
    """
    retrieval = recipe.retrieval
    if retrieval.documents is None:
        return None
    folder = Path(retrieval.documents)
    collection = read_documents(
        folder,
        lambda files: extract_texts(folder, files),
        retrieval.chunk_size,
        retrieval.chunk_overlap,
    )
    listener.note(
        "documents/read", f"documents: {collection.description}", passages=len(collection.passages)
    )
    warnings = [f"skipping {name}: {why}" for name, why in collection.skipped.items()]
    warnings += [f"{name}: {remark}" for name, remark in collection.remarks.items()]
    # Retrieval over one passage is a constant prompt.
    if len(collection.passages) == 1:
        warnings.append(
            "all documents together form one passage, so every question retrieves the same text"
        )
    for sentence in warnings[:MAX_SHOWN_WARNINGS]:
        listener.warn("documents/skipped", sentence)
    if len(warnings) > MAX_SHOWN_WARNINGS:
        listener.warn(
            "documents/skipped",
            f"{len(warnings) - MAX_SHOWN_WARNINGS:,} more; all are listed in "
            "index/rag-documents.json of the run",
        )
    if warnings and recipe.fail_on_warning:
        raise GateFailed(
            "documents-missing",
            "some documents were skipped",
            at=str(folder),
            got=truncate_list(warnings),
            hint="move these files out of the folder; or convert them; or turn off fail_on_warning",
        )
    return collection


def extract_texts(folder: Path, files: Sequence[tuple[Path, str]]) -> list[ExtractedText]:
    """The texts of these documents of a folder. Errors: `MissingExtraError`."""
    for path, kind in files:
        if kind in KINDS_IN_EXTRA and find_spec(READER_MODULES[kind]) is None:
            raise MissingExtraError("documents", f"Reading {path.name}")
    if not files:
        return []
    pieces = [{"path": str(path.absolute()), "kind": kind} for path, kind in files]
    try:
        # PDF and Office parsers run on hostile input: a crash or an exhausted limit costs one file,
        # not the run.
        results = run_in_sandbox(
            "document_parsing", str(folder.absolute()), pieces, EXTRACTION_LIMITS
        )
    except WorkerSetupError as error:
        return [ExtractedText(error=f"no document could be read: {error}")] * len(files)
    return [
        (
            ExtractedText(error=one.reason.removeprefix("ValueError: "))
            if isinstance(one, TaskFailure)
            else ExtractedText(**one)
        )
        for one in results
    ]


def write_documents(folder: RunFolder, documents: DocumentCollection) -> None:
    """Store which files were read and which were skipped, next to the index. Errors: `RunError`."""
    content = asdict(documents)
    write_json(
        folder.path / "index" / "rag-documents.json",
        {**content, "passages": len(documents.passages)},
    )
