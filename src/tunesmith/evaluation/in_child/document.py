"""The text of one document: {"path", "kind"} -> {"text", "remark"}.

Kinds: `text` (also Markdown and reStructuredText), `html`, `table` (CSV and TSV), `pdf`, `word`, `sheet`. Paragraphs
are separated by empty lines; a row of a table is a paragraph of its own, `column: value; column: value`. What a browser
does not show (scripts, styles) is left out, and so are menus (`nav`). A ValueError says in words why there is no text;
a remark says what is missing.

Foreign files are parsed here because a parser may hang, or take all memory. The child gives up the network and all
files but Python's own and the documents' folder, where the system can hold it to that.
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from tunesmith.evaluation.in_child.confine import confine_to, leave_network

OLE = b"\xd0\xcf\x11\xe0"
"""How old Office files begin, and new ones that a password encrypts."""
UNSEEN = ("script", "style", "noscript", "template", "svg", "iframe", "object", "nav")
WORD_UNREAD = ("del", "moveFrom", "Fallback", "pPr", "rPr", "tblPr", "sdtPr", "instrText", "delText")
"""Elements of a Word document whose text is not what it says: deleted, doubled for old programs, or settings."""
MOST_SPANNED = 64
BLOCKS = (
    "address", "article", "aside", "blockquote", "br", "dd", "details", "div", "dl", "dt", "fieldset", "figure",
    "figcaption", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "ol", "p", "pre",
    "section", "summary", "ul",
)  # fmt: skip


def open_work(setup: Any) -> Callable[[Any], Any]:
    """The reading of one document of the folder `setup`."""
    leave_network()
    confine_to(Path.cwd(), readable=[Path(setup)])
    return lambda piece: read_document(Path(piece["path"]), piece["kind"])


def read_document(path: Path, kind: str) -> dict[str, str]:
    """Its text. Errors: ValueError with why there is none."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from None
    if kind in ("word", "sheet") and raw.startswith(OLE):
        raise ValueError("encrypted, or an Office file of the old kind")
    text, remark = READERS[kind](raw)
    if not text.strip():
        raise ValueError(remark or "empty")
    return {"text": text, "remark": remark}


def _text(raw: bytes) -> tuple[str, str]:
    is_utf16 = raw.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        text = raw.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"no UTF-8 at byte {error.start:,}") from None
    if "\0" in text:
        raise ValueError("no text: it holds NUL characters")
    return text, ""


def _table(raw: bytes) -> tuple[str, str]:
    text, _ = _text(raw)
    first = text.partition("\n")[0]
    sign = max(",;\t|", key=first.count)
    csv.field_size_limit(2**27)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=sign, strict=True))
    except csv.Error as error:
        raise ValueError(f"no table: {error}") from None
    return _rows(rows), ""


def _rows(rows: Iterable[Sequence[Any]]) -> str:
    """Each row with the names of its columns, which the first row has."""
    told = [["" if cell is None else " ".join(str(cell).split()) for cell in row] for row in rows]
    told = [row for row in told if any(row)]
    if len(told) < 2:
        return "\n\n".join("; ".join(filter(None, row)) for row in told)
    names, *rest = told
    return "\n\n".join("; ".join(_cells(names, row)) for row in rest)


def _cells(names: Sequence[str], row: Sequence[str]) -> Iterator[str]:
    for number, cell in enumerate(row):
        name = names[number] if number < len(names) else ""
        if cell:
            yield f"{name}: {cell}" if name else cell


def _html(raw: bytes) -> tuple[str, str]:
    from bs4 import UnicodeDammit

    page = _Page()
    page.feed(UnicodeDammit(raw, is_html=True).unicode_markup or "")
    page.close()
    body, title = "".join(page.parts), " ".join("".join(page.title).split())
    return f"{title}\n\n{body}" if title and body.strip() else body, ""


