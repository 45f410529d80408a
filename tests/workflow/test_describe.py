"""What `check` says of data that are right: labels, lengths, scorer, form, sides, and what the test
can show."""

import json
from pathlib import Path

import pytest

from tunesmith.cli.main import run
from tunesmith.workflow.check import check_and_describe


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No model is on this machine: lengths are counted in characters."""
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path / "home"))


def written(path: Path, rows: list[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def labelled(number: int) -> list[dict[str, str]]:
    kinds = ("invoice", "refund", "refund", "other")
    return [
        {"prompt": f"message number {i} about it", "completion": kinds[i % 4]}
        for i in range(number)
    ]


def test_labels_are_counted_and_the_sides_add_up(home: None, tmp_path: Path) -> None:
    _, found = check_and_describe(written(tmp_path / "l.jsonl", labelled(200)))
    assert found is not None
    assert found.labels == {"refund": 100, "invoice": 50, "other": 50}
    assert found.scorer == "label" and "3 labels" in found.output_format
    assert found.train + found.validation + found.test == 200 and found.test == pytest.approx(
        40, abs=4
    )
    assert found.power_statement.startswith(f"With {found.test} test examples, only gains of")
    assert (found.length_unit, found.answer_lengths.max, found.n_measured) == ("characters", 7, 200)


def test_json_answers_have_no_labels_and_their_own_scorer(home: None, tmp_path: Path) -> None:
    rows = [
        {"prompt": f"q {i}", "completion": json.dumps({"city": f"c{i}", "n": i})} for i in range(60)
    ]
    _, found = check_and_describe(written(tmp_path / "j.jsonl", rows))
    assert found is not None and (found.labels, found.scorer) == ({}, "json")


def test_a_given_test_file_is_the_test_side(home: None, tmp_path: Path) -> None:
    other = [{"prompt": f"question {i} of another kind", "completion": "refund"} for i in range(9)]
    path, test = written(tmp_path / "l.jsonl", labelled(100)), written(tmp_path / "t.jsonl", other)
    _, found = check_and_describe(path, test=test)
    assert found is not None and found.test == 9


def test_the_mapping_is_told_as_it_is_copied(
    home: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"ticket": row["prompt"], "kind of it": row["completion"]} for row in labelled(40)]
    path = written(tmp_path / "m.jsonl", rows)
    assert run(["check", str(path), "--columns", "prompt=ticket,completion=kind of it"]) == 0
    printed = capsys.readouterr().out
    assert "  columns  --columns 'prompt=ticket,completion=kind of it'" in printed
    assert "  labels   3: refund 20, invoice 10, other 10" in printed


def test_data_with_an_error_are_not_described(
    home: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(
        tmp_path / "e.jsonl", [*labelled(40), {"prompt": "one without an answer", "completion": ""}]
    )
    assert run(["check", str(path), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["data"] is None


def test_texts_without_questions_are_described_without_a_scorer(
    home: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path / "t.jsonl", [{"text": f"line {i} of it"} for i in range(30)])
    report, found = check_and_describe(path)
    assert report.dataset.format == "text" and found is not None
    assert (found.scorer, found.output_format, found.power_statement) == ("", "", "")
    assert (found.labels, found.columns, found.answer_lengths.max) == ({}, "text=text", 13)
    assert run(["check", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "  scorer   none: plain texts have no question and answer to compare" in printed
    assert "power" not in printed and printed.endswith("next: tunesmith train --help\n")


def test_answers_that_call_tools_are_described_with_their_scorer(
    home: None, tmp_path: Path
) -> None:
    call = {"type": "function", "function": {"name": "f", "arguments": "{}"}}
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"question {i}"},
                {"role": "assistant", "content": "", "tool_calls": [call]},
            ],
            "tools": tools,
        }
        for i in range(30)
    ]
    report, found = check_and_describe(written(tmp_path / "tools.jsonl", rows))
    assert report.errors == () and found is not None
    assert found.scorer == "tool_calls" and "tool calls, so calls are compared" in (
        found.scorer_reason
    )
    assert found.labels == {} and found.power_statement
    assert found.answer_lengths.max > 10 and found.train > found.test > 0


def test_the_recipe_that_is_named_decides_what_is_described(
    home: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(written(tmp_path / "l.jsonl", labelled(200)))
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("data:\n  test_fraction: 0.5\n", encoding="utf-8")
    assert run(["check", path, "--recipe", str(recipe), "--scorer", "exact"]) == 0
    printed = capsys.readouterr().out
    assert "  scorer   exact: " in printed and "about 80 train, 20 validation, 100 test" in printed
    assert printed.splitlines()[-1] == (
        f"next: tunesmith decide {path} --recipe {recipe} --set evaluation.scorer=exact"
    )


def test_columns_that_need_no_mapping_are_shown_ready_to_copy_too(
    home: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["check", str(written(tmp_path / "l.jsonl", labelled(40)))]) == 0
    printed = capsys.readouterr().out
    assert "  columns  --columns prompt=prompt,completion=completion\n" in printed
    setting = 'data.columns={"prompt": "prompt", "completion": "completion"}'
    assert f"           in a recipe: --set '{setting}'\n" in printed
