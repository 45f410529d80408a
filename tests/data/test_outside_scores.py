"""Logs of other tools: how they scored is done again, from archives that Python cannot read by
itself too."""

import json
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tunesmith.contenders.external_answers import read_external_answers
from tunesmith.data.interop import ImportedAnswers, read_tool_file
from tunesmith.data.interop import zip_json as archive_module
from tunesmith.errors import DataError
from tunesmith.evaluation.harness import Task
from tunesmith.evaluation.scorers.scorer_registry import choose_scorer

ROWS = [
    ("1000", "1e3", "C"),
    ("0.5", ".5", "C"),
    ("5", "25", "I"),
    ("12", "It is 12.", "C"),
    ("60", "60%", "I"),
]


def log_of(
    rows: list[tuple[Any, Any, Any]], scorer: dict[str, Any] | None, name: str = "match"
) -> dict[str, Any]:
    samples = [
        {
            "id": i,
            "epoch": 1,
            "input": f"question {i}",
            "target": target,
            "output": {"choices": [{"message": {"role": "assistant", "content": answer}}]},
            "scores": {name: {"value": score}},
        }
        for i, (target, answer, score) in enumerate(rows, 1)
    ]
    head = {"task": "t", "model": "m", **({"scorers": [scorer]} if scorer else {})}
    return {"eval": head, "status": "success", "samples": samples}


def written(path: Path, log: dict[str, Any]) -> Path:
    path.write_text(json.dumps(log))
    return path


def answers(path: Path) -> ImportedAnswers:
    found = read_tool_file(path)
    assert isinstance(found, ImportedAnswers)
    return found


@pytest.mark.parametrize(
    ("name", "options", "scorer"),
    [
        ("match", {"numeric": True}, "match:end+numeric"),
        ("inspect_ai/match", {"location": "begin", "ignore_case": False}, "match:begin+case"),
        ("includes", {}, "match:any+punctuation"),
        ("exact", {}, "squad:exact"),
        ("f1", {}, "squad"),
        ("f1", {"stop_words": ["x"]}, "auto"),
        ("choice", {}, "label"),
        ("pattern", {"pattern": "is (\\d)"}, "regex:(?i)\\A[\\s\\S]*?(?-m:is (\\d))"),
        ("pattern", {"pattern": "(\\d) (\\d)", "match_all": True}, "auto"),
        ("model_graded_qa", {}, "auto"),
    ],
)
def test_what_a_scorer_was_told_is_read(
    tmp_path: Path, name: str, options: dict[str, Any], scorer: str
) -> None:
    bare = name.rpartition("/")[2]
    found = answers(
        written(tmp_path / "log.json", log_of(ROWS, {"name": name, "options": options}, bare))
    )
    assert found.task.scorer == scorer
    assert found.matching_score == ("" if scorer == "auto" else bare)
    assert (scorer == "auto") == any(bare in one for one in found.task.unsupported)


def test_a_log_that_does_not_say_how_it_matched_says_so(tmp_path: Path) -> None:
    found = answers(written(tmp_path / "log.json", log_of(ROWS, None)))
    assert found.task.scorer == "match:end"
    assert found.task.unsupported == (
        "the log does not record the options of match: its defaults are used",
    )


def given_of(path: Path) -> str:
    found = answers(path)
    scorer, _ = choose_scorer(["x"], found.task.scorer)
    task = Task("t", found.task.examples, scorer, "", 0.0)
    return read_external_answers(path, found.task.examples).score_with(task).spec.description


def test_scores_that_differ_from_the_logs_are_counted(tmp_path: Path) -> None:
    numeric = {"name": "match", "options": {"numeric": True}}
    assert "scores differ" not in given_of(written(tmp_path / "log.json", log_of(ROWS, numeric)))
    rescored = [(target, answer, "I") for target, answer, _ in ROWS]
    assert given_of(written(tmp_path / "log.json", log_of(rescored, numeric))).endswith(
        "3 of 5 scores differ from those of match in the file, whose mean is 0.000"
    )


