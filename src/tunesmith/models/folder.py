"""Look at a model folder before anything opens it: which files count, whether they are sound, what is refused.

Weights are read from safetensors only. Pickled weights are programs: a folder with nothing else is refused and never
opened. Python files in a model folder are never run: a model that needs its own code (`auto_map`) is refused.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tunesmith.errors import ModelError, name_some
from tunesmith.files import sha256_of
from tunesmith.models.safetensors_header import read_header

PICKLED = (".bin", ".pt", ".pth", ".pkl", ".ckpt", ".joblib")
ADAPTER_WEIGHTS = "adapter_model.safetensors"
ADAPTER_SETTINGS = "adapter_config.json"
# What changes the answers of a model, besides its weights.
SETTINGS_FILES = (
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
    "chat_template.jinja", "model.safetensors.index.json",
)  # fmt: skip


def inspect_model_folder(folder: Path) -> tuple[dict[str, str], int]:
    """(SHA-256 of every file that counts, number of parameters) of a model folder that passed every check.

    Errors: `ModelError` with the first thing that stands against opening it.
    """
    try:
        weights = sorted(path for path in folder.glob("*.safetensors") if path.name != ADAPTER_WEIGHTS)
        if not weights:
            raise _no_weights(folder)
        parameters = sum(tensor.elements for path in weights for tensor in read_header(path).values())
        _check_config(folder / "config.json", parameters)
        _check_index(folder / "model.safetensors.index.json", {path.name for path in weights})
        settings = [folder / name for name in SETTINGS_FILES if (folder / name).is_file()]
        return {path.name: sha256_of(path) for path in [*weights, *settings]}, parameters
    except OSError as error:
        raise unreadable(folder, error) from None


def inspect_adapter_folder(folder: Path) -> tuple[dict[str, str], dict[str, Any]]:
    """(SHA-256 of the adapter's files, its settings) of a folder in PEFT's format that passed every check."""
    weights, settings = folder / ADAPTER_WEIGHTS, folder / ADAPTER_SETTINGS
    try:
        if not weights.is_file():
            raise _no_weights(folder)
        read_header(weights)
        return {path.name: sha256_of(path) for path in (weights, settings)}, read_object(settings)
    except OSError as error:
        raise unreadable(folder, error) from None


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object from a model's settings file."""
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise ModelError(
            "not-a-model", "A model's settings file is missing.", where=str(path), found="no such file",
            do="give the folder that holds config.json, the safetensors files and tokenizer.json",
        ) from None  # fmt: skip
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise ModelError(
            "broken-settings",
            "A model's settings file is not a JSON object.",
            where=str(path),
            do="fetch it again from its source",
        )
    return content


def unreadable(folder: Path, error: OSError) -> ModelError:
    return ModelError(
        "unreadable", "The model folder cannot be read.", where=str(folder), found=error.strerror or str(error),
        do="check the path and its permissions",
    )  # fmt: skip


def _no_weights(folder: Path) -> ModelError:
    pickled = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLED)
    if pickled:
        return ModelError(
            "pickled-weights", "The weights are pickled: opening them would run whatever program they carry.",
            where=str(folder), found=name_some(pickled),
            do="take the safetensors version of the model, or let whoever made it convert it; pickles are never opened",
        )  # fmt: skip
    return ModelError(
        "not-a-model", "This folder holds no weights.", where=str(folder), found="no .safetensors file",
        do="give the folder that holds config.json, the safetensors files and tokenizer.json",
    )  # fmt: skip


def _check_config(path: Path, parameters: int) -> None:
    config = read_object(path)
    if "auto_map" in config:
        raise ModelError(
            "needs-own-code", "This model runs only with Python code from its own folder, which is never run.",
            where=str(path), found="auto_map", do="choose a model of an architecture that transformers knows by itself",
        )  # fmt: skip
    for settings in (config, config.get("text_config")):
        if isinstance(settings, dict):
            _check_sizes(path, settings, parameters)


def _check_sizes(path: Path, settings: dict[str, Any], parameters: int) -> None:
    """Sizes that the weights cannot have would only make the loader reserve memory: refuse them before."""
    sizes = {
        key: settings[key]
        for key in ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers")
        if key in settings
    }
    for key, size in sizes.items():
        if type(size) is not int or not 0 < size <= parameters:
            raise _wrong_size(path, f"{key} is {size!r:.40}", parameters)
    if sizes.get("vocab_size", 0) * sizes.get("hidden_size", 0) > parameters:
        raise _wrong_size(
            path, f"vocab_size {sizes['vocab_size']:,} x hidden_size {sizes['hidden_size']:,}", parameters
        )


def _wrong_size(path: Path, found: str, parameters: int) -> ModelError:
    return ModelError(
        "wrong-size", "The model's settings do not fit its weights.", where=str(path),
        found=f"{found}, with {parameters:,} numbers in the weights", do="fetch the folder again from its source",
    )  # fmt: skip


def _check_index(path: Path, present: Iterable[str]) -> None:
    """Weights in several files: all of those that the index names must be there, and nothing outside the folder."""
    if not path.is_file():
        return
    places = read_object(path).get("weight_map")
    named = {str(name) for name in places.values()} if isinstance(places, dict) else set()
    missing = sorted(named - set(present))
    if missing or not named:
        raise ModelError(
            "missing-weights", "Some of the model's weight files are missing.", where=str(path),
            found=f"no {name_some(missing)}" if missing else "an index without weight_map",
            do="fetch the missing files",
        )  # fmt: skip
