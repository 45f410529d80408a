"""The text of one document: {"path", "kind"} -> {"text", "remark"}.

Kinds: `text` (also Markdown and reStructuredText), `html`, `table` (CSV and TSV), `pdf`, `word`,
`sheet`. Paragraphs are separated by empty lines; a table row is a paragraph of its own, `column:
value; column: value`. What a browser does not show (scripts, styles) is left out, and so are menus
(`nav`). A ValueError says in words why there is no text; a remark says what is missing.

Untrusted files are parsed here because a parser may hang or exhaust memory. The child gives up the
network and all files except Python's own and the documents' folder, if the system supports it.
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from tunesmith.evaluation.sandbox_worker.confinement import confine_to, leave_network

OLE_SIGNATURE = b"\xd0\xcf\x11\xe0"
"""First bytes of legacy Office files, and of current ones encrypted with a password."""
HIDDEN_TAGS = ("script", "style", "noscript", "template", "svg", "iframe", "object", "nav")
IGNORED_WORD_ELEMENTS = (
    "del",
    "moveFrom",
    "Fallback",
    "pPr",
    "rPr",
    "tblPr",
    "sdtPr",
    "instrText",
    "delText",
)
"""Elements of a Word document whose text is not part of the visible text: deleted, duplicated for
old programs, or settings."""
MAX_COLUMN_SPAN = 64  # a hostile file may claim billions
BLOCK_TAGS = (
    "address",
    "article",
    "aside",
    "blockquote",
    "br",
    "dd",
    "details",
    "div",
    "dl",
    "dt",
    "fieldset",
    "figure",
    "figcaption",
    "footer",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "li",
    "main",
    "ol",
    "p",
    "pre",
    "section",
    "summary",
    "ul",
)


def make_worker(setup: Any) -> Callable[[Any], Any]:
    """The function that reads one document of the folder `setup`."""
    leave_network()
    confine_to(Path.cwd(), readable=[Path(setup)])
    return lambda piece: read_document(Path(piece["path"]), piece["kind"])


def read_document(path: Path, kind: str) -> dict[str, str]:
    """The document's text and a remark. Errors: ValueError with the reason why there is none."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from None
    if kind in ("word", "sheet") and raw.startswith(OLE_SIGNATURE):
        raise ValueError("encrypted, or an old Office format")
    text, remark = PARSERS[kind](raw)
    if not text.strip():
        raise ValueError(remark or "empty")
    return {"text": text, "remark": remark}


def _parse_text(raw: bytes) -> tuple[str, str]:
    is_utf16 = raw.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        text = raw.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"invalid UTF-8 at byte {error.start:,}") from None
    if "\0" in text:
        raise ValueError("not text: contains NUL characters")
    return text, ""


def _parse_table(raw: bytes) -> tuple[str, str]:
    text, _ = _parse_text(raw)
    first = text.partition("\n")[0]
    # The separator is the most frequent candidate in the first line.
    sign = max(",;\t|", key=first.count)
    csv.field_size_limit(2**27)  # the default of 128 KiB rejects long cells
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=sign, strict=True))
    except csv.Error as error:
        raise ValueError(f"not a table: {error}") from None
    return _format_rows(rows), ""


def _format_rows(rows: Iterable[Sequence[Any]]) -> str:
    """Each row with its column names, which come from the first row."""
    cells = [["" if cell is None else " ".join(str(cell).split()) for cell in row] for row in rows]
    cells = [row for row in cells if any(row)]
    if len(cells) < 2:
        return "\n\n".join("; ".join(filter(None, row)) for row in cells)
    names, *rest = cells
    return "\n\n".join("; ".join(_format_cells(names, row)) for row in rest)


def _format_cells(names: Sequence[str], row: Sequence[str]) -> Iterator[str]:
    for number, cell in enumerate(row):
        name = names[number] if number < len(names) else ""
        if cell:
            yield f"{name}: {cell}" if name else cell


def _parse_html(raw: bytes) -> tuple[str, str]:
    from bs4 import UnicodeDammit

    page = _PageParser()
    page.feed(UnicodeDammit(raw, is_html=True).unicode_markup or "")
    page.close()
    body, title = "".join(page.parts), " ".join("".join(page.title).split())
    return f"{title}\n\n{body}" if title and body.strip() else body, ""


