"""Load a model folder for training or inference: safetensors only, no remote code, no network.

Precision "auto" is bfloat16 where the hardware multiplies bfloat16 matrices (AVX512-BF16 or AMX on
a CPU, any CUDA device that reports it) and float32 elsewhere: emulated bfloat16 is slower than
float32 and less exact.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from tunesmith.engine.adapters.peft_format import has_four_bit_base, read_adapter
from tunesmith.engine.adapters.qlora import quantize_to_four_bits
from tunesmith.engine.kernels.fusion import fuse
from tunesmith.engine.lm_head import check_causal, check_head
from tunesmith.engine.memory import limit_kernel_cache
from tunesmith.engine.sanitized_folder import (
    check_sizes,
    convert_load_errors,
    open_sanitized_folder,
)
from tunesmith.errors import ModelError, truncate_list

Precision = Literal["auto", "bfloat16", "float32"]
LEGACY_BUFFERS = (".inv_freq", ".masked_bias", ".attn.bias", ".attention.bias", ".position_ids")
"""Suffixes of buffers that older versions of transformers stored with the weights, although they
are computed.
"""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A causal language model in memory.

    `context_length`: the most tokens that its positions allow (`sys.maxsize`: no limit).
    `parameters`: their number. `adapter`: the folder of the adapter that it was loaded with.
    """

    model: PreTrainedModel
    device: torch.device
    dtype: torch.dtype
    context_length: int
    parameters: int
    adapter: Path | None = None


def load_model(
    folder: str | Path,
    precision: Precision = "auto",
    adapter: Path | None = None,
    *,
    four_bits: bool = False,
) -> LoadedModel:
    """Load a folder's weights, frozen, in evaluation mode, with an adapter if one is given.

    With `four_bits`, or if the adapter was trained that way, linear layers are held in 4 bits.
    Errors: `ModelError` when the folder is not a causal language model in safetensors, or the
    adapter does not fit; `MissingExtraError` when 4 bits are requested and bitsandbytes is not
    installed.
    """
    limit_kernel_cache()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = choose_dtype(precision, device)
    with open_sanitized_folder(Path(folder)) as view, convert_load_errors(Path(folder)):
        attention = check_sizes(view)
        # Untyped, because its signature does not declare `output_loading_info`.
        from_pretrained: Any = AutoModelForCausalLM.from_pretrained
        model, report = from_pretrained(
            str(view),
            output_loading_info=True,
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            # If it is left out, transformers asks the user in the terminal.
            trust_remote_code=False,
            attn_implementation=attention,
        )
    # Other files are copied from there later; the view no longer exists.
    model.name_or_path = str(folder)
    _check_weights(report, model, Path(folder))
    parameters = sum(weight.numel() for weight in model.parameters())
    model.requires_grad_(False).eval()
    # Before the move to the device: layers are quantized one by one, so it never holds the
    # unquantized model.
    if four_bits or (adapter is not None and has_four_bit_base(adapter)):
        quantize_to_four_bits(model, device)
    model.to(device)
    # Both checks run on transformers' own modules; the fused ones have their own checks.
    with convert_load_errors(Path(folder)):
        check_causal(model)
        check_head(model)
    fuse(model)
    if adapter is not None:
        read_adapter(model, adapter)
    return LoadedModel(
        model=model,
        device=device,
        dtype=dtype,
        context_length=getattr(model.config, "max_position_embeddings", None) or sys.maxsize,
        parameters=parameters,
        adapter=adapter,
    )


def choose_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """The dtype of the frozen weights and of the computation."""
    if precision == "float32":
        return torch.float32
    return (
        torch.bfloat16 if precision == "bfloat16" or has_bfloat16_matmul(device) else torch.float32
    )


def get_local_dtype(precision: Precision) -> str:
    """The dtype that a model computes in on this machine: `float32` or `bfloat16`."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return str(choose_dtype(precision, device)).removeprefix("torch.")


def has_bfloat16_matmul(device: torch.device) -> bool:
    """Whether this device has hardware for bfloat16 matrix products."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def _check_weights(report: Mapping[str, Any], model: PreTrainedModel, folder: Path) -> None:
    """Check that the folder's weights and the model's are the same set. Errors: `ModelError`."""
    if report["missing_keys"]:  # transformers fills them with random numbers
        raise ModelError(
            "missing-weights",
            "model folder lacks weights",
            at=str(folder),
            got=f"no {truncate_list(sorted(report['missing_keys']))}",
            hint="download or save the model again",
        )
    buffers = {name for name, _ in model.named_buffers()}
    unread = sorted(
        name
        for name in report["unexpected_keys"]
        if name not in buffers and not name.endswith(LEGACY_BUFFERS)
    )
    if unread:
        raise ModelError(
            "unread-weights",
            "folder contains weights that this architecture does not use",
            at=str(folder),
            got=f"{truncate_list(unread)}; model_type {model.config.model_type}",
            hint=("check that config.json belongs to these weights; or download the folder again"),
        )


def get_accelerator_name(device: torch.device) -> str | None:
    """The device's own name; None for a CPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else None
