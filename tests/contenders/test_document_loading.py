"""A folder of documents: every kind that is read, every file that is not named with why, nothing
hangs."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from docx import Document
from docx.oxml.parser import parse_xml
from openpyxl import Workbook
from pypdf import PdfWriter

from tunesmith.contenders.retrieval import document_loading as workflow_documents
from tunesmith.contenders.retrieval.document_loading import (
    extract_texts,
    load_documents,
    write_documents,
)
from tunesmith.contenders.retrieval.document_passages import (
    DocumentCollection,
    ExtractedText,
    Passage,
    read_documents,
)
from tunesmith.errors import DataError, GateFailed, MissingExtraError
from tunesmith.evaluation.sandbox_worker.document_parsing import read_document
from tunesmith.records import Recipe
from tunesmith.runs.run_folder import RunFolder
from tunesmith.testing.recording_listener import RecordingListener

LINES = b"BT /F1 12 Tf 72 720 Td (%s) Tj ET"


def here(files: Sequence[tuple[Path, str]]) -> list[ExtractedText]:
    """Reads in this process."""
    found = []
    for path, kind in files:
        try:
            found.append(ExtractedText(**read_document(path, kind)))
        except ValueError as error:
            found.append(ExtractedText(error=str(error)))
    return found


def pdf(path: Path, *pages: bytes) -> None:
    """A PDF with one line of text a page; a page of no text where that is empty."""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    kids = []
    for text in pages:
        stream = LINES % text if text else b""
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents %d 0 R "
            b"/Resources << /Font << /F1 3 0 R >> >> >>" % len(objects)
        )
        kids.append(b"%d 0 R" % len(objects))
    objects[1] = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (b" ".join(kids), len(kids))
    content, places = b"%PDF-1.4\n", []
    for number, one in enumerate(objects, start=1):
        places.append(len(content))
        content += b"%d 0 obj\n%s\nendobj\n" % (number, one)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    content += (
        b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R"
        b" >>\nstartxref\n%d\n%%%%EOF\n"
        % (
            len(objects) + 1,
            table,
            len(objects) + 1,
            len(content),
        )
    )
    path.write_bytes(content)


def passages(folder: Path) -> list[Passage]:
    return list(read_documents(folder, here).passages)


def test_documents_are_read_in_order_of_their_paths_whatever_the_case_of_their_endings(
    tmp_path: Path,
) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "two.MD").write_bytes("\ufeffzwei\r\n\r\ndrei".encode())
    (tmp_path / "a.TXT").write_text("one")
    (tmp_path / "c.rst").write_bytes("vier".encode("utf-16"))
    (tmp_path / ".hidden.txt").write_text("not this")
    found = [Passage("a.TXT", "one"), Passage("b/two.MD", "zwei drei"), Passage("c.rst", "vier")]
    assert passages(tmp_path) == found


def test_a_page_of_html_is_its_visible_text_and_a_table_its_rows(tmp_path: Path) -> None:
    (tmp_path / "page.htm").write_text(
        "<html><head><title>Prices &amp; terms</title><style>p {color:"
        " red}</style></head><body><nav>Home</nav><script>alert('x')</script><h1>Boilers</h1><p>Prices"  # noqa: E501
        " <b>rose</b>.<p>Twice<br>in"
        " May.<table><tr><th>model</th><th>price</th></tr><tr><td>B1</td><td>900"
        " <i>EUR</i></td></tr></table></body></html>"
    )
    (tmp_path / "latin.html").write_bytes(
        '<meta charset="iso-8859-1"><p>caf\xe9</p>'.encode("latin-1")
    )
    assert passages(tmp_path) == [
        Passage("latin.html", "café"),
        Passage(
            "page.htm",
            "Prices & terms Boilers Prices rose. Twice in May. model: B1; price: 900 EUR",
        ),
    ]


def test_a_page_is_read_however_it_is_nested_and_left_open(tmp_path: Path) -> None:
    (tmp_path / "deep.html").write_text("<div>" * 50_000 + "deep")
    (tmp_path / "layout.html").write_text(
        "<table><tr><td>menu</td><td><table><tr><th>a<th>b<tr><td>1<td>2</table></td></tr></table>after"
    )
    (tmp_path / "open.html").write_text(
        "<nav>Home<nav>More</nav></nav><p>seen</b><script>alert('never closed')"
    )
    (tmp_path / "wide.html").write_text("<p>word" * 50_000)
    found = read_documents(tmp_path, here, words=50_000, overlap=0).passages
    assert found[:3] == (
        Passage("deep.html", "deep"),
        Passage("layout.html", "menu a: 1; b: 2 after"),
        Passage("open.html", "seen"),
    )
    assert found[3].text.split() == ["word"] * 50_000


def test_rows_of_tables_bear_the_names_of_their_columns(tmp_path: Path) -> None:
    (tmp_path / "prices.csv").write_text('model;price\nB1;"900;\n50"\n\nB2;\n')
    (tmp_path / "other.tsv").write_text("a\tb\n1\t2\n")
    assert passages(tmp_path) == [
        Passage("other.tsv", "a: 1; b: 2"),
        Passage("prices.csv", "model: B1; price: 900; 50 model: B2"),
    ]


def test_pdf_word_and_excel_are_read(tmp_path: Path) -> None:
    pdf(tmp_path / "manual.PDF", b"The valve is on the left.", b"Turn it twice.")
    word = Document()
    word.add_paragraph("Open the valve.")
    table = word.add_table(rows=2, cols=2)
    for cell, text in zip(table._cells, ("part", "place", "valve", "left"), strict=True):
        cell.text = text
    word.add_paragraph("Close it.")
    word.save(str(tmp_path / "steps.docx"))
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = "Prices"
    for row in (("model", "price"), ("B1", 900), (None, None)):
        sheet.append(row)
    book.save(tmp_path / "prices.xlsx")
    assert passages(tmp_path) == [
        Passage("manual.PDF", "The valve is on the left. Turn it twice."),
        Passage("prices.xlsx", "Prices model: B1; price: 900"),
        Passage("steps.docx", "Open the valve. part: valve; place: left Close it."),
    ]


def test_every_file_that_is_passed_over_is_named_with_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunesmith.contenders.retrieval.document_passages.MAX_FILE_BYTES", 2**20)
    (tmp_path / "a.md").write_text("text")
    (tmp_path / "LICENSE").write_text("x")
    (tmp_path / "photo.jpeg").write_bytes(b"x")
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "blank.txt").write_text(" \n\n ")
    (tmp_path / "latin.md").write_bytes(b"caf\xe9")
    (tmp_path / "binary.txt").write_bytes(b"a\0b")
    (tmp_path / "large.txt").write_text("x" * (2**20 + 1))
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.4 broken")
    (tmp_path / "broken.docx").write_bytes(b"no zip")
    (tmp_path / "broken.xlsx").write_bytes(b"PK\3\4")
    (tmp_path / "old.docx").write_bytes(b"\xd0\xcf\x11\xe0 old")
    (tmp_path / "gone.txt").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.txt")
    pdf(tmp_path / "scan.pdf", b"", b"")
    pdf(tmp_path / "half.pdf", b"seen", b"")
    locked = PdfWriter()
    locked.add_blank_page(100, 100)
    locked.encrypt("secret", algorithm="RC4-128")
    locked.write(tmp_path / "locked.pdf")
    found = read_documents(tmp_path, here)
    assert {name: why.partition(":")[0] for name, why in found.skipped.items()} == {
        "LICENSE": "no file extension",
        "photo.jpeg": ".jpeg files are not supported",
        "empty.txt": "empty",
        "blank.txt": "empty",
        "latin.md": "invalid UTF-8 at byte 3",
        "binary.txt": "not text",
        "large.txt": "larger than 1 MiB",
        "broken.pdf": "unreadable",
        "broken.docx": "unreadable",
        "broken.xlsx": "unreadable",
        "old.docx": "encrypted, or an old Office format",
        "gone.txt": "No such file or directory",
        "pipe.txt": "not a regular file",
        "scan.pdf": "no text layer",
        "locked.pdf": "encrypted",
    }
    assert found.remarks == {"half.pdf": "1 of 2 pages have no text layer"}
    assert found.description == f"read 2 of 17 files of {tmp_path}, 2 passages"


def test_a_folder_without_text_is_refused_with_every_reason(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"(?s)no-documents.*no such folder"):
        read_documents(tmp_path / "missing", here)
    with pytest.raises(DataError, match=r"(?s)no-documents.*no file"):
        read_documents(tmp_path, here)
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "photo.png").write_bytes(b"x")
    with pytest.raises(
        DataError, match=r"empty\.txt \(empty\).*photo\.png \(\.png files are not supported\)"
    ):
        read_documents(tmp_path, here)
    with pytest.raises(DataError, match="got: a file"):
        read_documents(tmp_path / "empty.txt", here)


def test_a_document_without_permission_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "secret.txt").write_text("x")
    monkeypatch.setattr(Path, "read_bytes", refuse)  # not by file mode: root reads everything
    with pytest.raises(DataError, match=r"secret\.txt \(Permission denied\)"):
        read_documents(tmp_path, here)


def recipe(folder: Path, **changes: object) -> Recipe:
    return Recipe.model_validate(
        {"retrieval": {"documents": str(folder), "chunk_size": 8, "chunk_overlap": 2}, **changes}
    )


def test_what_was_read_is_told_and_kept_with_the_run(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.md").write_text("The valve is on the left side of the boiler, below the pump.")
    (docs / "b.html").write_text("<p>Prices rose.</p>")
    (docs / "c.json").write_text("{}")
    listener = RecordingListener()
    found = load_documents(recipe(docs), listener)
    assert isinstance(found, DocumentCollection)
    assert listener.messages == [
        f"documents: read 2 of 3 files of {docs}, 4 passages",
        "skipping c.json: .json files are not supported",
    ]
    run = RunFolder.create(tmp_path / "runs", "r")
    write_documents(run, found)
    assert (
        '".json files are not supported"' in (run.path / "index" / "rag-documents.json").read_text()
    )
    with pytest.raises(GateFailed, match="documents-missing"):
        load_documents(recipe(docs, fail_on_warning=True), RecordingListener())


def test_an_index_of_one_passage_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("short")
    listener = RecordingListener()
    load_documents(recipe(tmp_path), listener)
    assert (
        listener.messages[-1]
        == "all documents together form one passage, so every question retrieves the same text"
    )


def test_a_reader_that_is_not_installed_is_named_by_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "manual.pdf").write_bytes(b"%PDF")
    monkeypatch.setattr(workflow_documents, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'pip install "tunesmith\[documents\]"'):
        load_documents(recipe(tmp_path), RecordingListener())


def test_a_document_that_hangs_its_reader_is_passed_over_and_the_next_one_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A text beyond what the child may give stands for a parser that takes all time or memory: each
    ends the child."""
    limits = replace(workflow_documents.EXTRACTION_LIMITS, output_bytes=100_000)
    monkeypatch.setattr(workflow_documents, "EXTRACTION_LIMITS", limits)
    files = [(tmp_path / "a.txt", "text"), (tmp_path / "b.txt", "text")]
    files[0][0].write_text("x" * 200_000)
    files[1][0].write_text("read")
    first, second = extract_texts(tmp_path, files)
    assert first.error.startswith("its output is larger than") and second.text == "read"


