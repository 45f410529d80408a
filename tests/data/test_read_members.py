"""Files and folders as people have them: read right, or refused with a name for what they are."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tunesmith.data.check import check_examples
from tunesmith.data.read import LoadedDataset, read_dataset
from tunesmith.errors import DataError

QA = [{"prompt": f"q {i}", "completion": f"a {i}"} for i in range(4)]


def jsonl(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def told(loaded: LoadedDataset) -> dict[str, str]:
    return {problem.code: problem.summary for problem in loaded.problems}


def refused(path: Path, **asked: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        read_dataset(path, **asked)
    assert caught.value.hint and caught.value.at
    return caught.value


# --- which shape
# --------------------------------------------------------------------------------------------------


def test_a_question_beside_two_answers_is_proposed_as_the_prompt(tmp_path: Path) -> None:
    row = {"system": "s", "question": "q", "chosen": "a", "rejected": "b"}
    path = write(tmp_path / "d.jsonl", jsonl([row] * 3))
    loaded = read_dataset(path, method="dpo")
    assert (
        '"question": --columns prompt=question; to ignore it' in told(loaded)["data/likely-prompt"]
    )
    assert {p.severity for p in loaded.problems if p.code == "data/likely-prompt"} == {"error"}
    mapped = read_dataset(path, {"prompt": "question"}, method="dpo")
    assert [m.content for m in mapped.examples[0].messages] == [
        "s",
        "q",
        "a",
    ] and not mapped.problems
    left_out = read_dataset(path, {"chosen": "chosen", "rejected": "rejected"}, method="dpo")
    assert told(left_out).keys() == {"data/unused-columns"}


def test_rows_that_fit_several_shapes_are_read_as_the_method_learns(tmp_path: Path) -> None:
    chat = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    other = [chat[0], {"role": "assistant", "content": "b"}]
    row = {"prompt": "q", "prompt_id": "1", "chosen": chat, "rejected": other, "messages": chat}
    path = write(tmp_path / "d.jsonl", jsonl([row] * 3))
    assert read_dataset(path, method="dpo").dataset.format == "preference"
    assert read_dataset(path, method="sft").dataset.format == "messages"
    assert read_dataset(path, method="kto").dataset.format == "preference"
    by_name = read_dataset(path, {"chosen": "chosen", "rejected": "rejected"})
    assert by_name.dataset.format == "preference"
    assert "--method dpo reads the pairs" in told(read_dataset(path))["data/unused-columns"]


@pytest.mark.parametrize(
    ("columns", "mapping"),
    [
        (["question", "answer"], "prompt=question,completion=answer"),
        (
            ["instruction", "context", "response", "category"],
            "input=context,instruction=instruction,output=response",
        ),
        (
            ["question", "chosen_response", "rejected_response"],
            "prompt=question,chosen=chosen_response,rejected=rejected_response",
        ),
        (["sentence", "label"], "prompt=sentence,completion=label"),
        (["Dialogue", "id"], "messages=Dialogue"),
    ],
)
def test_the_mapping_of_usual_names_is_proposed(
    tmp_path: Path, columns: list[str], mapping: str
) -> None:
    error = refused(write(tmp_path / "d.jsonl", jsonl([dict.fromkeys(columns, "x")])))
    assert (error.code, error.hint) == ("data/unknown-shape", f"did you mean --columns {mapping}?")


def test_a_mapping_that_fits_no_shape_is_refused(tmp_path: Path) -> None:
    error = refused(
        write(tmp_path / "d.jsonl", jsonl(QA)),
        columns={"messages": "prompt", "chosen": "completion"},
    )
    assert error.code == "data/unknown-shape" and "mapped to messages, chosen" in error.got


def test_two_answers_written_as_one_text_are_read_as_turns(tmp_path: Path) -> None:
    begin = "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: More\n\nAssistant: "
    row = {"chosen": f"{begin}good", "rejected": f"{begin}bad"}
    loaded = read_dataset(write(tmp_path / "d.jsonl", jsonl([row])))
    said = [(m.role, m.content) for m in loaded.examples[0].messages]
    assert said == [("user", "Hi"), ("assistant", "Hello"), ("user", "More"), ("assistant", "good")]
    assert loaded.examples[0].rejected[-1].content == "bad"
    assert told(loaded).keys() == {"data/read-as-turns"}


def test_a_prompt_that_is_no_turn_of_the_two_conversations_is_not_dropped(tmp_path: Path) -> None:
    ask = {"role": "user", "content": "q"}
    row = {
        "prompt": "Be terse.",
        "chosen": [ask, {"role": "assistant", "content": "a"}],
        "rejected": [ask, {"role": "assistant", "content": "b"}],
    }
    assert refused(write(tmp_path / "d.jsonl", jsonl([row]))).code == "data/prompt-disagrees"


def test_a_system_column_beside_messages_goes_in_front(tmp_path: Path) -> None:
    chat = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    rows = [
        {"system": "be kind", "messages": chat},
        {"system": "be kind", "messages": [{"role": "system", "content": "be rude"}, *chat]},
    ]
    loaded = read_dataset(write(tmp_path / "d.jsonl", jsonl(rows)))
    assert [m.content for m in loaded.examples[0].messages] == ["be kind", "q", "a"]
    assert [(p.code, p.lines) for p in loaded.problems] == [("data/two-systems", (2,))]


def test_messages_as_json_text_in_a_table_are_messages_and_those_of_python_are_refused(
    tmp_path: Path,
) -> None:
    chat = json.dumps(
        [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    ).replace('"', '""')
    other = chat.replace('""a""', '""b""')
    loaded = read_dataset(write(tmp_path / "d.csv", f'chosen,rejected\n"{chat}","{other}"\n'))
    assert (loaded.examples[0].question, loaded.examples[0].answer) == ("q", "a")
    error = refused(
        write(tmp_path / "p.csv", "prompt,completion\n\"[{'role': 'user', 'content': 'q'}]\",a\n")
    )
    assert error.code == "data/wrong-type" and "a list of messages as JSON" in error.got


def test_an_answer_that_is_a_json_list_stays_text(tmp_path: Path) -> None:
    answer = '[{"from": "Ulm", "to": "Rome"}]'
    loaded = read_dataset(
        write(tmp_path / "d.jsonl", jsonl([{"prompt": "q", "completion": answer}]))
    )
    assert loaded.examples[0].answer == answer


@pytest.mark.parametrize(
    ("chosen", "rejected"), [("a  b\n", "a b"), ("a", "a"), ("x\n\ny", " x y ")]
)
def test_pairs_that_differ_only_in_spacing_are_an_error_with_lines(
    tmp_path: Path, chosen: str, rejected: str
) -> None:
    rows = [{"prompt": f"q {i}", "chosen": "a", "rejected": "b"} for i in range(3)]
    rows.insert(1, {"prompt": "q", "chosen": chosen, "rejected": rejected})
    report = check_examples(read_dataset(write(tmp_path / "d.jsonl", jsonl(rows))))
    (problem,) = (p for p in report.problems if p.code == "data/same-answers")
    assert (problem.severity, problem.lines) == ("error", (2,))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "3"),
        (3.0, "3"),
        (0.10, "0.1"),
        (1e-3, "0.001"),
        (-0.0, "0"),
        (1e22, "1e+22"),
        (True, "true"),
        (False, "false"),
    ],
)
def test_numbers_and_truth_values_are_read_as_a_person_writes_them(
    tmp_path: Path, value: Any, text: str
) -> None:
    rows = [{"prompt": "q", "completion": value}]
    loaded = read_dataset(write(tmp_path / "d.jsonl", jsonl(rows)))
    assert loaded.examples[0].answer == text
    assert [(p.code, p.severity, p.lines) for p in loaded.problems] == [
        ("data/text-of-numbers", "note", (1,))
    ]


# --- files
# --------------------------------------------------------------------------------------------------


def test_empty_end_columns_and_rows_of_a_spreadsheet_are_dropped_and_said(tmp_path: Path) -> None:
    loaded = read_dataset(write(tmp_path / "d.csv", "prompt,completion,,\nq,a,,\nr,b,,\n,,,\n"))
    assert [(e.line, e.question) for e in loaded.examples] == [(2, "q"), (3, "r")]
    assert [(p.code, p.severity, p.lines) for p in loaded.problems] == [
        ("data/unnamed-columns", "warning", ()),
        ("data/empty-row", "warning", (4,)),
    ]
    assert "2 of 4 columns" in told(loaded)["data/unnamed-columns"]


def test_a_value_in_a_column_without_a_name_is_an_error_of_its_line(tmp_path: Path) -> None:
    loaded = read_dataset(write(tmp_path / "d.csv", "prompt,,completion\nq,,a\nr,lost,b\n"))
    assert [(p.code, p.lines) for p in loaded.problems if p.severity == "error"] == [
        ("data/unnamed-column", (3,))
    ]
    assert "'lost' in column 2" in told(loaded)["data/unnamed-column"]


def test_columns_of_one_name_are_shown_with_their_places(tmp_path: Path) -> None:
    error = refused(write(tmp_path / "d.csv", "prompt,note,prompt,note\na,b,c,d\n"))
    assert (error.code, error.got) == (
        "data/bad-header",
        '"prompt" is the name of columns 1, 3; also note',
    )


def test_twenty_thousand_columns_are_counted_once(tmp_path: Path) -> None:
    from tunesmith.data.read import csv_file as module

    names = [f"c{i}" for i in range(20_000)]
    text = ",".join(["prompt", "completion", *names]) + "\n" + ",".join(["q", "a", *names]) + "\n"
    calls = 0

    class Counted(list[str]):
        def count(self, value: object) -> int:
            nonlocal calls
            calls += 1
            return super().count(value)  # type: ignore[arg-type]

    module._check_unique_names(tmp_path, Counted(names))
    assert calls == 0
    assert len(read_dataset(write(tmp_path / "d.csv", text)).examples) == 1


@pytest.mark.parametrize(
    ("name", "content", "code", "found"),
    [
        (
            "d.csv",
            "prompt\tcompletion\r\nq\ta\r\n".encode("utf-16"),
            "data/wrong-format",
            "UTF-16 text",
        ),
        (
            "d.csv",
            "prompt\tcompletion\r\nq\ta\r\n".encode("utf-16-le"),
            "data/wrong-format",
            "UTF-16 text",
        ),
        ("d.csv", "prompt,caf\xe9\nq,a\n".encode("latin-1"), "data/broken-utf8", "not UTF-8"),
        ("d.csv", "prompt,completion\rq,a\r", "data/bad-header", "a line that ends in CR alone"),
        ("d.xlsx", b"PK\x03\x04aaaa", "data/wrong-format", "zip archive or Excel sheet"),
        ("d.jsonl.bz2", b"BZh9aaaa", "data/wrong-format", "bzip2"),
        (
            "d.parquet",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            "data/lfs-pointer",
            "hash",
        ),
        (
            "d.jsonl.gz",
            gzip.compress(jsonl(QA).encode(), mtime=0)[:-12],
            "data/damaged-archive",
            "gzip",
        ),
        (
            "d.jsonl.zst",
            zstandard.compress(jsonl(QA).encode())[:-4],
            "data/damaged-archive",
            "truncated",
        ),
        (
            "d.json",
            json.dumps({"train": QA, "test": QA}),
            "data/several-lists",
            '"train" (4 objects)',
        ),
        (
            "d.json",
            json.dumps({"question": {"0": "q"}, "answer": {"0": "a"}}),
            "data/columns-not-rows",
            "question",
        ),
        ("d.json", '{"name": "x", "version": 2}', "data/not-rows", "name, version"),
        (
            "d.json",
            '[{"prompt": "a",\n "completion": "b}]',
            "data/unreadable-line",
            "string starting at position 16 of line 2",
        ),
        (
            "d.jsonl",
            '{"prompt": "a}\n{"prompt": "b}\n',
            "data/unreadable-line",
            "starting at position 12)",
        ),
    ],
)
def test_what_cannot_be_read_is_called_by_its_name(
    tmp_path: Path, name: str, content: str | bytes, code: str, found: str
) -> None:
    error = refused(write(tmp_path / name, content))
    assert (error.code, found in error.got) == (code, True), error


def test_a_file_that_unpacks_without_end_is_refused_in_bounded_memory(tmp_path: Path) -> None:
    """Harmless: 80 MiB of zeros, of which no more than the limit is unpacked."""
    path = write(tmp_path / "d.jsonl.zst", zstandard.compress(b"0" * 80 * 2**20))
    assert path.stat().st_size < 10_000
    error = refused(path)
    assert error.code == "data/damaged-archive" and "far more bytes than a text" in error.got


def test_a_damaged_table_ends_its_own_process_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tunesmith.data.read import columnar_file

    monkeypatch.setattr(columnar_file, "_TRIAL_PROGRAM", "import os; os.abort()")
    error = refused(write(tmp_path / "d.parquet", b"PAR1 and more"))
    assert error.code == "data/damaged-table" and "more memory than available" in error.got


# --- folders
# --------------------------------------------------------------------------------------------------


def test_every_file_that_is_not_read_is_named(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", jsonl(QA))
    for name in (
        "notes.txt",
        "old.jsonl.bak",
        "label_names.json",
        "README.md",
        "LICENSE",
        ".DS_Store",
        "state.json",
    ):
        write(tmp_path / name, '{"0": "neg"}')
    (tmp_path / "gone.jsonl").symlink_to(tmp_path / "nowhere")
    loaded = read_dataset(tmp_path)
    assert len(loaded.examples) == 4
    names = {code: message.partition(" (")[2].rstrip(")") for code, message in told(loaded).items()}
    assert names == {
        "data/files-passed-over": "gone.jsonl, label_names.json, notes.txt, old.jsonl.bak",
        "data/other-files": ".DS_Store, LICENSE, README.md, state.json",
    }


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (
            ["main/train.jsonl", "main/test.jsonl", "socratic/train.jsonl"],
            "main (2 files), socratic (1 file)",
        ),
        (
            ["data/train_sft-00000-of-00001.jsonl", "data/train_prefs-00000-of-00001.jsonl"],
            "data/prefs (1 file), data/sft (1 file)",
        ),
        (["a.jsonl", "more/b.jsonl"], "files without a subset (1 file), more (1 file)"),
    ],
)
def test_several_subsets_are_refused_with_their_names(
    tmp_path: Path, names: list[str], found: str
) -> None:
    for name in names:
        write(tmp_path / name, jsonl(QA))
    error = refused(tmp_path)
    assert (error.code, error.got) == ("data/several-subsets", found)


def test_the_subsets_of_a_readme_are_refused_with_their_names(tmp_path: Path) -> None:
    head = (
        "---\nconfigs:\n- config_name: one\n  data_files: a.jsonl\n- config_name: two\n "
        " data_files: [b.*]\n---\n"
    )
    write(tmp_path / "README.md", head)
    write(tmp_path / "a.jsonl", jsonl(QA))
    write(tmp_path / "b.jsonl", jsonl(QA))
    error = refused(tmp_path)
    assert (error.code, error.got) == ("data/several-subsets", "one (1 file), two (1 file)")
    (tmp_path / "b.jsonl").unlink()
    assert len(read_dataset(tmp_path).examples) == 4


def test_files_with_different_names_are_read_together_with_a_warning(tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        write(tmp_path / name, jsonl([{"prompt": name, "completion": "x"}]))
    loaded = read_dataset(tmp_path)
    assert len(loaded.examples) == 2
    assert told(loaded)["data/several-files"].endswith("(a.jsonl, b.jsonl)")


def test_an_empty_file_of_a_folder_is_not_passed_over(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", jsonl(QA))
    write(tmp_path / "test.jsonl", "")
    assert refused(tmp_path).code == "data/empty-file"


def test_a_name_that_says_two_splits_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "train_test.jsonl", jsonl(QA))
    assert refused(tmp_path).code == "data/unclear-split"
