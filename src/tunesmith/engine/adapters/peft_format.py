"""LoRA and DoRA on disk in the PEFT format: adapter_config.json and adapter_model.safetensors.

All tensors are float32. `peft.PeftModel.from_pretrained` loads what `write_adapter` writes,
`read_adapter` loads what PEFT writes; the logits are equal
(`tests/parity/test_parity_adapters.py`). Format:
https://huggingface.co/docs/peft/developer_guides/checkpoint

PEFT does not record whether the base was held in 4 bits. We do, in the metadata of the weights
file, which PEFT ignores: an adapter trained on 4-bit weights is always loaded onto 4-bit weights.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from tunesmith.atomic_io import as_os_error, replace_atomically, write_atomically
from tunesmith.engine.adapters.dora import DoraLinear
from tunesmith.engine.adapters.four_bit import FourBitLinear
from tunesmith.engine.adapters.linear_layers import LinearLayer, replace_layer
from tunesmith.engine.adapters.lora import LoraLinear, find_lora_layers, get_adapter_dtype
from tunesmith.engine.adapters.target_modules import list_target_modules
from tunesmith.errors import ModelError
from tunesmith.model_folder.adapter_settings import build_unsupported_error, read_adapter_settings

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
KEY_PREFIX = "base_model.model."
BASE_WEIGHTS_KEY = "base_weights"
PEFT_NAMES = {
    "lora_A": "lora_A.weight",
    "lora_B": "lora_B.weight",
    "lora_magnitude": "lora_magnitude_vector",
}
"""Our name of a trained weight -> PEFT's name."""


def write_adapter(
    model: PreTrainedModel, folder: Path, base_model: str, revision: str | None = None
) -> None:
    """Write the model's adapter, which belongs to `base_model` (at `revision` of a hub).

    The weights are one file that is replaced atomically, after the config has been written. Errors:
    `OSError`.
    """
    layers = find_lora_layers(model)
    tensors = {
        f"{KEY_PREFIX}{name}.{PEFT_NAMES[part]}": weight.detach().cpu().contiguous()
        for name, layer in layers.items()
        for part, weight in layer.named_parameters(recurse=False)
    }
    in_four_bits = any(isinstance(layer.frozen, FourBitLinear) for layer in layers.values())
    # One key only: safetensors writes several in random order, and the file's bytes would differ
    # from run to run.
    metadata = {BASE_WEIGHTS_KEY: "nf4"} if in_four_bits else {"format": "pt"}
    config = json.dumps(_build_config(model, base_model, revision), indent=2, sort_keys=True)
    write_atomically(folder / CONFIG_FILE, config + "\n")
    try:
        with replace_atomically(folder / WEIGHTS_FILE) as temporary:
            save_file(tensors, temporary, metadata=metadata)
    except SafetensorError as error:  # the disk is full
        raise as_os_error(error) from None


def _build_config(model: PreTrainedModel, base_model: str, revision: str | None) -> dict[str, Any]:
    layers = find_lora_layers(model)
    layer = next(iter(layers.values()))
    rank = layer.lora_A.shape[0]
    ranks = {name: other.lora_A.shape[0] for name, other in layers.items()}
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_model,
        "revision": revision,
        "r": rank,
        "lora_alpha": layer.alpha,
        "rank_pattern": {name: other for name, other in ranks.items() if other != rank},
        "alpha_pattern": {
            name: other.alpha for name, other in layers.items() if other.alpha != layer.alpha
        },
        "lora_dropout": getattr(layer.dropout, "p", 0.0),
        "target_modules": list_target_modules(model, layers),
        "fan_in_fan_out": isinstance(layer.frozen, Conv1D),
        "bias": "none",
        "inference_mode": True,
        "use_rslora": layer.rank_stabilized,
        "use_dora": isinstance(layer, DoraLinear),
    }


def has_four_bit_base(folder: Path) -> bool:
    """Whether this adapter was trained on 4-bit weights.

    Errors: `ModelError` when it cannot be read.
    """
    try:
        with safe_open(folder / WEIGHTS_FILE, "pt") as file:
            return (file.metadata() or {}).get(BASE_WEIGHTS_KEY) == "nf4"
    except (OSError, SafetensorError) as error:
        raise _build_unreadable_error(folder, error) from None