class _PageParser(HTMLParser):
    """The visible text of a page, collected in one streaming pass: unclosed elements may nest a
    hundred thousand levels deep, too many for a tree."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.title: list[str] = []
        self._hidden_tags: list[str] = []
        self._is_title = False
        self._tables: list[_HtmlTable] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Handle the start of an element."""
        if tag in HIDDEN_TAGS:
            self._hidden_tags.append(tag)
        elif tag == "table":
            self._tables.append(_HtmlTable())
        elif tag == "tr" and self._tables:
            self._tables[-1].rows.append([])
        elif tag in ("td", "th") and self._tables:
            self._tables[-1].begin_cell()
        elif tag in BLOCK_TAGS:
            self._write("\n\n")
        self._is_title = tag == "title" and not self._hidden_tags

    def handle_endtag(self, tag: str) -> None:
        """Handle the end of an element, also of one that was never opened."""
        self._is_title = False
        if tag in HIDDEN_TAGS and tag in self._hidden_tags:
            # Also closes hidden elements inside it that the page left open.
            del self._hidden_tags[self._hidden_tags.index(tag) :]
        elif tag == "table" and self._tables:
            self._end_table()
        elif tag in BLOCK_TAGS:
            self._write("\n\n")

    def handle_data(self, data: str) -> None:
        """Handle text between tags."""
        if self._is_title:
            self.title.append(data)
        elif not self._hidden_tags:
            self._write(data)

    def close(self) -> None:
        """Finish the page and all tables still open."""
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


class _HtmlTable:
    """An open table: rows of cells, each a list of text pieces. A table that contains another one
    is used for layout, and its rows get no column names."""

    def __init__(self) -> None:
        self.rows: list[list[list[str]]] = []
        self.is_layout = False

    def begin_cell(self) -> None:
        """Start the next cell; a row need not have been opened."""
        if not self.rows:
            self.rows.append([])
        self.rows[-1].append([])

    @property
    def text(self) -> str:
        """The rows as paragraphs."""
        cells = [["".join(cell) for cell in row] for row in self.rows]
        if self.is_layout:
            return "\n\n".join(cell for row in cells for cell in row)
        return _format_rows(cells)


def _parse_pdf(raw: bytes) -> tuple[str, str]:
    from pypdf import PdfReader
    from pypdf.errors import DependencyError, PyPdfError

    try:
        reader = PdfReader(io.BytesIO(raw))
        # Many PDFs are encrypted with an empty user password: everyone may open those.
        if reader.is_encrypted and not reader.decrypt(""):
            raise ValueError("encrypted")
        pages = [page.extract_text() for page in reader.pages]
    except DependencyError:
        raise ValueError("encrypted") from None
    # pypdf raises plain Python errors on malformed files.
    except (
        PyPdfError,
        RecursionError,
        KeyError,
        TypeError,
        AttributeError,
        IndexError,
        OverflowError,
    ) as error:
        raise ValueError(f"unreadable: {type(error).__name__}: {error}"[:200]) from None
    empty = sum(not page.strip() for page in pages)
    if pages and empty == len(pages):
        return "", "no text layer: scanned pages need OCR first"
    return "\n\n".join(pages), (
        f"{empty:,} of {len(pages):,} pages have no text layer" if empty else ""
    )


def _parse_word(raw: bytes) -> tuple[str, str]:
    """Body, headers and footers, notes: the text as it reads with tracked changes accepted.

    python-docx omits content controls (w:sdt), text boxes, notes, inserted text and nested tables,
    so the XML elements are read directly.
    """
    from docx import Document

    document = _open_office_file(lambda: Document(io.BytesIO(raw)))
    parts = [_extract_word_text(document.element.body)]
    seen = set(parts)  # sections often repeat the same header
    for part in document.part.package.iter_parts():
        name = str(part.partname).rpartition("/")[2]
        if name.startswith(("header", "footer", "footnotes", "endnotes")):
            text = _extract_word_text(_open_office_file(partial(_parse_xml_part, part.blob)))
            parts += [text] if text not in seen else []
            seen.add(text)
    return "\n\n".join(filter(None, parts)), ""


def _parse_xml_part(blob: bytes) -> Any:
    from docx.oxml.parser import parse_xml

    return parse_xml(blob)


def _extract_word_text(element: Any) -> str:
    return "\n\n".join(filter(None, map(str.strip, _iterate_word_blocks(element))))


