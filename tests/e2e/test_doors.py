"""Every other door, one after the other on the tiny model, as a person would use them."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from door import Door, Printed

from tunesmith.records import Evaluation, Run, format_verdict
from tunesmith.runs.run_folder import RunFolder


@pytest.fixture(scope="module")
def recipe(tiny_model: Path, labels_csv: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    path.write_text(f"""
        model: {tiny_model}
        data: {{path: {labels_csv}, system_prompt: Name the colour.}}
        adapter: {{rank: 4}}
        training: {{epochs: 1, learning_rate: 0.01, dtype: float32, batch_size: 8, num_evals: 2}}
        evaluation: {{max_validation_examples: 4, max_new_tokens: 8}}
    """)
    return path


@pytest.fixture
def trained(tunesmith: Door, recipe: Path, tmp_path: Path) -> RunFolder:
    printed = tunesmith("train", recipe, "--out", tmp_path)
    assert printed.code == 0, printed.err
    (folder,) = tmp_path.iterdir()
    return RunFolder.open(folder)


def next_command(printed: Printed) -> str:
    return printed.out.splitlines()[-1]


def test_decide_prints_the_reports_last(
    tunesmith: Door, fields_jsonl: Path, settings: list[str], tmp_path: Path
) -> None:
    printed = tunesmith("decide", fields_jsonl, "--out", tmp_path, *settings)
    assert printed.code == 0, printed.err
    (folder,) = tmp_path.iterdir()
    assert printed.out.splitlines()[-3:] == [
        str(folder / f"report.{kind}") for kind in ("html", "md", "json")
    ]
    assert all(Path(path).is_file() for path in printed.out.splitlines()[-3:])
    document = json.loads((folder / "report.json").read_text())
    assert f"verdict: {format_verdict(document['verdict'])}" in printed.out
    assert all(reason in printed.out for reason in document["reasons"])


def test_rag_reads_the_documents(
    tunesmith: Door, labels_csv: Path, settings: list[str], tmp_path: Path
) -> None:
    documents = tmp_path / "documents"
    documents.mkdir()
    for colour in ("red", "green", "blue"):
        (documents / f"{colour}.md").write_text(
            f"# {colour}\n\nA thing painted {colour} is {colour}.\n" * 3
        )
    printed = tunesmith(
        "decide",
        labels_csv,
        "--json",
        "--out",
        tmp_path / "runs",
        *settings,
        "--set",
        f"retrieval.documents={documents}",
    )
    assert printed.code == 0, printed.err
    contenders = {one["name"]: one for one in printed.document["contenders"]}
    assert (
        "passages of" in contenders["rag-documents"]["description"]
        and str(documents) in contenders["rag-documents"]["description"]
    )
    assert (
        contenders["rag-documents"]["tokens_in_per_request"]
        > contenders["zero-shot"]["tokens_in_per_request"]
    )


def test_train_leaves_an_adapter_and_says_where(
    tunesmith: Door, recipe: Path, tmp_path: Path
) -> None:
    printed = tunesmith("train", recipe, "--out", tmp_path, "--json")
    assert printed.code == 0, printed.err
    (folder,) = tmp_path.iterdir()
    assert printed.document["status"] == "finished" and printed.document["id"] == folder.name
    assert (folder / "adapter" / "adapter_model.safetensors").is_file()
    assert "⟦" in printed.err, "the mask is shown before step 1"


def test_a_run_on_a_model_named_by_a_relative_path_works_from_anywhere(
    tunesmith: Door, recipe: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny_model.parent)
    assert (
        tunesmith("train", recipe, "--out", tmp_path, "--set", f"model=./{tiny_model.name}").code
        == 0
    )
    monkeypatch.chdir(tmp_path)
    (folder,) = tmp_path.iterdir()
    printed = tunesmith("chat", folder, "--message", "a red boat", "--max-new-tokens", 4)
    assert printed.code == 0, printed.err


@pytest.mark.parametrize("command", ["train", "decide"])
def test_out_that_cannot_be_written(
    tunesmith: Door, recipe: Path, labels_csv: Path, settings: list[str], command: str
) -> None:
    what = [recipe] if command == "train" else [labels_csv, *settings]
    printed = tunesmith(command, *what, "--out", labels_csv / "runs")
    assert printed.code == 2 and "error[run/cannot-create]" in printed.err


def test_evaluate_compares_the_base_model_with_a_run(
    tunesmith: Door, trained: RunFolder, tiny_model: Path, labels_csv: Path, tmp_path: Path
) -> None:
    out = tmp_path / "scores"
    printed = tunesmith(
        "evaluate",
        tiny_model,
        trained.id,
        "--data",
        labels_csv,
        "--out",
        out,
        "--set",
        "evaluation.max_test_examples=10",
    )
    assert printed.code == 0, printed.err
    (folder,) = out.iterdir()
    evaluation = Evaluation.read(folder / "evaluation.json")
    assert [one.kind for one in evaluation.contenders] == ["zero-shot", "tuned"]
    assert [one.name for one in evaluation.contenders] == ["tiny", trained.id]
    assert {path.stem for path in (folder / "answers").iterdir()} == {"tiny", trained.id}
    assert len(evaluation.comparisons) == 1 and len(evaluation.examples) == 10
    assert next_command(printed).startswith("next: tunesmith ")


def test_chat_answers_a_message(tunesmith: Door, trained: RunFolder, tiny_model: Path) -> None:
    base = tunesmith("chat", tiny_model, "--message", "a red boat", "--max-new-tokens", 8)
    tuned = tunesmith(
        "chat", trained.path, "--message", "a red boat", "--max-new-tokens", 8, "--json"
    )
    assert base.code == tuned.code == 0, base.err + tuned.err
    assert tuned.document["error"] is None and 0 < tuned.document["tokens_out"] <= 8
    assert base.out.strip() != tuned.document["text"]


def test_chat_answers_each_line_of_a_pipe(
    tunesmith: Door, trained: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions = ["a red boat", "a blue moon", "a green fish"]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(questions)))
    printed = tunesmith("chat", trained.id, "--max-new-tokens", 4, "--json")
    assert printed.code == 0, printed.err
    decoder, text, answers = json.JSONDecoder(), printed.out.strip(), []
    while text:
        document, end = decoder.raw_decode(text)
        answers.append(document)
        text = text[end:].strip()
    assert [answer["prompt"] for answer in answers] == questions


def test_runs_lists_the_newest_first(tunesmith: Door, trained: RunFolder) -> None:
    rows = tunesmith("runs", "--all", "--json").document["runs"]
    created = [row["created"] for row in rows]
    assert created == sorted(created, reverse=True)
    assert next(row for row in rows if row["id"] == trained.id) == {
        "id": trained.id,
        "command": "train",
        "created": trained.read(Run).created,
        "status": "finished",
        "model": trained.read(Run).model.name,
        "verdict": None,
        "folder": str(trained.path),
    }
    shown = tunesmith("runs", "--all")
    assert trained.id in shown.out
    assert next_command(shown) == f"next: tunesmith show {rows[0]['id']}"


@pytest.mark.parametrize(
    "name",
    [lambda run: run.id, lambda run: run.id[:-3], lambda run: str(run.path)],
    ids=["id", "beginning", "folder"],
)
def test_show_finds_a_run(
    tunesmith: Door, trained: RunFolder, name: Callable[[RunFolder], str]
) -> None:
    printed = tunesmith("show", name(trained), "--json")
    assert printed.code == 0, printed.err
    assert printed.document["run"]["id"] == trained.id
    assert printed.document["recipe"]["data"]["system_prompt"] == "Name the colour."
    assert [artifact["kind"] for artifact in printed.document["artifacts"]] == ["adapter"]
    assert next_command(tunesmith("show", name(trained))) == f"next: tunesmith chat {trained.path}"


def test_models_lists_what_a_name_can_mean(tunesmith: Door, trained: RunFolder) -> None:
    rows = {row["name"]: row for row in tunesmith("models", "--json").document["models"]}
    assert rows["smollm2-135m-instruct"]["ready"] == "not downloaded"
    assert rows[trained.id] | {"where": ""} == {
        "name": trained.id,
        "kind": "adapter",
        "ready": "yes",
        "where": "",
    }
    assert trained.id in tunesmith("models").out


def test_the_same_seed_gives_the_same_adapter(
    tunesmith: Door, recipe: Path, tmp_path: Path
) -> None:
    adapters = []
    for name, seed in (("first", 7), ("again", 7), ("other", 8)):
        printed = tunesmith("train", recipe, "--out", tmp_path / name, "--set", f"seed={seed}")
        assert printed.code == 0, printed.err
        (folder,) = (tmp_path / name).iterdir()
        adapters.append((folder / "adapter" / "adapter_model.safetensors").read_bytes())
    assert adapters[0] == adapters[1] != adapters[2]
