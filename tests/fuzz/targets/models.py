"""What a stranger's model folder holds: settings, tokenizer, weights' header, adapter settings,
chat template."""

import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.fuzz.target import Target
from tunesmith.models.folder_inspection import inspect_adapter_folder, inspect_model_folder
from tunesmith.models.safetensors_header import read_header
from tunesmith.models.tokenizer import load_tokenizer
from tunesmith.records import Message
from tunesmith.testing.tiny_model import CHATML, write_tiny_tokenizer, write_tiny_weights

CONFIG = {
    "model_type": "llama",
    "vocab_size": 400,
    "hidden_size": 4,
    "num_hidden_layers": 1,
    "eos_token_id": [1],
    "rope_scaling": {"rope_type": "linear", "factor": 2.0},
    "torch_dtype": "bfloat16",
    "_name_or_path": "x/y",
    "text_config": {"num_local_experts": 1, "layer_types": ["full_attention"]},
    "attn_implementation": "sdpa",
}
ADAPTER = {
    "peft_type": "LORA",
    "base_model_name_or_path": "x/y",
    "r": 4,
    "lora_alpha": 8,
    "alpha_pattern": {"a": 1},
}
ASKED = [Message("user", "one two"), Message("assistant", "three")]


@cache
def _files() -> dict[str, bytes]:
    """The files of a sound model folder."""
    with TemporaryDirectory() as temporary:
        folder = write_tiny_tokenizer(Path(temporary), eos_token="<|im_end|>")
        write_tiny_weights(folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps(CONFIG))
        return {path.name: path.read_bytes() for path in folder.iterdir()}


def _folder(name: str, data: bytes, folder: Path) -> Path:
    for known, content in {**_files(), name: data}.items():
        (folder / known).write_bytes(content)
    return folder


def inspect_config(data: bytes, folder: Path) -> object:
    """config.json beside sound weights."""
    return inspect_model_folder(_folder("config.json", data, folder))


def inspect_adapter(data: bytes, folder: Path) -> object:
    """adapter_config.json beside sound weights."""
    write_tiny_weights(folder / "adapter_model.safetensors", 2, 4)
    (folder / "adapter_config.json").write_bytes(data)
    return inspect_adapter_folder(folder)


def open_tokenizer(data: bytes, folder: Path) -> object:
    """tokenizer.json, and a text with it."""
    tokenizer = load_tokenizer(_folder("tokenizer.json", data, folder))
    return tokenizer.encode(["one two three <|im_start|> 4"])


def open_tokenizer_settings(data: bytes, folder: Path) -> object:
    """tokenizer_config.json."""
    return load_tokenizer(_folder("tokenizer_config.json", data, folder)).stop_ids


def render(data: bytes, folder: Path) -> object:
    """chat_template.jinja, and a conversation through it."""
    return load_tokenizer(_folder("chat_template.jinja", data, folder)).render(ASKED)


def header(data: bytes, folder: Path) -> object:
    """The header of a safetensors file."""
    path = folder / "model.safetensors"
    path.write_bytes(data)
    return read_header(path)


TARGETS = (
    Target("model-config", inspect_config, lambda: [json.dumps(CONFIG).encode()]),
    Target("adapter-config", inspect_adapter, lambda: [json.dumps(ADAPTER).encode()]),
    Target("tokenizer", open_tokenizer, lambda: [_files()["tokenizer.json"]]),
    Target(
        "tokenizer-settings", open_tokenizer_settings, lambda: [_files()["tokenizer_config.json"]]
    ),
    Target("chat-template", render, lambda: [CHATML.encode()]),
    Target("safetensors-header", header, lambda: [_files()["model.safetensors"]]),
)
