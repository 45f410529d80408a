"""A decision on answers that are tool calls, from the data to the report."""

import json
import shutil
from pathlib import Path

from door import Door

from tests.chats.templates import FAMILIES
from tunesmith.records import Evaluation, TestSet
from tunesmith.runs.run_folder import RunFolder

TOWNS = ("Iasi", "Cluj", "Oslo", "Ulm", "Bergen", "Brest")


def write_data(path: Path) -> Path:
    function = {"name": "get_weather", "description": "The weather", "parameters": {}}
    rows = []
    for i in range(72):
        arguments = {"town": TOWNS[i % 6], "days": i}
        call = {"id": f"c{i:08}", "type": "function", "function": {"name": "get_weather"}}
        call["function"]["arguments"] = json.dumps(arguments)  # type: ignore[index]
        rows.append(
            {
                "tools": [{"type": "function", "function": function}],
                "messages": [
                    {"role": "user", "content": f"Weather in {TOWNS[i % 6]} for {i} days?"},
                    {"role": "assistant", "content": None, "tool_calls": [call]},
                ],
            }
        )
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return path


def test_tool_calls_are_decided_on(tunesmith: Door, tiny_model: Path, tmp_path: Path) -> None:
    model = FAMILIES["qwen"].write(tmp_path / "tools")
    for name in ("config.json", "model.safetensors", "generation_config.json"):
        shutil.copy(tiny_model / name, model / name)
    data = write_data(tmp_path / "calls.jsonl")
    checked = tunesmith("check", data, "--model", model)
    assert checked.code == 0 and "next: tunesmith decide" in checked.out, checked.out
    assert "scorer tool_calls" in " ".join(checked.out.split())
    printed = tunesmith(
        "decide", data, "--model", model, "--max-test-examples", "8",
        "--max-validation-examples", "4",
        "--max-shots", "1", "--prompt-trials", "0", "--max-forgetting", "null", "--minutes", "0.05",
        "--dtype", "float32", "--top-k", "1", "--search", "bm25", "--out", tmp_path / "runs",
    )  # fmt: skip
    assert printed.code == 0, printed.err
    (path,) = (tmp_path / "runs").iterdir()
    folder = RunFolder.open(path)
    evaluation = folder.read(Evaluation)
    assert (evaluation.scorer, evaluation.metric) == ("tool_calls", "call_accuracy")
    assert {"zero-shot", "few-shot", "rag", "tuned", "tuned+rag"} == {
        one.name for one in evaluation.contenders
    }
    for example in folder.read(TestSet).examples:
        assert json.loads(example.answer)["name"] == "get_weather"
    assert "hold no tool call that can be read" in printed.err
    again = tunesmith("decide", path)
    assert again.code == 0 and "same verdict as before" in again.out