class _Page(HTMLParser):
    """The visible text of a page as it streams by: pages without closed elements nest a hundred thousand deep."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.title: list[str] = []
        self._unseen: list[str] = []
        self._is_title = False
        self._tables: list[_Table] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element begins."""
        if tag in UNSEEN:
            self._unseen.append(tag)
        elif tag == "table":
            self._tables.append(_Table())
        elif tag == "tr" and self._tables:
            self._tables[-1].rows.append([])
        elif tag in ("td", "th") and self._tables:
            self._tables[-1].begin_cell()
        elif tag in BLOCKS:
            self._write("\n\n")
        self._is_title = tag == "title" and not self._unseen

    def handle_endtag(self, tag: str) -> None:
        """An element ends, or what never began does."""
        self._is_title = False
        if tag in UNSEEN and tag in self._unseen:
            del self._unseen[self._unseen.index(tag) :]
        elif tag == "table" and self._tables:
            self._end_table()
        elif tag in BLOCKS:
            self._write("\n\n")

    def handle_data(self, data: str) -> None:
        """Text between elements."""
        if self._is_title:
            self.title.append(data)
        elif not self._unseen:
            self._write(data)

    def close(self) -> None:
        """The page is over; so are its tables."""
        super().close()
        while self._tables:
            self._end_table()

    def _end_table(self) -> None:
        table = self._tables.pop()
        if self._tables:
            self._tables[-1].is_layout = True
        self._write(f"\n\n{table.text}\n\n")

    def _write(self, text: str) -> None:
        rows = self._tables[-1].rows if self._tables else []
        (rows[-1][-1] if rows and rows[-1] else self.parts).append(text)


class _Table:
    """A table under way: rows of cells of pieces of text. One with a table inside is layout, without column names."""

    def __init__(self) -> None:
        self.rows: list[list[list[str]]] = []
        self.is_layout = False

    def begin_cell(self) -> None:
        """The next cell of the row; rows may begin without a sign."""
        if not self.rows:
            self.rows.append([])
        self.rows[-1].append([])

    @property
    def text(self) -> str:
        """Its rows as paragraphs."""
        told = [["".join(cell) for cell in row] for row in self.rows]
        if self.is_layout:
            return "\n\n".join(cell for row in told for cell in row)
        return _rows(told)


