"""A model folder that passes every check: a tiny safetensors file written by hand, settings,
tokenizer, template."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tunesmith.testing.tiny_model import write_tiny_tokenizer, write_tiny_weights


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[..., Path]:
    def make(name: str = "model", **config: Any) -> Path:
        folder = write_tiny_tokenizer(tmp_path / name, eos_token="<|im_end|>")
        write_tiny_weights(folder / "model.safetensors")
        settings = {
            "model_type": "llama",
            "vocab_size": 400,
            "hidden_size": 4,
            "num_hidden_layers": 1,
            **config,
        }
        (folder / "config.json").write_text(json.dumps(settings))
        return folder

    return make


@pytest.fixture
def make_adapter(tmp_path: Path) -> Callable[..., Path]:
    def make(base: str | None, name: str = "adapter") -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        write_tiny_weights(folder / "adapter_model.safetensors", 2, 4)
        settings = {"peft_type": "LORA"} | ({"base_model_name_or_path": base} if base else {})
        (folder / "adapter_config.json").write_text(json.dumps(settings))
        return folder

    return make
