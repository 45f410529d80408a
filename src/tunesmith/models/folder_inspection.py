"""Inspect a model folder before any library opens it: relevant files, their soundness, refusals.

Weights are read from safetensors only. Pickled weights are programs: a folder with nothing else is
refused and never opened. Python files in a model folder are never run, and settings that select
code or implementations are refused (`model_folder/config_checks.py`). Sizes in the settings are
compared with the headers of the weights, because a loader allocates memory for what the settings
claim.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunesmith.atomic_io import compute_sha256
from tunesmith.errors import ModelError, truncate_list
from tunesmith.model_folder.adapter_settings import (
    ADAPTER_SETTINGS,
    ADAPTER_WEIGHTS,
    read_adapter_settings,
)
from tunesmith.model_folder.config_checks import (
    build_quantized_error,
    check_config_keys,
    check_custom_code,
)
from tunesmith.model_folder.generation_settings import TOKEN_RULES, check_generation_settings
from tunesmith.model_folder.model_files import (
    ADAPTER_OVERRIDE_FILES,
    build_unreadable_error,
    list_model_files,
    list_settings_files,
    list_weight_files,
    read_weight_index,
)
from tunesmith.model_folder.settings_json import read_settings
from tunesmith.models.safetensors_header import TensorEntry, read_header

SIZE_KEYS = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "n_embd",
    "d_model",
    "n_positions",
    "max_seq_len",
)
LAYER_COUNT_KEY = re.compile(
    r"num_hidden_layers|num_layers|n_layers?|num_decoder_layers|decoder_layers"
)
EXPERT_COUNT_KEY = re.compile(r"num_(local_|routed_)?experts|n_(routed_)?experts|moe_num_experts")
COUNT_KEY = re.compile(r"(num|n)_\w*(layers?|experts?|blocks?|groups?)(_\w+)?")
MAX_COUNT = 4096
"""Limit on the count of any module that a loader builds, if the headers do not show it."""


def inspect_model_folder(folder: Path) -> tuple[dict[str, str], int]:
    """(SHA-256 of every relevant file, number of parameters) of a folder that passed every check.

    Errors: `ModelError` for the first problem that forbids opening it.
    """
    try:
        # Cheap checks first: hashing reads gigabytes, so it runs only on a folder that passed.
        weights = list_weight_files(folder)
        headers = {path.name: read_header(path) for path in weights}
        tensors = _merge_headers(folder, headers)
        _check_dtypes(folder, tensors)
        _check_config(folder / "config.json", tensors)
        settings = list_model_files(folder)
        _check_generation(folder)
        hashes = {path.name: compute_sha256(path) for path in weights}
        hashes |= {name: compute_sha256(path) for name, path in settings.items()}
        return hashes, sum(tensor.element_count for tensor in tensors.values())
    except OSError as error:
        raise build_unreadable_error(folder, error) from None


def inspect_adapter_folder(folder: Path) -> tuple[dict[str, str], dict[str, Any]]:
    """(SHA-256 of the adapter's files, its settings) of a PEFT folder that passed every check.

    The adapter's own tokenizer and chat templates are included: they change answers.
    """
    weights, path = folder / ADAPTER_WEIGHTS, folder / ADAPTER_SETTINGS
    try:
        if not (weights.exists() or weights.is_symlink()):
            list_weight_files(folder)  # raises a more precise error when other weights are here
            raise ModelError(
                "not-a-model",
                "folder contains no adapter weights",
                at=str(folder),
                got=f"no {ADAPTER_WEIGHTS}",
                hint="save the adapter again in the PEFT format",
            )
        _check_dtypes(folder, read_header(weights))
        settings = read_adapter_settings(folder)
        _check_generation(folder)
        files = {
            weights.name: weights,
            path.name: path,
            **list_settings_files(folder, ADAPTER_OVERRIDE_FILES),
        }
        return {name: compute_sha256(file) for name, file in files.items()}, settings
    except OSError as error:
        raise build_unreadable_error(folder, error) from None


def _check_generation(folder: Path) -> None:
    """generation_config.json takes effect when the model is served: check values and code keys."""
    path = folder / "generation_config.json"
    settings = read_settings(path) or {}
    check_custom_code(settings, path)
    check_generation_settings(settings, path)


def _build_no_settings_error(path: Path) -> ModelError:
    return ModelError(
        "not-a-model",
        "model settings file is missing",
        at=str(path),
        got="no such file",
        hint="pass the folder that contains config.json, the safetensors files and tokenizer.json",
    )


def _merge_headers(
    folder: Path, headers: Mapping[str, Mapping[str, TensorEntry]]
) -> dict[str, TensorEntry]:
    """The tensors of all weight files.

    Errors: `ModelError` when two files hold the same tensor, or the index contradicts the files.
    """
    tensors: dict[str, TensorEntry] = {}
    places: dict[str, str] = {}
    for file, header in headers.items():
        for name, tensor in header.items():
            if name in places:
                raise _build_index_error(
                    folder, f"tensor {name!r} is in both {places[name]} and {file}"
                )
            tensors[name], places[name] = tensor, file
    index = read_weight_index(folder)
    # Loaders follow the index and we read the files: a difference would load other weights.
    if index is not None and index != places:
        wrong = sorted(
            name for name in index.keys() | places.keys() if index.get(name) != places.get(name)
        )
        raise _build_index_error(folder, f"index and files disagree about {truncate_list(wrong)}")
    if not tensors:
        raise ModelError(
            "not-a-model",
            "weight files contain no tensors",
            at=str(folder),
            got=", ".join(headers),
            hint="download the folder again",
        )
    return tensors


def _build_index_error(folder: Path, got: str) -> ModelError:
    return ModelError(
        "broken-index",
        "weight files and index do not match",
        at=str(folder),
        got=got[:300],
        hint="download the folder again",
    )


def _check_dtypes(folder: Path, tensors: Mapping[str, TensorEntry]) -> None:
    """Refuse weights of 8 bits or fewer, and integers: without their scales they mean nothing."""
    for name, tensor in tensors.items():
        is_small = tensor.dtype.startswith(("F8", "F6", "F4"))
        # Buffers such as position ids may be integers; weights and packed `q...` may not.
        is_integer = tensor.dtype[:1] in ("I", "U") and name.rpartition(".")[2].startswith(
            ("weight", "q")
        )
        if is_small or is_integer or tensor.dtype == "C64":
            raise build_quantized_error(folder, f"tensor {name[:80]!r} of type {tensor.dtype}")


def _check_config(path: Path, tensors: Mapping[str, TensorEntry]) -> None:
    config = read_settings(path)
    if config is None:
        raise _build_no_settings_error(path)
    check_config_keys(config, path)
    # A multimodal model nests the settings of its language model under text_config.
    for settings in (config, config.get("text_config")):
        if isinstance(settings, dict):
            check_generation_settings(settings, path, TOKEN_RULES)
    parameters = sum(tensor.element_count for tensor in tensors.values())
    counts = _count_layers_and_experts(tensors)
    for settings in (config, config.get("text_config")):
        if isinstance(settings, dict):
            _check_sizes(path, settings, parameters)
            _check_counts(path, settings, counts)


def _check_sizes(path: Path, settings: Mapping[str, Any], parameters: int) -> None:
    """Refuse sizes larger than the weights before a loader allocates memory for them."""
    sizes = {key: settings[key] for key in SIZE_KEYS if settings.get(key) is not None}
    for key, size in sizes.items():
        # `type(...) is int`: True is an int to isinstance.
        if type(size) is not int or not 0 < size <= parameters:
            raise _build_size_error(path, f"{key} is {size!r:.40}", f"{parameters:,} numbers")
    if sizes.get("vocab_size", 0) * sizes.get("hidden_size", 0) > parameters:
        product = f"vocab_size {sizes['vocab_size']:,} x hidden_size {sizes['hidden_size']:,}"
        raise _build_size_error(path, product, f"{parameters:,} numbers")


def _count_layers_and_experts(tensors: Mapping[str, TensorEntry]) -> tuple[int, int]:
    """(layers, experts) according to the names and shapes of the tensors.

    `model.layers.7.mlp.experts.3.up_proj.weight`: the first number counts layers, one after
    `experts` counts experts. Experts may also be one tensor of shape (experts, rows, columns).
    """
    layers: defaultdict[tuple[str, ...], set[str]] = defaultdict(set)
    experts: defaultdict[tuple[str, ...], set[str]] = defaultdict(set)
    stacked = 0
    for name, tensor in tensors.items():
        parts = tuple(name.split("."))
        at = next((i for i, part in enumerate(parts) if part.isdigit()), None)
        if at is not None:
            # Counted for each prefix: an encoder and a decoder are two stacks of layers.
            layers[parts[:at]].add(parts[at])
        for i, part in enumerate(parts[:-1]):
            if "expert" in part and parts[i + 1].isdigit():
                experts[parts[: i + 1]].add(parts[i + 1])
        if "expert" in name and len(tensor.shape) == 3:
            stacked = max(stacked, tensor.shape[0])
    most_layers, most_experts = (
        max(map(len, found.values()), default=0) for found in (layers, experts)
    )
    return most_layers, max(most_experts, stacked)


def _check_counts(path: Path, settings: Mapping[str, Any], counts: tuple[int, int]) -> None:
    """A loader builds layers and experts before it reads weights: the weights must have as many."""
    layers, experts = counts
    for key, count in settings.items():
        is_count = COUNT_KEY.fullmatch(key) or LAYER_COUNT_KEY.fullmatch(key)
        if not is_count or count is None or isinstance(count, list | dict | bool | str):
            continue
        least, most, there = 0, MAX_COUNT, f"at most {MAX_COUNT:,}"
        if LAYER_COUNT_KEY.fullmatch(key):
            least, most, there = 1, layers, f"{layers:,} layers"
        # Where the names of the tensors show no experts, only MAX_COUNT limits the number.
        elif EXPERT_COUNT_KEY.fullmatch(key) and count != 1 and experts:
            most, there = experts, f"{experts:,} experts"
        if not isinstance(count, int) or not least <= count <= most:
            raise _build_size_error(path, f"{key} is {count!r:.40}", there)


def _build_size_error(path: Path, got: str, in_weights: str) -> ModelError:
    return ModelError(
        "wrong-size",
        "model settings do not match the weights",
        at=str(path),
        got=f"{got}, but the weights have {in_weights}",
        hint="download the folder again",
    )
