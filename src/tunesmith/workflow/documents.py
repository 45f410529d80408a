"""The documents of a recipe, read in a child process under limits, and told: how many, and which were passed over."""

from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

from tunesmith.baselines.rag.documents import IN_EXTRA, Documents, Extracted, read_documents
from tunesmith.errors import GateFailed, MissingExtraError, name_some
from tunesmith.evaluation.child import Failed, Limits, WorkBroken, in_child
from tunesmith.records import Recipe
from tunesmith.runs.folder import RunFolder
from tunesmith.runs.prompts import write_json
from tunesmith.workflow.listener import Listener

LIMITS = Limits(piece_seconds=60.0, all_seconds=3600.0, memory_bytes=3 * 2**30, line_bytes=256 * 2**20)
MODULES = {"pdf": "pypdf", "word": "docx", "sheet": "openpyxl"}
TOLD = 20
"""So many files that were passed over are named on the terminal; all of them stand in the run's folder."""


def open_documents(recipe: Recipe, listener: Listener) -> Documents | None:
    """The recipe's documents, told; None where it names none.

    Errors: `DataError` where there is no text; `MissingExtraError` for a kind whose reader is not installed;
    `GateFailed` when strict and a file was passed over, or all of it is one passage.
    """
    retrieval = recipe.retrieval
    if retrieval.documents is None:
        return None
    folder = Path(retrieval.documents)
    found = read_documents(folder, lambda files: extract(folder, files), retrieval.words, retrieval.overlap)
    listener.note(f"documents: {found.told}")
    told = [f"{name} is passed over: {why}" for name, why in found.passed_over.items()]
    told += [f"{name}: {remark}" for name, remark in found.remarks.items()]
    if len(found.passages) == 1:
        told.append("all documents together are one passage: every question finds the same text")
    for sentence in told[:TOLD]:
        listener.note(f"warning: {sentence}")
    if len(told) > TOLD:
        listener.note(f"warning: {len(told) - TOLD:,} more; all stand in the run's index/rag-documents.json")
    if told and recipe.strict:
        raise GateFailed(
            "documents-missing", "Not all of the documents are read.", where=str(folder), found=name_some(told),
            do="move the named files out of the folder, or convert them; or decide without strict",
        )  # fmt: skip
    return found


def extract(folder: Path, files: Sequence[tuple[Path, str]]) -> list[Extracted]:
    """The texts of these documents of a folder. Errors: `MissingExtraError`."""
    for path, kind in files:
        if kind in IN_EXTRA and find_spec(MODULES[kind]) is None:
            raise MissingExtraError("documents", f"Reading {path.name}")
    if not files:
        return []
    pieces = [{"path": str(path.absolute()), "kind": kind} for path, kind in files]
    try:
        results = in_child("document", str(folder.absolute()), pieces, LIMITS)
    except WorkBroken as error:
        return [Extracted(why_not=f"no document could be read: {error}")] * len(files)
    return [
        Extracted(why_not=one.why.removeprefix("ValueError: ")) if isinstance(one, Failed) else Extracted(**one)
        for one in results
    ]


def write_documents(folder: RunFolder, documents: Documents) -> None:
    """Keep which files were read and which were not, beside the index. Errors: `RunError`."""
    told = asdict(documents)
    write_json(folder.path / "index" / "rag-documents.json", {**told, "passages": len(documents.passages)})