WORD = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
HIDDEN_PLACES = {
    "a content control": (
        f"<w:sdt {WORD}><w:sdtContent><w:p><w:r><w:t>Seen</w:t></w:r></w:p></w:sdtContent></w:sdt>"
    ),
    "an inline control": (
        f"<w:p {WORD}><w:sdt><w:sdtContent><w:r><w:t>Seen</w:t></w:r></w:sdtContent></w:sdt></w:p>"
    ),
    "inserted text": f'<w:p {WORD}><w:ins w:id="1"><w:r><w:t>Seen</w:t></w:r></w:ins></w:p>',
    "a text box": (
        "<w:p"
        f" {WORD}><w:r><w:pict><w:txbxContent><w:p><w:r><w:t>Seen</w:t></w:r></w:p></w:txbxContent>"
        "</w:pict></w:r></w:p>"
    ),
    "a table in a table": (
        f"<w:tbl {WORD}><w:tr><w:tc><w:tbl><w:tr><w:tc><w:p><w:r><w:t>Seen</w:t></w:r></w:p></w:tc>"
        "</w:tr></w:tbl></w:tc></w:tr></w:tbl>"
    ),
}


@pytest.mark.parametrize("xml", HIDDEN_PLACES.values(), ids=HIDDEN_PLACES.keys())
def test_no_text_of_a_word_document_is_dropped(xml: str, tmp_path: Path) -> None:
    """python-openxml/python-docx#155, #1123; docling-project/docling#1105;
    unslothai/unsloth#6780."""
    word = Document()
    word.add_paragraph("Before")
    word.element.body.insert(1, parse_xml(xml))
    word.save(str(tmp_path / "a.docx"))
    assert read_document(tmp_path / "a.docx", "word") == {"text": "Before\n\nSeen", "remark": ""}


