"""The embedder opens its model at the first text, not before, and once."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tunesmith.providers import embedder
from tunesmith.records import Embedder


def test_the_model_is_opened_at_the_first_text(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[tuple[Path, int]] = []

    class Encoder:
        def __init__(self, folder: Path, most_tokens: int) -> None:
            opened.append((folder, most_tokens))

        def encode(self, texts: Sequence[str]) -> Any:
            return [len(text) for text in texts]

    monkeypatch.setattr("tunesmith.engine.sentence_encoder.SentenceEncoder", Encoder)
    monkeypatch.setattr(embedder, "resolve_embedding_model", lambda name: Path("kept", name))
    local: Embedder = embedder.LocalEmbedder()
    assert local.name == "all-minilm-l6-v2" and opened == []
    assert [local.embed(["a", "bc"]), local.embed(["def"])] == [[1, 2], [3]]
    assert opened == [(Path("kept/all-minilm-l6-v2"), 256)]


def test_importing_it_loads_no_torch() -> None:
    code = (
        "import sys, tunesmith.providers.embedder; print({'torch', 'transformers'} &"
        " set(sys.modules))"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
        == "set()\n"
    )