def _pdf(raw: bytes) -> tuple[str, str]:
    from pypdf import PdfReader
    from pypdf.errors import DependencyError, PyPdfError

    try:
        reader = PdfReader(io.BytesIO(raw))
        if reader.is_encrypted and not reader.decrypt(""):
            raise ValueError("encrypted")
        pages = [page.extract_text() for page in reader.pages]
    except DependencyError:
        raise ValueError("encrypted") from None
    except (PyPdfError, RecursionError, KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
        raise ValueError(f"unreadable: {type(error).__name__}: {error}"[:200]) from None
    empty = sum(not page.strip() for page in pages)
    if pages and empty == len(pages):
        return "", "no text layer: scanned pages need text recognition first"
    return "\n\n".join(pages), f"{empty:,} of {len(pages):,} pages have no text layer" if empty else ""


def _word(raw: bytes) -> tuple[str, str]:
    """Body, headers and footers, notes: the text as it reads with tracked changes accepted.

    python-docx gives neither content controls (w:sdt) nor text boxes, notes, inserted text or tables in tables, so the
    elements themselves are read.
    """
    from docx import Document

    document = _opened(lambda: Document(io.BytesIO(raw)))
    parts = [_word_text(document.element.body)]
    seen = set(parts)
    for part in document.part.package.iter_parts():
        name = str(part.partname).rpartition("/")[2]
        if name.startswith(("header", "footer", "footnotes", "endnotes")):
            text = _word_text(_opened(partial(_parsed, part.blob)))
            parts += [text] if text not in seen else []
            seen.add(text)
    return "\n\n".join(filter(None, parts)), ""


def _parsed(blob: bytes) -> Any:
    from docx.oxml.parser import parse_xml

    return parse_xml(blob)


def _word_text(element: Any) -> str:
    return "\n\n".join(filter(None, map(str.strip, _word_blocks(element))))


def _word_blocks(element: Any) -> Iterator[str]:
    """The paragraphs and tables below an element, however deep they are wrapped."""
    for child in element.iterchildren("{*}*"):
        kind = _name_of(child)
        if kind == "p":
            boxes: list[Any] = []
            yield "".join(_word_pieces(child, boxes))
            for box in boxes:
                yield from _word_blocks(box)
        elif kind == "tbl":
            yield _rows(_word_rows(child))
        elif kind not in WORD_UNREAD:
            yield from _word_blocks(child)


def _word_row(row: Any, above: Sequence[str]) -> list[str]:
    """Its cells, one that spans columns followed by empty ones; one that goes on from the row above says the same."""
    cells: list[str] = []
    for cell in row.iter("{*}tc"):
        if _table_of(cell) is not _table_of(row):
            continue
        spans = cell.find("{*}tcPr/{*}gridSpan")
        merged = cell.find("{*}tcPr/{*}vMerge")
        place = len(cells)
        goes_on = merged is not None and _value_of(merged) in ("", "continue") and place < len(above)
        cells.append(above[place] if goes_on else _word_text(cell))
        width = _value_of(spans) if spans is not None else ""
        cells += [""] * (min(int(width), MOST_SPANNED) - 1 if width.isdecimal() else 0)
    return cells


def _word_rows(table: Any) -> Iterator[list[str]]:
    above: list[str] = []
    for row in table.iter("{*}tr"):
        if _table_of(row) is table:
            above = _word_row(row, above)
            yield above


def _value_of(element: Any) -> str:
    """Its attribute w:val."""
    return str(element.get(element.tag.rpartition("}")[0] + "}val", ""))


def _table_of(element: Any) -> Any:
    return next(element.iterancestors("{*}tbl"), None)


def _word_pieces(element: Any, boxes: list[Any]) -> Iterator[str]:
    """The text of a paragraph in pieces; what stands in text boxes on it is put aside."""
    for child in element.iterchildren("{*}*"):
        kind = _name_of(child)
        if kind == "t":
            yield child.text or ""
        elif kind in ("tab", "br", "cr"):
            yield " "
        elif kind == "noBreakHyphen":
            yield "-"
        elif kind == "txbxContent":
            boxes.append(child)
        elif kind not in WORD_UNREAD:
            yield from _word_pieces(child, boxes)


def _name_of(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]


def _sheet(raw: bytes) -> tuple[str, str]:
    from openpyxl import load_workbook

    book = _opened(lambda: load_workbook(io.BytesIO(raw), read_only=True, data_only=True))
    sheets = [(sheet.title, _rows(sheet.iter_rows(values_only=True))) for sheet in book.worksheets]
    formulas = _opened(lambda: load_workbook(io.BytesIO(raw), read_only=True))
    missing = sum(
        isinstance(written, str) and written.startswith("=") and value is None
        for values, texts in zip(book.worksheets, formulas.worksheets, strict=True)
        for value, written in zip(_cells_of(values), _cells_of(texts), strict=True)
    )
    remark = f"{missing:,} formulas have no stored value: open and save it in a spreadsheet program" if missing else ""
    return "\n\n".join(f"{title}\n\n{text}" for title, text in sheets if text), remark


def _cells_of(sheet: Any) -> Iterator[Any]:
    return (value for row in sheet.iter_rows(values_only=True) for value in row)


def _opened(read: Callable[[], Any]) -> Any:
    """What a reader of Office files gives; they say in a dozen ways that a file is none."""
    from xml.etree.ElementTree import ParseError
    from zipfile import BadZipFile

    try:
        return read()
    except (BadZipFile, ParseError, KeyError, ValueError, SyntaxError, OSError, EOFError) as error:
        raise ValueError(f"unreadable: {type(error).__name__}: {error}"[:200]) from None


READERS: dict[str, Callable[[bytes], tuple[str, str]]] = {
    "text": _text, "table": _table, "html": _html, "pdf": _pdf, "word": _word, "sheet": _sheet,
}  # fmt: skip