def test_several_targets_are_each_right(tmp_path: Path) -> None:
    log = log_of(
        [(["60", "60%"], "60%", "C"), ("5", "5", "C")],
        {"name": "match", "options": {"numeric": True}},
    )
    found = answers(written(tmp_path / "log.json", log))
    assert [one.answer for one in found.task.examples] == ['["60", "60%"]', "5"]
    assert not found.task.has_answers
    assert "scores differ" not in given_of(tmp_path / "log.json")


def test_reasoning_beside_an_answer_is_not_part_of_it(tmp_path: Path) -> None:
    parts = [{"type": "reasoning", "reasoning": "7, no"}, {"type": "text", "text": "5"}]
    found = answers(written(tmp_path / "log.json", log_of([("5", parts, "C")], None)))
    assert list(found.answers.values()) == ["5"]


def test_a_score_that_no_float_holds_is_named(tmp_path: Path) -> None:
    found = answers(
        written(tmp_path / "log.json", log_of([("5", "5", 10**400), ("6", "6", True)], None))
    )
    assert [list(one.values()) for one in found.scores.values()] == [[], [1.0]]
    assert any("a score of match that is not a number" in one for one in found.task.unsupported)
    row = {
        "doc": {},
        "target": "5",
        "arguments": [["q"]],
        "filtered_resps": ["5"],
        "metrics": ["acc"],
        "acc": 10**400,
    }
    (tmp_path / "samples_a.jsonl").write_text(json.dumps(row))
    assert list(answers(tmp_path / "samples_a.jsonl").scores.values()) == [{}]


# --- archives compressed with zstandard
# -------------------------------------------------------------------------------


def write_zstandard(path: Path, entries: dict[str, bytes], crc: int | None = None) -> Path:
    """A zip archive as inspect_ai writes it: each entry compressed by method 93."""
    local, central = b"", b""
    for name, raw in entries.items():
        packed, written_name = zstandard.ZstdCompressor().compress(raw), name.encode()
        sizes = (zlib.crc32(raw) if crc is None else crc, len(packed), len(raw), len(written_name))
        head = struct.pack("<HHHHHLLLHH", 63, 0, 93, 0, 33, *sizes, 0)
        central += (
            b"PK\x01\x02"
            + struct.pack("<H", 63)
            + head
            + struct.pack("<HHHLL", 0, 0, 0, 0, len(local))
        )
        central += written_name
        local += b"PK\x03\x04" + head + written_name + packed
    count = len(entries)
    end = struct.pack("<HHHHLLH", 0, 0, count, count, len(central), len(local), 0)
    path.write_bytes(local + central + b"PK\x05\x06" + end)
    return path


def entries_of(log: dict[str, Any]) -> dict[str, bytes]:
    samples = {
        f"samples/{one['id']}_epoch_1.json": json.dumps(one).encode() for one in log["samples"]
    }
    return {
        "header.json": json.dumps({"eval": log["eval"], "status": "success"}).encode(),
        **samples,
    }


def test_an_archive_compressed_with_zstandard_is_read(tmp_path: Path) -> None:
    log = log_of(ROWS, {"name": "match", "options": {"numeric": True}})
    path = write_zstandard(tmp_path / "log.eval", entries_of(log))
    with zipfile.ZipFile(path) as file:
        assert {one.compress_type for one in file.infolist()} == {93}
    assert list(answers(path).answers.values()) == [answer for _, answer, _ in ROWS]


def test_entries_that_are_damaged_or_too_large_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = log_of(ROWS, None)
    with pytest.raises(DataError, match="bad CRC-32"):
        read_tool_file(write_zstandard(tmp_path / "log.eval", entries_of(log), crc=1))
    path = write_zstandard(
        tmp_path / "log.eval", {**entries_of(log), "samples/9_epoch_1.json": b" " * 300_000}
    )
    monkeypatch.setattr(archive_module, "MAX_ENTRY_BYTES", 200_000)
    with pytest.raises(DataError, match="larger than a log may be"):
        read_tool_file(path)
    raw = path.read_bytes()
    path.write_bytes(
        raw.replace(b"\x28\xb5\x2f\xfd", b"\x28\xb5\x2f\x00")
    )  # no frame of zstandard any more
    with pytest.raises(DataError, match=r"cannot unpack header\.json"):
        read_tool_file(path)
