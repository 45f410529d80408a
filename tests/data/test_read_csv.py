"""CSV: rows are numbered as an editor shows them, line ends inside a cell stay, and an open quote
is called that."""

from pathlib import Path

import pytest

from tunesmith.data.check import check_examples
from tunesmith.data.read import LoadedDataset, read_dataset
from tunesmith.errors import DataError
from tunesmith.records import Problem

HEADER = b"prompt,completion\n"


def load(folder: Path, rows: bytes) -> LoadedDataset:
    (folder / "d.csv").write_bytes(HEADER + rows)
    return read_dataset(folder / "d.csv")


def only_problem(loaded: LoadedDataset) -> Problem:
    assert len(loaded.problems) == 1
    return loaded.problems[0]


def test_an_unclosed_quote_says_where_it_begins_and_how_many_lines_it_took_in(
    tmp_path: Path,
) -> None:
    loaded = load(tmp_path, b'a,b\n"two\nlines",b\nc,"never closed\n' + b"x,y\n" * 7)
    problem = only_problem(loaded)
    assert (problem.code, problem.severity, problem.format_places()) == (
        "data/unclosed-quote",
        "error",
        "line 5",
    )
    assert (
        "the row in line 5 has a quote that is not closed before the end of the file, over 7 "
        "more lines"
    ) in problem.summary
    assert "close the quote" in problem.hint
    assert [example.line for example in loaded.examples] == [2, 3]


def test_an_unclosed_quote_in_the_last_row_took_in_nothing(tmp_path: Path) -> None:
    assert only_problem(load(tmp_path, b'a,b\nc,"open\n')).got.endswith(
        "is not closed before the end of the file"
    )


def test_an_unclosed_quote_that_a_later_quote_seems_to_close_names_the_lines(
    tmp_path: Path,
) -> None:
    loaded = load(tmp_path, b'a,"open\nc,"d"\ne,f\n')
    problem = only_problem(loaded)
    assert (problem.code, problem.format_places()) == ("data/broken-quotes", "line 2")
    assert "(lines 2 to 3)" in problem.summary
    assert [(example.line, example.question) for example in loaded.examples] == [(4, "e")]


def test_a_file_whose_first_row_opens_a_quote_is_refused_as_that(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"(?s)data/unclosed-quote.* line 2 .*over 1 more line"):
        load(tmp_path, b'a,"open\nc,d\n')


def test_a_line_that_is_too_long_is_a_row_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunesmith.data.read.line_reader.MAX_LINE_BYTES", 1000)
    loaded = load(tmp_path, b'a,b\n"two\nlines",b\n' + b"x" * 5000 + b",y\nc\nd,e\n")
    assert [(p.code, p.format_places()) for p in loaded.problems] == [
        ("data/line-too-long", "line 5"),
        ("data/cell-count", "line 6"),
    ]
    assert "in line 5" in loaded.problems[0].summary
    assert [example.line for example in loaded.examples] == [2, 3, 7]


def test_a_cell_that_is_too_long_is_told_with_the_lines_it_spans(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunesmith.data.read.csv_file.MAX_LINE_BYTES", 1000)
    problem = only_problem(
        load(tmp_path, b'a,b\nc,"open\n' + b"x" * 600 + b"\n" + b"y" * 600 + b"\nd,e\n")
    )
    assert (problem.code, problem.format_places()) == ("data/line-too-long", "line 3")
    assert "an unclosed quote (lines 3 to 5)" in problem.summary


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_line_ends_inside_a_quoted_cell_stay_as_they_are(tmp_path: Path, end: bytes) -> None:
    loaded = load(tmp_path, b'"one\r\ntwo\nthree",b' + end + b"c,d" + end)
    assert [(e.question, e.answer) for e in loaded.examples] == [
        ("one\r\ntwo\nthree", "b"),
        ("c", "d"),
    ]
    assert not loaded.problems


def test_places_in_tables_and_in_json_lines_are_lines_of_the_file(tmp_path: Path) -> None:
    table = load(tmp_path, b"caf\xe9,b\na,\n")
    told = {problem.code: problem for problem in check_examples(table).problems}
    assert told["data/broken-utf8"].message.startswith("not valid UTF-8")
    assert (told["data/broken-utf8"].format_places(), told["data/no-answer"].format_places()) == (
        "line 2",
        "line 3",
    )
    (tmp_path / "d.jsonl").write_bytes(
        b'{"prompt": "caf\xe9"}\n{"prompt": "a", "completion": ""}\n' * 2
    )
    told = {
        problem.code: problem
        for problem in check_examples(read_dataset(tmp_path / "d.jsonl")).problems
    }
    assert told["data/broken-utf8"].message.startswith("not valid UTF-8 (2 lines)")
    assert (told["data/broken-utf8"].format_places(), told["data/no-answer"].format_places()) == (
        "lines 1, 3",
        "lines 2, 4",
    )