def _iterate_word_blocks(element: Any) -> Iterator[str]:
    """The text of paragraphs and tables below an element, at any depth."""
    for child in element.iterchildren("{*}*"):
        kind = _get_tag_name(child)
        if kind == "p":
            boxes: list[Any] = []
            yield "".join(_iterate_word_texts(child, boxes))
            for box in boxes:
                yield from _iterate_word_blocks(box)
        elif kind == "tbl":
            yield _format_rows(_iterate_word_rows(child))
        elif kind not in IGNORED_WORD_ELEMENTS:
            yield from _iterate_word_blocks(child)


def _read_word_row(row: Any, above: Sequence[str]) -> list[str]:
    """The row's cells. One that spans columns is followed by empty ones; one merged with the cell
    above repeats its text."""
    cells: list[str] = []
    for cell in row.iter("{*}tc"):
        # `iter` also descends into nested tables, whose cells belong to their own rows.
        if _find_table(cell) is not _find_table(row):
            continue
        spans = cell.find("{*}tcPr/{*}gridSpan")
        merged = cell.find("{*}tcPr/{*}vMerge")
        place = len(cells)
        goes_on = (
            merged is not None and _get_value(merged) in ("", "continue") and place < len(above)
        )
        cells.append(above[place] if goes_on else _extract_word_text(cell))
        width = _get_value(spans) if spans is not None else ""
        cells += [""] * (min(int(width), MAX_COLUMN_SPAN) - 1 if width.isdecimal() else 0)
    return cells


def _iterate_word_rows(table: Any) -> Iterator[list[str]]:
    above: list[str] = []
    for row in table.iter("{*}tr"):
        if _find_table(row) is table:
            above = _read_word_row(row, above)
            yield above


def _get_value(element: Any) -> str:
    """The value of its attribute w:val; "" if missing."""
    return str(element.get(element.tag.rpartition("}")[0] + "}val", ""))


def _find_table(element: Any) -> Any:
    return next(element.iterancestors("{*}tbl"), None)


def _iterate_word_texts(element: Any, boxes: list[Any]) -> Iterator[str]:
    """The text of a paragraph in pieces; text boxes anchored in it are appended to `boxes`."""
    for child in element.iterchildren("{*}*"):
        kind = _get_tag_name(child)
        if kind == "t":
            yield child.text or ""
        elif kind in ("tab", "br", "cr"):
            yield " "
        elif kind == "noBreakHyphen":
            yield "-"
        elif kind == "txbxContent":
            boxes.append(child)
        elif kind not in IGNORED_WORD_ELEMENTS:
            yield from _iterate_word_texts(child, boxes)


def _get_tag_name(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]


def _parse_sheet(raw: bytes) -> tuple[str, str]:
    from openpyxl import load_workbook

    book = _open_office_file(lambda: load_workbook(io.BytesIO(raw), read_only=True, data_only=True))
    sheets = [
        (sheet.title, _format_rows(sheet.iter_rows(values_only=True))) for sheet in book.worksheets
    ]
    # Opened twice: `data_only` gives stored values, the other reading gives formulas. A formula
    # without a value was written by a program that does not calculate.
    formulas = _open_office_file(lambda: load_workbook(io.BytesIO(raw), read_only=True))
    missing = sum(
        isinstance(written, str) and written.startswith("=") and value is None
        for values, texts in zip(book.worksheets, formulas.worksheets, strict=True)
        for value, written in zip(_iterate_cells(values), _iterate_cells(texts), strict=True)
    )
    remark = (
        (
            f"{missing:,} formulas have no stored value: open and save the file in a spreadsheet "
            "program"
        )
        if missing
        else ""
    )
    return "\n\n".join(f"{title}\n\n{text}" for title, text in sheets if text), remark


def _iterate_cells(sheet: Any) -> Iterator[Any]:
    return (value for row in sheet.iter_rows(values_only=True) for value in row)


def _open_office_file(read: Callable[[], Any]) -> Any:
    """The result of a reader of Office files, whose various errors for invalid files become
    ValueError."""
    from xml.etree.ElementTree import ParseError
    from zipfile import BadZipFile

    try:
        return read()
    except (BadZipFile, ParseError, KeyError, ValueError, SyntaxError, OSError, EOFError) as error:
        raise ValueError(f"unreadable: {type(error).__name__}: {error}"[:200]) from None


PARSERS: dict[str, Callable[[bytes], tuple[str, str]]] = {
    "text": _parse_text,
    "table": _parse_table,
    "html": _parse_html,
    "pdf": _parse_pdf,
    "word": _parse_word,
    "sheet": _parse_sheet,
}
