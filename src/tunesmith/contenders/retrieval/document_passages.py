"""A folder of documents, split into overlapping passages of about `words` words, by paragraph.

Whole paragraphs are combined while they fit; a paragraph longer than a passage is split between
words. Each passage begins with the last `overlap` words of the one before it, so that a sentence at
a boundary is retrieved with its context. In scripts without spaces between words two characters
count as one word (`unspaced_scripts.py`).

The file suffix determines whether a file is a document (`SUFFIXES_BY_KIND`), in upper or lower
case. All other files are skipped and listed with the reason. Hidden files and folders (leading dot)
are skipped without mention. Text extraction is passed in as `Extract`: untrusted files are parsed
in a child process (`contenders/retrieval/document_loading.py`).
"""

import re
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tunesmith.contenders.retrieval.unspaced_scripts import split_words
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
"""File suffixes for each kind of document."""
KINDS_IN_EXTRA = ("pdf", "word", "sheet")
"""Kinds that need the extra `documents`."""
KIND_BY_SUFFIX = {ending: kind for kind, endings in SUFFIXES_BY_KIND.items() for ending in endings}


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of one document; `source` is the file's path relative to the folder."""

    source: str
    text: str


@dataclass(frozen=True, slots=True)
class ExtractedText:
    """The text of a document, with a remark on what is missing from it; or the error."""

    text: str = ""
    remark: str = ""
    error: str = ""


Extract = Callable[[Sequence[tuple[Path, str]]], Sequence[ExtractedText]]
"""(file, kind) of each document -> its extracted text, in the same order."""


@dataclass(frozen=True, slots=True)
class DocumentCollection:
    """A folder's passages. `files` counts its files, `read` those that yielded text; `skipped` maps
    the names of the others to the reason.

    `remarks` maps names of files that were read to what is missing from their text.
    """

    folder: str
    files: int
    read: int
    passages: tuple[Passage, ...]
    skipped: Mapping[str, str] = field(default_factory=dict)
    remarks: Mapping[str, str] = field(default_factory=dict)

    @property
    def file_summary(self) -> str:
        """For example `3 of 5 files of docs, without a.zip and scan.pdf`."""
        without = f", without {truncate_list(list(self.skipped))}" if self.skipped else ""
        return f"{self.read:,} of {self.files:,} files of {self.folder}{without}"

    @property
    def description(self) -> str:
        """For example `3 of 5 files of docs are read, 41 passages`."""
        n = len(self.passages)
        return (
            f"read {self.read:,} of {self.files:,} files of {self.folder}, {n:,} "
            f"passage{'s' if n != 1 else ''}"
        )


def read_documents(
    folder: Path,
    extract: Extract,
    words: int = DEFAULT_PASSAGE_WORDS,
    overlap: int = DEFAULT_OVERLAP_WORDS,
) -> DocumentCollection:
    """All passages of the documents below a folder, in the order of their paths.

    Errors: `DataError` if the folder is missing or yields no text, with every file and the reason.
    """
    if not folder.is_dir():
        raise _make_no_documents_error(
            folder,
            "documents must be a folder",
            "a file" if folder.exists() else "no such folder",
        )
    paths, skipped = _list_files(folder)
    extracted = extract([(path, KIND_BY_SUFFIX[path.suffix.lower()]) for path in paths])
    names = [path.relative_to(folder).as_posix() for path in paths]
    skipped |= {name: one.error for name, one in zip(names, extracted, strict=True) if one.error}
    texts = {name: one for name, one in zip(names, extracted, strict=True) if not one.error}
    passages = [
        Passage(name, text)
        for name, one in texts.items()
        for text in split_passages(one.text, words, overlap)
    ]
    if not passages:
        reasons = (
            truncate_list([f"{name} ({why})" for name, why in sorted(skipped.items())]) or "no file"
        )
        raise _make_no_documents_error(folder, "documents contain no text", reasons)
    remarks = {name: one.remark for name, one in texts.items() if one.remark}
    # A file that failed to extract is in both `found` and `passed_over`: count it once.
    files = len(paths) + len(skipped) - sum(name in skipped for name in names)
    return DocumentCollection(
        str(folder), files, len(texts), tuple(passages), dict(sorted(skipped.items())), remarks
    )


def _make_no_documents_error(folder: Path, what: str, got: str) -> DataError:
    endings = ", ".join(sorted(KIND_BY_SUFFIX))
    return DataError(
        "no-documents",
        what,
        at=str(folder),
        got=got,
        hint=f"use a folder with files that end in {endings}",
    )


def _list_files(folder: Path) -> tuple[list[Path], dict[str, str]]:
    """(documents in the order of their paths, other files by name with the reason)."""
    files, skipped = [], {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if any(part.startswith(".") for part in name.parts) or (
            path.is_dir() and not path.is_symlink()
        ):
            continue
        why = _find_skip_reason(path)
        if why:
            skipped[name.as_posix()] = why
        else:
            files.append(path)
    return files, skipped


def _find_skip_reason(path: Path) -> str:
    """Why this file is not read; "" if it is read."""
    try:
        status = path.stat()
    except OSError as error:
        return error.strerror or str(error)
    # Reading a named pipe or a device may block forever.
    if not stat.S_ISREG(status.st_mode):
        return "not a regular file"
    if path.suffix.lower() not in KIND_BY_SUFFIX:
        return f"{path.suffix} files are not supported" if path.suffix else "no file extension"
    if status.st_size == 0:
        return "empty"
    return f"larger than {MAX_FILE_BYTES // 2**20} MiB" if status.st_size > MAX_FILE_BYTES else ""


def split_passages(text: str, words: int, overlap: int) -> Iterator[str]:
    """The passages of one text; lengths in words.

    Errors: ValueError unless 0 <= overlap < words.
    """
    if not 0 <= overlap < words:
        raise ValueError(f"the overlap of {overlap} words must be less than the passage of {words}")
    held: list[str] = []
    fresh = 0  # words in `held` that no earlier passage contains
    # Pieces of at most `words - overlap`, so that each fits after the overlap.
    for piece in _split_paragraphs(text, words - overlap):
        if fresh and len(held) + len(piece) > words:
            yield "".join(held).rstrip()
            # The next passage starts with the end of this one.
            held, fresh = held[len(held) - overlap :], 0
        held += piece
        fresh += len(piece)
    if fresh:
        yield "".join(held).rstrip()


def _split_paragraphs(text: str, max_words: int) -> Iterator[list[str]]:
    """Each paragraph as a list of words; one of more than `max_words` words is split."""
    for paragraph in re.split(r"\n\s*\n", text):
        words = split_words(f"{paragraph}\n")
        for begin in range(0, len(words), max_words):
            yield words[begin : begin + max_words]