def read_adapter(model: PreTrainedModel, folder: Path) -> None:
    """Load a folder's adapter into the model: attach it, or replace the values of the attached one.

    Errors: `ModelError` when the folder holds no adapter, an unsupported kind, or one that does not
    fit this model.
    """
    config = read_adapter_settings(folder)
    parts = _group_by_layer(_read_weights(folder), bool(config.get("use_dora")), folder)
    if not find_lora_layers(model):
        _attach(model, config, parts, folder)
    layers = find_lora_layers(model)
    if layers.keys() != parts.keys():
        raise _build_misfit_error(
            folder, f"{len(parts)} layers in the file, {len(layers)} on the model"
        )
    for name, tensors in parts.items():
        weights = dict(layers[name].named_parameters(recurse=False))
        shapes = {part: tensor.shape for part, tensor in tensors.items()}
        if shapes != {part: weight.shape for part, weight in weights.items()}:
            raise _build_misfit_error(
                folder,
                f"layer {name!r} has shapes {', '.join(str(tuple(s)) for s in shapes.values())}",
            )
        with torch.no_grad():
            for part, weight in weights.items():
                weight.copy_(tensors[part])


def _attach(
    model: PreTrainedModel,
    config: Mapping[str, Any],
    parts: Mapping[str, Mapping[str, Tensor]],
    folder: Path,
) -> None:
    """Attach layers of the config's kind and scale; the rank is that of the tensors."""
    modules = dict(model.named_modules())
    odd = [name for name in parts if not isinstance(modules.get(name), LinearLayer)]
    if odd:
        raise _build_misfit_error(folder, f"the model has no linear layer {odd[0]!r}")
    kind = DoraLinear if config.get("use_dora") else LoraLinear
    model.requires_grad_(False)
    for name, tensors in parts.items():
        layer = kind(
            modules[name],
            rank=tensors["lora_A"].shape[0],
            alpha=_get_alpha(name, config),
            dropout=float(config.get("lora_dropout", 0.0)),
            rank_stabilized=bool(config.get("use_rslora")),
            dtype=get_adapter_dtype(model),
        )
        replace_layer(model, name, layer)


def _get_alpha(name: str, config: Mapping[str, Any]) -> float:
    """The layer's own alpha if a pattern names it or a suffix of its name, as PEFT does it."""
    patterns: Mapping[str, float] = config.get("alpha_pattern") or {}
    alphas = (alpha for end, alpha in patterns.items() if name == end or name.endswith(f".{end}"))
    return float(next(alphas, config["lora_alpha"]))


def read_base_model(folder: Path) -> tuple[str, str | None]:
    """The base model of an adapter, and its revision. Errors: `ModelError`."""
    settings = read_adapter_settings(folder)
    revision = settings.get("revision")
    return str(settings.get("base_model_name_or_path")), (
        revision if isinstance(revision, str) else None
    )


def _read_weights(folder: Path) -> dict[str, Tensor]:
    try:
        return load_file(folder / WEIGHTS_FILE)
    except (OSError, SafetensorError) as error:
        raise _build_unreadable_error(folder, error) from None


def _group_by_layer(
    tensors: dict[str, Tensor], is_dora: bool, folder: Path
) -> dict[str, dict[str, Tensor]]:
    """Layer name -> our name of its weight -> tensor.

    Errors: `ModelError` for tensors that complete no layer.
    """
    first = f".{PEFT_NAMES['lora_A']}"
    names = [
        key.removeprefix(KEY_PREFIX).removesuffix(first) for key in tensors if key.endswith(first)
    ]
    expected = {
        part: end for part, end in PEFT_NAMES.items() if is_dora or part != "lora_magnitude"
    }
    keys = {
        name: {part: f"{KEY_PREFIX}{name}.{end}" for part, end in expected.items()}
        for name in names
    }
    # A symmetric difference: a missing tensor is as wrong as an unexpected one.
    odd = sorted({key for parts in keys.values() for key in parts.values()} ^ tensors.keys())
    if odd or not names:
        raise build_unsupported_error(folder, f"tensor {odd[0]!r}" if odd else "no LoRA tensors")
    return {
        name: {part: tensors[key] for part, key in parts.items()} for name, parts in keys.items()
    }


def _build_unreadable_error(folder: Path, error: Exception) -> ModelError:
    return ModelError(
        "adapter-unreadable",
        "cannot read the adapter weights (pickled weights are never loaded)",
        at=str(folder / WEIGHTS_FILE),
        got=str(error),
        hint="restore the file; or train again",
    )


def _build_misfit_error(folder: Path, got: str) -> ModelError:
    return ModelError(
        "adapter-misfit",
        "adapter does not match this model",
        at=str(folder),
        got=got,
        hint="load the model that it was trained on",
    )
