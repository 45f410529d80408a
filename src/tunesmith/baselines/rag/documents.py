"""A folder of documents, cut into passages of about `words` words that overlap, along their paragraphs.

Whole paragraphs are put together while they fit; a paragraph longer than a passage is cut between words. Each passage
begins with the last `overlap` words of the one before it, so a sentence at a border is found with its surroundings.
Scripts without spaces between words count two characters as one (`unspaced.py`).

Which files are documents is told by their ending (`KINDS`), in any case. Every other file is passed over, with why.
Hidden files and folders (a dot first) are no documents and are not told. The text of a file comes from whoever is given
as `Extract`: foreign files are parsed in a child process (`workflow/documents.py`).
"""

import re
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tunesmith.baselines.rag.unspaced import words_in
from tunesmith.errors import DataError, name_some

WORDS = 150
OVERLAP = 30
LARGEST_BYTES = 64 * 2**20
KINDS: Mapping[str, tuple[str, ...]] = {
    "text": (".txt", ".text", ".md", ".markdown", ".rst"),
    "html": (".html", ".htm", ".xhtml"),
    "table": (".csv", ".tsv"),
    "pdf": (".pdf",),
    "word": (".docx",),
    "sheet": (".xlsx",),
}
"""Endings by kind of document."""
IN_EXTRA = ("pdf", "word", "sheet")
"""Kinds that the extra `documents` reads."""
KIND_OF = {ending: kind for kind, endings in KINDS.items() for ending in endings}


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of one document; `source` is the file's path inside the folder."""

    source: str
    text: str


@dataclass(frozen=True, slots=True)
class Extracted:
    """The text of a document, with what is missing from it; or why there is none."""

    text: str = ""
    remark: str = ""
    why_not: str = ""


Extract = Callable[[Sequence[tuple[Path, str]]], Sequence[Extracted]]
"""(file, kind) of each document -> its text."""


@dataclass(frozen=True, slots=True)
class Documents:
    """What a folder gave: its passages, how many of its files they are from, and which were passed over and why.

    `remarks` say what is missing from files that were read.
    """

    folder: str
    files: int
    read: int
    passages: tuple[Passage, ...]
    passed_over: Mapping[str, str] = field(default_factory=dict)
    remarks: Mapping[str, str] = field(default_factory=dict)

    @property
    def counted(self) -> str:
        """`3 of 5 files of docs, without a.zip and scan.pdf`."""
        without = f", without {name_some(list(self.passed_over))}" if self.passed_over else ""
        return f"{self.read:,} of {self.files:,} files of {self.folder}{without}"

    @property
    def told(self) -> str:
        """`3 of 5 files of docs are read, 41 passages`."""
        n = len(self.passages)
        return f"{self.read:,} of {self.files:,} files of {self.folder} are read, {n:,} passage{'s' if n != 1 else ''}"


def read_documents(folder: Path, extract: Extract, words: int = WORDS, overlap: int = OVERLAP) -> Documents:
    """All passages of the documents below a folder, in the order of the paths.

    Errors: `DataError` for a folder that is missing or gives no text, with every file and why.
    """
    if not folder.is_dir():
        raise _no_documents(folder, "The documents must be a folder.", "a file" if folder.exists() else "nothing there")
    found, passed_over = _files(folder)
    extracted = extract([(path, KIND_OF[path.suffix.lower()]) for path in found])
    names = [path.relative_to(folder).as_posix() for path in found]
    passed_over |= {name: one.why_not for name, one in zip(names, extracted, strict=True) if one.why_not}
    texts = {name: one for name, one in zip(names, extracted, strict=True) if not one.why_not}
    passages = [Passage(name, text) for name, one in texts.items() for text in cut(one.text, words, overlap)]
    if not passages:
        told = name_some([f"{name} ({why})" for name, why in sorted(passed_over.items())]) or "no file"
        raise _no_documents(folder, "There is no text to retrieve from.", told)
    remarks = {name: one.remark for name, one in texts.items() if one.remark}
    files = len(found) + len(passed_over) - sum(name in passed_over for name in names)
    return Documents(str(folder), files, len(texts), tuple(passages), dict(sorted(passed_over.items())), remarks)


def _no_documents(folder: Path, what: str, found: str) -> DataError:
    endings = ", ".join(sorted(KIND_OF))
    return DataError(
        "no-documents", what, where=str(folder), found=found, do=f"give a folder with files that end in {endings}"
    )


def _files(folder: Path) -> tuple[list[Path], dict[str, str]]:
    """Documents in the order of their paths; and every other file, with why it is none."""
    found, passed_over = [], {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if any(part.startswith(".") for part in name.parts) or (path.is_dir() and not path.is_symlink()):
            continue
        why = _objection(path)
        if why:
            passed_over[name.as_posix()] = why
        else:
            found.append(path)
    return found, passed_over


def _objection(path: Path) -> str:
    """Why this file is not read; "" where it is."""
    try:
        status = path.stat()
    except OSError as error:
        return error.strerror or str(error)
    if not stat.S_ISREG(status.st_mode):
        return "no regular file"
    if path.suffix.lower() not in KIND_OF:
        return f"{path.suffix} is not read" if path.suffix else "no ending"
    if status.st_size == 0:
        return "empty"
    return f"larger than {LARGEST_BYTES // 2**20} MiB" if status.st_size > LARGEST_BYTES else ""


def cut(text: str, words: int, overlap: int) -> Iterator[str]:
    """The passages of one text. Errors: ValueError unless 0 <= overlap < words."""
    if not 0 <= overlap < words:
        raise ValueError(f"the overlap of {overlap} words must be less than the passage of {words}")
    held: list[str] = []
    fresh = 0
    for piece in _pieces(text, words - overlap):
        if fresh and len(held) + len(piece) > words:
            yield "".join(held).rstrip()
            held, fresh = held[len(held) - overlap :], 0
        held += piece
        fresh += len(piece)
    if fresh:
        yield "".join(held).rstrip()


def _pieces(text: str, most: int) -> Iterator[list[str]]:
    """Paragraphs as words, a space behind the last one; one of more than `most` words comes in several pieces."""
    for paragraph in re.split(r"\n\s*\n", text):
        words = words_in(f"{paragraph}\n")
        for begin in range(0, len(words), most):
            yield words[begin : begin + most]
