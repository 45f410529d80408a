"""LoRA on disk in the PEFT format: `adapter_config.json` and `adapter_model.safetensors`, float32.

`peft.PeftModel.from_pretrained` loads what `write_adapter` wrote, `read_adapter` loads what PEFT wrote; the logits are
equal (`tests/parity/test_parity_engine.py`). Format: https://huggingface.co/docs/peft/developer_guides/checkpoint
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from tunesmith.engine.adapters.lora import LoraLinear, attach_lora, lora_layers
from tunesmith.errors import ModelError
from tunesmith.files import replacing, write_atomically

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."
# What PEFT can put into a LoRA that `LoraLinear` does not compute: with any of these the answers would differ silently.
UNSUPPORTED = (
    "use_dora",
    "modules_to_save",
    "rank_pattern",
    "alpha_pattern",
    "layer_replication",
    "trainable_token_indices",
    "lora_bias",
    "alora_invocation_tokens",
)


def write_adapter(model: PreTrainedModel, folder: Path, base_model: str, revision: str | None = None) -> None:
    """Write the model's adapter, which stands on `base_model` (at `revision` of a hub).

    The weights are one file that is replaced in one step, after the config stands.
    """
    layers = lora_layers(model)
    tensors = {}
    for name, layer in layers.items():
        tensors[f"{PREFIX}{name}.lora_A.weight"] = layer.lora_A.detach().cpu().contiguous()
        tensors[f"{PREFIX}{name}.lora_B.weight"] = layer.lora_B.detach().cpu().contiguous()
    write_atomically(
        folder / CONFIG, json.dumps(_config(layers, base_model, revision), indent=2, sort_keys=True) + "\n"
    )
    with replacing(folder / WEIGHTS) as temporary:
        save_file(tensors, temporary, metadata={"format": "pt"})


def _config(layers: dict[str, LoraLinear], base_model: str, revision: str | None) -> dict[str, Any]:
    layer = next(iter(layers.values()))
    rank = layer.lora_A.shape[0]
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_model,
        "revision": revision,
        "r": rank,
        "lora_alpha": layer.scaling * rank,
        "lora_dropout": getattr(layer.dropout, "p", 0.0),
        "target_modules": sorted({name.rpartition(".")[2] for name in layers}),
        "fan_in_fan_out": isinstance(layer.frozen, Conv1D),
        "bias": "none",
        "inference_mode": True,
        "use_rslora": False,
        "use_dora": False,
    }


def read_adapter(model: PreTrainedModel, folder: Path) -> None:
    """Put the adapter of a folder on the model: attached if it has none, else its values replaced.

    Errors: `ModelError` when the folder holds no adapter, one of another kind, or one that does not fit this model.
    """
    config, tensors = _read_config(folder), _read_weights(folder)
    pairs = _pair_up(tensors, folder)
    rank, alpha = int(config["r"]), float(config["lora_alpha"])
    if not lora_layers(model):
        missing = [name for name in pairs if name not in dict(model.named_modules())]
        if missing:
            raise _misfit(folder, f"the model has no layer {missing[0]!r}")
        attach_lora(model, rank, alpha, float(config.get("lora_dropout", 0.0)), names=pairs)
    layers = lora_layers(model)
    if layers.keys() != pairs.keys():
        raise _misfit(folder, f"{len(pairs)} layers in the file, {len(layers)} on the model")
    for name, (lora_A, lora_B) in pairs.items():
        layer = layers[name]
        if lora_A.shape != layer.lora_A.shape or lora_B.shape != layer.lora_B.shape:
            raise _misfit(folder, f"layer {name!r} has shapes {tuple(lora_A.shape)} and {tuple(lora_B.shape)}")
        with torch.no_grad():
            layer.lora_A.copy_(lora_A)
            layer.lora_B.copy_(lora_B)
        layer.scaling = alpha / (rank**0.5 if config.get("use_rslora") else rank)


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(
            "no-adapter", "This folder holds no adapter.", where=str(folder), found=f"no {CONFIG}", do="check the path"
        ) from None
    except ValueError:
        raise ModelError(
            "adapter-unreadable", "The adapter's config is not JSON.", where=str(folder / CONFIG), do="restore the file"
        ) from None
    if config.get("peft_type") != "LORA":
        raise _unsupported(folder, f"peft_type {config.get('peft_type')!r}")
    found = [key for key in UNSUPPORTED if config.get(key)]
    if config.get("bias", "none") != "none":
        found.append("bias")
    if found:
        raise _unsupported(folder, ", ".join(found))
    return config


def _read_weights(folder: Path) -> dict[str, Tensor]:
    try:
        return load_file(folder / WEIGHTS)
    except (FileNotFoundError, SafetensorError) as error:
        raise ModelError(
            "adapter-unreadable",
            "The adapter's weights cannot be read (pickled weights are never opened).",
            where=str(folder / WEIGHTS),
            found=str(error),
            do="restore the file, or train again",
        ) from None


def _pair_up(tensors: dict[str, Tensor], folder: Path) -> dict[str, tuple[Tensor, Tensor]]:
    """Layer name -> (A, B). A tensor that is not A or B of a layer is refused, not skipped."""
    names = [
        key.removeprefix(PREFIX).removesuffix(".lora_A.weight") for key in tensors if key.endswith(".lora_A.weight")
    ]
    expected = {f"{PREFIX}{name}.lora_{half}.weight" for name in names for half in "AB"}
    if not names or expected != tensors.keys():
        odd = sorted(expected ^ tensors.keys())
        raise _unsupported(folder, f"tensor {odd[0]!r}" if odd else "no LoRA tensors")
    return {
        name: (tensors[f"{PREFIX}{name}.lora_A.weight"], tensors[f"{PREFIX}{name}.lora_B.weight"]) for name in names
    }


def _unsupported(folder: Path, found: str) -> ModelError:
    return ModelError(
        "adapter-unsupported",
        "This adapter is of a kind that cannot be applied exactly.",
        where=str(folder),
        found=found,
        do="use a plain LoRA adapter on linear layers",
    )


def _misfit(folder: Path, found: str) -> ModelError:
    return ModelError(
        "adapter-misfit",
        "This adapter was made for another model.",
        where=str(folder),
        found=found,
        do="load the model it was trained on",
    )
