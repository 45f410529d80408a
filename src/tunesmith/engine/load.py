"""Load a model folder for training or answering: safetensors only, no remote code, no network.

Precision "auto" is bfloat16 where the machine multiplies bfloat16 matrices in hardware (AVX512-BF16 or AMX on a CPU,
any CUDA device that says so) and float32 elsewhere: emulated bfloat16 is slower than float32 and less exact.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from tunesmith.engine.adapters.peft_format import read_adapter, stands_on_four_bits
from tunesmith.engine.adapters.qlora import hold_in_four_bits
from tunesmith.engine.fused.swap import fuse
from tunesmith.engine.head import check_causal, check_head
from tunesmith.engine.memory import keep_few_kernels
from tunesmith.engine.source import check_fit, open_view, reporting_unloadable
from tunesmith.errors import ModelError, name_some

Precision = Literal["auto", "bf16", "float32"]
FORMER_BUFFERS = (".inv_freq", ".masked_bias", ".attn.bias", ".attention.bias", ".position_ids")
"""What older versions of transformers wrote into the weights although it is computed."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A causal language model in memory. `context_length`: the most tokens its positions allow (`sys.maxsize`: any).

    `adapter` is the folder of the adapter that it was loaded with.
    """

    model: PreTrainedModel
    device: torch.device
    dtype: torch.dtype
    context_length: int
    parameters: int
    adapter: Path | None = None


def load_model(
    folder: str | Path, precision: Precision = "auto", adapter: Path | None = None, *, four_bits: bool = False
) -> LoadedModel:
    """Load the weights of a folder, frozen, in evaluation mode, with an adapter on them if one is given.

    With `four_bits`, or where the adapter was trained so, linear layers are held in 4 bits.
    Errors: `ModelError` when the folder is no causal language model in safetensors, or the adapter does not fit;
    `MissingExtraError` when 4 bits are asked for and bitsandbytes is not there.
    """
    keep_few_kernels()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = choose_dtype(precision, device)
    with open_view(Path(folder)) as view, reporting_unloadable(Path(folder)):
        attention = check_fit(view)
        from_pretrained: Any = AutoModelForCausalLM.from_pretrained  # its type does not know output_loading_info
        model, report = from_pretrained(
            str(view),
            output_loading_info=True,
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,  # left out, transformers would ask the terminal
            attn_implementation=attention,
        )
    model.name_or_path = str(folder)  # where files are copied from; the view is gone
    _refuse_other_weights(report, model, Path(folder))
    parameters = sum(weight.numel() for weight in model.parameters())
    model.requires_grad_(False).eval()
    if four_bits or (adapter is not None and stands_on_four_bits(adapter)):
        hold_in_four_bits(model, device)
    model.to(device)
    with reporting_unloadable(Path(folder)):
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
    return torch.bfloat16 if precision == "bf16" or multiplies_bfloat16(device) else torch.float32


def dtype_here(precision: Precision) -> str:
    """What a model is computed in on this machine: `float32` or `bfloat16`."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return str(choose_dtype(precision, device)).removeprefix("torch.")


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether this device has hardware for bfloat16 matrix products."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def _refuse_other_weights(report: Mapping[str, Any], model: PreTrainedModel, folder: Path) -> None:
    """What is loaded must be what the folder holds. Errors: `ModelError`."""
    if report["missing_keys"]:  # transformers would fill them with random numbers
        raise ModelError(
            "missing-weights", "This model folder lacks weights.", where=str(folder),
            found=f"no {name_some(sorted(report['missing_keys']))}", do="fetch or save the model again",
        )  # fmt: skip
    buffers = {name for name, _ in model.named_buffers()}
    unread = sorted(
        name for name in report["unexpected_keys"] if name not in buffers and not name.endswith(FORMER_BUFFERS)
    )
    if unread:
        raise ModelError(
            "unread-weights", "The folder holds weights that this architecture does not read.", where=str(folder),
            found=f"{name_some(unread)}; model_type {model.config.model_type}",
            do="check that config.json is the one of these weights; fetch the folder again from its source",
        )  # fmt: skip


def accelerator_name(device: torch.device) -> str | None:
    """What the device calls itself; None for a CPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else None
