"""Whatever stands in a row, reading goes on; whatever a file is, there is one clear error."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tunesmith.data.read import read_dataset
from tunesmith.errors import DataError

GOOD = b'{"prompt": "2 + 2", "completion": "4"}'


def write(folder: Path, content: bytes, name: str = "data.jsonl") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("bad_line", "code"),
    [
        (b"{not json}", "data/unreadable-line"),
        (b"[1, 2]", "data/unreadable-line"),
        (b'"only text"', "data/unreadable-line"),
        (b'{"prompt": "a", "prompt": "b", "completion": "c"}', "data/duplicate-key"),
        (b'{"prompt": "a", "completion": "c", "extra": {"k": 1, "k": 2}}', "data/duplicate-key"),
        (b'{"prompt": "a", "completion": "c", "score": NaN}', "data/not-a-number"),
        (b'{"prompt": "a", "completion": "c", "score": -Infinity}', "data/not-a-number"),
        (b'{"prompt": "a", "completion": "c", "score": 1e400}', "data/not-a-number"),
        (b'{"prompt": "a", "completion": "c", "n": ' + b"9" * 5000 + b"}", "data/number-too-long"),
        (
            b'{"prompt": "a", "completion": "c", "n": ' + b"[" * 100 + b"]" * 100 + b"}",
            "data/too-deep",
        ),
        (
            b'{"prompt": "a", "completion": "c", "n": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
            "data/too-deep",
        ),
        (b'{"prompt": "\\ud800", "completion": "c"}', "data/lone-surrogate"),
        (b'{"prompt": "a\\u0000b", "completion": "c"}', "data/nul"),
        (b'{"prompt": "a\0b", "completion": "c"}', "data/nul"),
        (b'{"prompt": "caf\xe9", "completion": "c"}', "data/broken-utf8"),
        (b'{"prompt": "a"}', "data/missing-column"),
        (b'{"prompt": {"a": 7}, "completion": "c"}', "data/wrong-type"),
        (b'{"prompt": "a", "completion": {"b": 1}}', "data/wrong-type"),
        (b'{"prompt": [{"role": "king", "content": "a"}], "completion": "c"}', "data/unknown-role"),
        (b'{"prompt": [], "completion": "c"}', "data/wrong-type"),
    ],
)
def test_a_bad_line_is_a_problem_with_its_number_and_the_others_are_read(
    tmp_path: Path, bad_line: bytes, code: str
) -> None:
    loaded = read_dataset(write(tmp_path, b"\n".join([GOOD, bad_line, GOOD, b""])))
    problem = next(problem for problem in loaded.problems if problem.code == code)
    assert (problem.severity, problem.count, problem.lines) == ("error", 1, (2,))
    assert problem.hint
    assert [example.line for example in loaded.examples] == [1, 3]


def test_equal_faults_of_one_file_are_one_problem(tmp_path: Path) -> None:
    loaded = read_dataset(write(tmp_path, b"\n".join([b"x", GOOD, b"y", b"z", b""])))
    assert [(p.code, p.count, p.lines) for p in loaded.problems] == [
        ("data/unreadable-line", 3, (1, 3, 4))
    ]


def test_a_last_line_that_breaks_off_is_named(tmp_path: Path) -> None:
    loaded = read_dataset(write(tmp_path, GOOD + b"\n" + GOOD[:20]))
    assert [(p.code, p.lines) for p in loaded.problems] == [("data/cut-line", (2,))]


def test_a_last_line_without_line_end_is_fine(tmp_path: Path) -> None:
    loaded = read_dataset(write(tmp_path, GOOD + b"\n" + GOOD))
    assert not loaded.problems
    assert len(loaded.examples) == 2


def test_crlf_and_blank_lines_are_fine(tmp_path: Path) -> None:
    loaded = read_dataset(write(tmp_path, GOOD + b"\r\n\r\n" + GOOD + b"\r\n"))
    assert not loaded.problems
    assert [example.line for example in loaded.examples] == [1, 3]


@pytest.mark.parametrize(("name", "lines"), [("data.jsonl", (1,)), ("data.csv", ())])
def test_a_byte_order_mark_is_skipped_with_a_warning(
    tmp_path: Path, name: str, lines: tuple[int, ...]
) -> None:
    """In a table it stands before the header, which is no row."""
    content = GOOD if name.endswith("jsonl") else b"prompt,completion\n2 + 2,4\n"
    loaded = read_dataset(write(tmp_path, b"\xef\xbb\xbf" + content, name))
    assert [(p.code, p.severity, p.lines) for p in loaded.problems] == [
        ("data/bom", "warning", lines)
    ]
    assert loaded.examples[0].answer == "4"


def test_a_long_line_is_skipped_unread_and_the_next_one_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunesmith.data.read.line_reader.MAX_LINE_BYTES", 1000)
    loaded = read_dataset(write(tmp_path, b'{"prompt": "' + b"a" * 5000 + b'"}\n' + GOOD + b"\n"))
    assert [(p.code, p.lines) for p in loaded.problems] == [("data/line-too-long", (1,))]
    assert [example.line for example in loaded.examples] == [2]


@pytest.mark.parametrize("name", ["data.jsonl", "data.csv"])
def test_a_1_gb_single_line_is_refused_in_bounded_memory(tmp_path: Path, name: str) -> None:
    """A sparse file: 1 GB of NUL bytes without one line end."""
    import resource

    path = write(tmp_path, b'{"prompt": "', name)
    with path.open("r+b") as file:
        file.truncate(10**9)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DataError, match="line-too-long"):
        read_dataset(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("empty.jsonl", b"", "data/empty-file"),
        ("blank.jsonl", b"\n\n\n", "data/no-rows"),
        ("header.csv", b"prompt,completion\n", "data/no-rows"),
        ("utf16.jsonl", GOOD.decode().encode("utf-16"), "data/wrong-format"),
        ("packed.jsonl.gz", b"\x1f\x8b\x08\x00aaaa", "data/damaged-archive"),
        ("sheet.xlsx", b"PK\x03\x04aaaa", "data/wrong-format"),
        ("model.pkl", b"\x80\x04\x95\x10\x00\x00", "data/unknown-format"),
        ("prose.txt", b"once upon a time", "data/unknown-format"),
        ("bad.parquet", b"PAR1 and nothing more", "data/damaged-table"),
        ("bad.arrow", b"\xff\xff\xff\xff and nothing more", "data/damaged-table"),
        ("all-bad.jsonl", b"x\ny\n", "data/unreadable-line"),
        ("array.json", b'[{"prompt": "a", "completion"', "data/unreadable-line"),
        ("twice.csv", b"prompt,prompt\na,b\n", "data/bad-header"),
        ("odd.jsonl", b'{"question": "a", "reply": "b"}\n', "data/unknown-shape"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_error(
    tmp_path: Path, name: str, content: bytes, code: str
) -> None:
    path = write(tmp_path, content, name)
    with pytest.raises(DataError) as caught:
        read_dataset(path)
    assert caught.value.code == code
    assert caught.value.exit_code == 2
    assert str(path) in caught.value.at
    assert caught.value.hint


def test_a_missing_file_an_empty_folder_and_no_permission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match="data/missing"):
        read_dataset(tmp_path / "none.jsonl")
    with pytest.raises(DataError, match="data/no-data-files"):
        read_dataset(tmp_path)
    path = write(tmp_path, GOOD)

    def refuse(opened: object, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(opened))

    monkeypatch.setattr(
        "tunesmith.atomic_io.os.open", refuse
    )  # chmod would not stop root, whom containers run tests as
    with pytest.raises(DataError, match="data/no-permission"):
        read_dataset(path)


def test_unknown_shape_lists_columns_shapes_and_the_flag(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read_dataset(write(tmp_path, b'{"question": "a", "reply": "b"}\n'))
    assert "question, reply" in caught.value.got
    assert caught.value.hint == "did you mean --columns prompt=question,completion=reply?"
    with pytest.raises(DataError) as caught:
        read_dataset(write(tmp_path, b'{"foo": "a", "bar": "b"}\n'))
    assert "--columns prompt=question,completion=answer" in caught.value.hint
    assert all(
        shape in caught.value.hint
        for shape in ("messages", "alpaca", "sharegpt", "preference", "text")
    )


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    junk=st.lists(
        st.binary(max_size=60) | st.text(max_size=30).map(lambda text: json.dumps(text).encode())
    )
)
def test_no_content_ends_the_reading(tmp_path: Path, junk: list[bytes]) -> None:
    """Junk lines beside a good one: the good one is read, the others are counted or blank."""
    lines = [line.replace(b"\n", b" ").replace(b"\r", b" ") for line in junk]
    loaded = read_dataset(write(tmp_path, b"\n".join([GOOD, *lines, b""])))
    assert loaded.examples[0].answer == "4"
    blank = sum(not line.strip() for line in lines)
    assert sum(problem.count for problem in loaded.problems) == len(lines) - blank


ENDINGS = ["jsonl", "json", "csv", "tsv", "parquet", "arrow", "txt"]
STARTS = [
    b"",
    b"[",
    b"{",
    b"PAR1",
    b"ARROW1\0\0",
    b"\xff\xff\xff\xff",
    b"prompt,completion\n",
    b"\xef\xbb\xbf",
]


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(start=st.sampled_from(STARTS), rest=st.binary(max_size=200), ending=st.sampled_from(ENDINGS))
def test_any_bytes_under_any_name_are_read_or_refused_clearly(
    tmp_path: Path, start: bytes, rest: bytes, ending: str
) -> None:
    path = write(tmp_path, start + rest, f"data.{ending}")
    try:
        assert read_dataset(path).examples
    except DataError as error:
        assert error.at and error.hint
