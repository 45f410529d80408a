"""The documents of a recipe, read in a child process under limits, and told: how many, and which were passed over."""

from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

from tunesmith.baselines.rag.document_passages import KINDS_IN_EXTRA, DocumentCollection, ExtractedText, read_documents
from tunesmith.errors import GateFailed, MissingExtraError, truncate_list
from tunesmith.evaluation.sandbox import SandboxLimits, TaskFailure, WorkerSetupError, run_in_sandbox
from tunesmith.records import Recipe
from tunesmith.runs.contender_files import write_json
from tunesmith.runs.run_folder import RunFolder
from tunesmith.workflow.progress_listener import ProgressListener

EXTRACTION_LIMITS = SandboxLimits(
    task_timeout_seconds=60.0, total_timeout_seconds=3600.0, memory_bytes=3 * 2**30, output_bytes=256 * 2**20
)
READER_MODULES = {"pdf": "pypdf", "word": "docx", "sheet": "openpyxl"}
MAX_SHOWN_WARNINGS = 20
"""So many files that were passed over are named on the terminal; all of them stand in the run's folder."""


def load_documents(recipe: Recipe, listener: ProgressListener) -> DocumentCollection | None:
    """The recipe's documents, told; None where it names none.

    Errors: `DataError` where there is no text; `MissingExtraError` for a kind whose reader is not installed;
    `GateFailed` when strict and a file was passed over, or all of it is one passage.
    """
    retrieval = recipe.retrieval
    if retrieval.documents is None:
        return None
    folder = Path(retrieval.documents)
    found = read_documents(folder, lambda files: extract_texts(folder, files), retrieval.words, retrieval.overlap)
    listener.note(f"documents: {found.description}")
    told = [f"{name} is passed over: {why}" for name, why in found.skipped.items()]
    told += [f"{name}: {remark}" for name, remark in found.remarks.items()]
    if len(found.passages) == 1:
        told.append("all documents together are one passage: every question finds the same text")
    for sentence in told[:MAX_SHOWN_WARNINGS]:
        listener.note(f"warning: {sentence}")
    if len(told) > MAX_SHOWN_WARNINGS:
        listener.note(
            f"warning: {len(told) - MAX_SHOWN_WARNINGS:,} more; all stand in the run's index/rag-documents.json"
        )
    if told and recipe.strict:
        raise GateFailed(
            "documents-missing", "Not all of the documents are read.", where=str(folder), found=truncate_list(told),
            do="move the named files out of the folder, or convert them; or decide without strict",
        )  # fmt: skip
    return found


def extract_texts(folder: Path, files: Sequence[tuple[Path, str]]) -> list[ExtractedText]:
    """The texts of these documents of a folder. Errors: `MissingExtraError`."""
    for path, kind in files:
        if kind in KINDS_IN_EXTRA and find_spec(READER_MODULES[kind]) is None:
            raise MissingExtraError("documents", f"Reading {path.name}")
    if not files:
        return []
    pieces = [{"path": str(path.absolute()), "kind": kind} for path, kind in files]
    try:
        results = run_in_sandbox("document_parsing", str(folder.absolute()), pieces, EXTRACTION_LIMITS)
    except WorkerSetupError as error:
        return [ExtractedText(error=f"no document could be read: {error}")] * len(files)
    return [
        ExtractedText(error=one.reason.removeprefix("ValueError: "))
        if isinstance(one, TaskFailure)
        else ExtractedText(**one)
        for one in results
    ]


def write_documents(folder: RunFolder, documents: DocumentCollection) -> None:
    """Keep which files were read and which were not, beside the index. Errors: `RunError`."""
    told = asdict(documents)
    write_json(folder.path / "index" / "rag-documents.json", {**told, "passages": len(documents.passages)})
