"""Every kind of adapter through the program: train, chat, evaluate, export, and the exported folder
again."""

import json
from pathlib import Path

import pytest
from door import Door

from tunesmith.records import Run
from tunesmith.runs.run_folder import RunFolder
from tunesmith.testing.adapter_recipes import ADAPTER_OPTIONS


@pytest.mark.parametrize("kind", ["rslora", "dora", "qlora", "qdora", "full"])
def test_a_kind_from_recipe_to_exported_model(
    kind: str, tunesmith: Door, fields_jsonl: Path, settings: list[str], tmp_path: Path
) -> None:
    ours = [word for word in settings if kind != "full" or word != "adapter.rank=4"]
    ours = [
        word
        for word, after in zip(ours, [*ours[1:], ""], strict=True)
        if (word, after) != ("--set", "--set")
    ]
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"data: {{path: {fields_jsonl}}}\nadapter: {json.dumps(dict(ADAPTER_OPTIONS[kind]))}\n"
    )
    printed = tunesmith("train", recipe, "--out", tmp_path / "runs", *ours)
    assert printed.code == 0, printed.err
    (folder,) = (tmp_path / "runs").iterdir()
    place = folder / ("model" if kind == "full" else "adapter")
    run = RunFolder.open(folder).read(Run)
    assert run.result.best_step > 0 and {path.name for path in place.iterdir()} == set(
        run.adapter_files
    )

    said = tunesmith("chat", folder, "--message", "1 a red boat")
    assert said.code == 0, said.err
    asked = tunesmith("evaluate", folder, "--data", fields_jsonl, "--json")
    assert asked.code == 0, asked.err
    assert asked.document["contenders"][0]["kind"] == "tuned"

    exported = tunesmith("export", folder, "--to", tmp_path / "merged")
    assert exported.code == 0, exported.err
    assert "maximum log-probability difference" in exported.out
    assert ("4-bit" in exported.out) == (kind in ("qlora", "qdora"))
    assert (
        exported.out.splitlines()[-1]
        == f"next: echo 'your question' | python {tmp_path / 'merged'}/answer.py"
    )
    assert "no stored answers of tuned were compared" in exported.out
    assert "export" in tunesmith("show", folder).out
    assert tunesmith("chat", tmp_path / "merged", "--message", "1 a red boat").code == 0

    changed = place / ("model.safetensors" if kind == "full" else "adapter_model.safetensors")
    content = bytearray(changed.read_bytes())
    content[-1] ^= 1
    changed.write_bytes(content)
    refused = tunesmith("export", folder, "--to", tmp_path / "other")
    assert (
        refused.code == 2
        and "error[model/changed]" in refused.err
        and not (tmp_path / "other").exists()
    )


def test_a_base_model_is_not_exported(tunesmith: Door, tiny_model: Path, tmp_path: Path) -> None:
    printed = tunesmith("export", tiny_model, "--to", tmp_path / "merged")
    assert printed.code == 2 and "error[model/nothing-tuned]" in printed.err