def test_deleted_text_of_a_word_document_is_not_read_and_headers_are_read_once(
    tmp_path: Path,
) -> None:
    word = Document()
    fee = (
        f'<w:p {WORD}><w:r><w:t xml:space="preserve">Fee: </w:t></w:r><w:del'
        ' w:id="1"><w:r><w:delText>10</w:delText>'
    )
    word.element.body.insert(
        0, parse_xml(f"{fee}</w:r></w:del><w:r><w:t>12</w:t><w:tab/><w:t>euros</w:t></w:r></w:p>")
    )
    word.sections[0].header.paragraphs[0].text = "Valid from May"
    word.add_section().header.is_linked_to_previous = False
    word.sections[1].header.paragraphs[0].text = "Valid from May"
    word.save(str(tmp_path / "a.docx"))
    assert read_document(tmp_path / "a.docx", "word")["text"] == "Fee: 12 euros\n\nValid from May"


def test_cells_of_a_word_table_that_span_columns_or_rows_keep_their_columns(tmp_path: Path) -> None:
    word = Document()
    table = word.add_table(4, 3)
    for number, text in enumerate(
        ("region", "town", "fee", "North", "A", "1", "", "B", "2", "South", "", "3")
    ):
        table.cell(number // 3, number % 3).text = text
    table.cell(1, 0).merge(table.cell(2, 0))
    table.cell(3, 0).merge(table.cell(3, 1))
    word.save(str(tmp_path / "a.docx"))
    rows = read_document(tmp_path / "a.docx", "word")["text"].split("\n\n")
    assert rows == [
        "region: North; town: A; fee: 1",
        "region: North; town: B; fee: 2",
        "region: South; fee: 3",
    ]


def test_formulas_without_a_stored_value_are_told(tmp_path: Path) -> None:
    """infiniflow/ragflow#19737: a spreadsheet that a library wrote has formulas and no values;
    #16313: 0 is a value."""
    book = Workbook()
    assert book.active is not None
    for row in (["item", "total"], ["pens", "=1+1"], ["ink", 0]):
        book.active.append(row)
    book.save(tmp_path / "a.xlsx")
    found = read_document(tmp_path / "a.xlsx", "sheet")
    assert found["text"] == "Sheet\n\nitem: pens\n\nitem: ink; total: 0"
    assert (
        found["remark"]
        == "1 formulas have no stored value: open and save the file in a spreadsheet program"
    )
