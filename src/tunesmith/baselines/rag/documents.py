"""A folder of text or Markdown, cut into passages of about `words` words that overlap, along its paragraphs.

Whole paragraphs are put together while they fit; a paragraph longer than a passage is cut between words. Each passage
begins with the last `overlap` words of the one before it, so a sentence at a border is found with its surroundings.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tunesmith.errors import DataError, name_some

WORDS = 150
OVERLAP = 30


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of one document; `source` is the file's path inside the folder."""

    source: str
    text: str


def read_passages(folder: Path, words: int = WORDS, overlap: int = OVERLAP) -> list[Passage]:
    """All passages of the .txt and .md files below a folder, in the order of the paths.

    Errors: `DataError` for a folder that is missing or has no text, and for unreadable files, all named together.
    """
    if not folder.is_dir():
        raise DataError(
            "no-documents",
            "The documents must be a folder.",
            where=str(folder),
            found="a file" if folder.exists() else "nothing there",
            do="give a folder with .txt or .md files",
        )
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".txt", ".md") and path.is_file())
    texts, unreadable = _read(files)
    if unreadable:
        raise DataError(
            "unreadable-documents",
            f"{len(unreadable):,} of {len(files):,} documents cannot be read.",
            where=str(folder),
            found=name_some(unreadable),
            do="make them readable as UTF-8 text, or move them out of the folder",
        )
    passages = [
        Passage(path.relative_to(folder).as_posix(), text)
        for path, content in zip(files, texts, strict=True)
        for text in cut(content, words, overlap)
    ]
    if not passages:
        raise DataError(
            "no-documents",
            "There is no text to retrieve from.",
            where=str(folder),
            found=f"{len(files):,} .txt or .md files, all empty" if files else "no .txt or .md file",
            do="give a folder with .txt or .md files",
        )
    return passages


def _read(files: list[Path]) -> tuple[list[str], list[str]]:
    texts, unreadable = [], []
    for path in files:
        try:
            texts.append(path.read_text("utf-8-sig"))
        except UnicodeDecodeError as error:
            unreadable.append(f"{path.name} (no UTF-8 at byte {error.start:,})")
        except OSError as error:
            unreadable.append(f"{path.name} ({error.strerror})")
    return texts, unreadable


def cut(text: str, words: int, overlap: int) -> Iterator[str]:
    """The passages of one text. Errors: ValueError unless 0 <= overlap < words."""
    if not 0 <= overlap < words:
        raise ValueError(f"the overlap of {overlap} words must be less than the passage of {words}")
    held: list[str] = []
    fresh = 0
    for piece in _pieces(text, words - overlap):
        if fresh and len(held) + len(piece) > words:
            yield " ".join(held)
            held, fresh = held[len(held) - overlap :], 0
        held += piece
        fresh += len(piece)
    if fresh:
        yield " ".join(held)


def _pieces(text: str, most: int) -> Iterator[list[str]]:
    """Paragraphs as words; one of more than `most` words comes in several pieces."""
    for paragraph in re.split(r"\n\s*\n", text):
        words = paragraph.split()
        for begin in range(0, len(words), most):
            yield words[begin : begin + most]
