"""A folder of documents, cut into passages of about `words` words that overlap, along their paragraphs.

Whole paragraphs are put together while they fit; a paragraph longer than a passage is cut between words. Each passage
begins with the last `overlap` words of the one before it, so a sentence at a border is found with its surroundings.
Scripts without spaces between words count two characters as one (`unspaced.py`).

Which files are documents is told by their ending (`KINDS`), in any case. Every other file is passed over, with why.
Hidden files and folders (a dot first) are no documents and are not told. The text of a file comes from whoever is given
as `Extract`: foreign files are parsed in a child process (`workflow/document_loading.py`).
"""

import re
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tunesmith.baselines.rag.unspaced_scripts import split_words
from tunesmith.errors import DataError, truncate_list

DEFAULT_PASSAGE_WORDS = 150
DEFAULT_OVERLAP_WORDS = 30
MAX_FILE_BYTES = 64 * 2**20
SUFFIXES_BY_KIND: Mapping[str, tuple[str, ...]] = {
    "text": (".txt", ".text", ".md", ".markdown", ".rst"),
    "html": (".html", ".htm", ".xhtml"),
    "table": (".csv", ".tsv"),
    "pdf": (".pdf",),
    "word": (".docx",),
    "sheet": (".xlsx",),
}
"""Endings by kind of document."""
KINDS_IN_EXTRA = ("pdf", "word", "sheet")
"""Kinds that the extra `documents` reads."""
KIND_BY_SUFFIX = {ending: kind for kind, endings in SUFFIXES_BY_KIND.items() for ending in endings}


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of one document; `source` is the file's path inside the folder."""

    source: str
    text: str


@dataclass(frozen=True, slots=True)
class ExtractedText:
    """The text of a document, with what is missing from it; or why there is none."""

    text: str = ""
    remark: str = ""
    error: str = ""


Extract = Callable[[Sequence[tuple[Path, str]]], Sequence[ExtractedText]]
"""(file, kind) of each document -> its text."""


@dataclass(frozen=True, slots=True)
class DocumentCollection:
    """What a folder gave: its passages, how many of its files they are from, and which were passed over and why.

    `remarks` say what is missing from files that were read.
    """

    folder: str
    files: int
    read: int
    passages: tuple[Passage, ...]
    skipped: Mapping[str, str] = field(default_factory=dict)
    remarks: Mapping[str, str] = field(default_factory=dict)

    @property
    def file_summary(self) -> str:
        """`3 of 5 files of docs, without a.zip and scan.pdf`."""
        without = f", without {truncate_list(list(self.skipped))}" if self.skipped else ""
        return f"{self.read:,} of {self.files:,} files of {self.folder}{without}"

    @property
    def description(self) -> str:
        """`3 of 5 files of docs are read, 41 passages`."""
        n = len(self.passages)
        return f"{self.read:,} of {self.files:,} files of {self.folder} are read, {n:,} passage{'s' if n != 1 else ''}"


def read_documents(
    folder: Path, extract: Extract, words: int = DEFAULT_PASSAGE_WORDS, overlap: int = DEFAULT_OVERLAP_WORDS
) -> DocumentCollection:
    """All passages of the documents below a folder, in the order of the paths.

    Errors: `DataError` for a folder that is missing or gives no text, with every file and why.
    """
    if not folder.is_dir():
        raise _make_no_documents_error(
            folder, "The documents must be a folder.", "a file" if folder.exists() else "nothing there"
        )
    found, passed_over = _list_files(folder)
    extracted = extract([(path, KIND_BY_SUFFIX[path.suffix.lower()]) for path in found])
    names = [path.relative_to(folder).as_posix() for path in found]
    passed_over |= {name: one.error for name, one in zip(names, extracted, strict=True) if one.error}
    texts = {name: one for name, one in zip(names, extracted, strict=True) if not one.error}
    passages = [Passage(name, text) for name, one in texts.items() for text in split_passages(one.text, words, overlap)]
    if not passages:
        told = truncate_list([f"{name} ({why})" for name, why in sorted(passed_over.items())]) or "no file"
        raise _make_no_documents_error(folder, "There is no text to retrieve from.", told)
    remarks = {name: one.remark for name, one in texts.items() if one.remark}
    files = len(found) + len(passed_over) - sum(name in passed_over for name in names)
    return DocumentCollection(
        str(folder), files, len(texts), tuple(passages), dict(sorted(passed_over.items())), remarks
    )


def _make_no_documents_error(folder: Path, what: str, found: str) -> DataError:
    endings = ", ".join(sorted(KIND_BY_SUFFIX))
    return DataError(
        "no-documents", what, where=str(folder), found=found, do=f"give a folder with files that end in {endings}"
    )


def _list_files(folder: Path) -> tuple[list[Path], dict[str, str]]:
    """Documents in the order of their paths; and every other file, with why it is none."""
    found, passed_over = [], {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if any(part.startswith(".") for part in name.parts) or (path.is_dir() and not path.is_symlink()):
            continue
        why = _find_skip_reason(path)
        if why:
            passed_over[name.as_posix()] = why
        else:
            found.append(path)
    return found, passed_over


def _find_skip_reason(path: Path) -> str:
    """Why this file is not read; "" where it is."""
    try:
        status = path.stat()
    except OSError as error:
        return error.strerror or str(error)
    if not stat.S_ISREG(status.st_mode):
        return "no regular file"
    if path.suffix.lower() not in KIND_BY_SUFFIX:
        return f"{path.suffix} is not read" if path.suffix else "no ending"
    if status.st_size == 0:
        return "empty"
    return f"larger than {MAX_FILE_BYTES // 2**20} MiB" if status.st_size > MAX_FILE_BYTES else ""


def split_passages(text: str, words: int, overlap: int) -> Iterator[str]:
    """The passages of one text. Errors: ValueError unless 0 <= overlap < words."""
    if not 0 <= overlap < words:
        raise ValueError(f"the overlap of {overlap} words must be less than the passage of {words}")
    held: list[str] = []
    fresh = 0
    for piece in _split_paragraphs(text, words - overlap):
        if fresh and len(held) + len(piece) > words:
            yield "".join(held).rstrip()
            held, fresh = held[len(held) - overlap :], 0
        held += piece
        fresh += len(piece)
    if fresh:
        yield "".join(held).rstrip()


def _split_paragraphs(text: str, max_words: int) -> Iterator[list[str]]:
    """Paragraphs as words, a space behind the last one; one of more than `most` words comes in several pieces."""
    for paragraph in re.split(r"\n\s*\n", text):
        words = split_words(f"{paragraph}\n")
        for begin in range(0, len(words), max_words):
            yield words[begin : begin + max_words]
