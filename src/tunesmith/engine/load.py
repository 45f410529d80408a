"""Load a model folder for training or answering: safetensors only, no remote code, no network.

Precision "auto" is bfloat16 where the machine multiplies bfloat16 matrices in hardware (AVX512-BF16 or AMX on a CPU,
any CUDA device that says so) and float32 elsewhere: emulated bfloat16 is slower than float32 and less exact.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.utils import logging

from tunesmith.engine.adapters.peft_format import read_adapter, stands_on_four_bits
from tunesmith.engine.adapters.qlora import hold_in_four_bits
from tunesmith.engine.fused.swap import fuse
from tunesmith.engine.head import check_head
from tunesmith.engine.memory import keep_few_kernels
from tunesmith.errors import ModelError, name_some

# Settings that contradict each other end in any of these, wherever transformers first computes with them.
UNLOADABLE = (
    OSError, ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RuntimeError, SafetensorError,
    StrictDataclassError,
)  # fmt: skip
Precision = Literal["auto", "bf16", "float32"]


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A causal language model in memory. `context_length`: the most tokens its positions allow (`sys.maxsize`: any)."""

    model: PreTrainedModel
    device: torch.device
    dtype: torch.dtype
    context_length: int
    parameters: int


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
    try:
        with quiet_transformers():
            from_pretrained: Any = AutoModelForCausalLM.from_pretrained  # its type does not know output_loading_info
            model, report = from_pretrained(
                str(folder),
                output_loading_info=True,
                dtype=dtype,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,  # left out, transformers would ask the terminal
                attn_implementation="sdpa",
            )
    except UNLOADABLE as error:
        raise ModelError(
            "unloadable",
            "This folder cannot be loaded as a causal language model.",
            where=str(folder),
            found=" ".join(str(error).split())[:300] or type(error).__name__,
            do="give a folder with config.json and *.safetensors of a text model",
        ) from None
    if report["missing_keys"]:  # transformers would fill them with random numbers
        raise ModelError(
            "missing-weights", "This model folder lacks weights.", where=str(folder),
            found=f"no {name_some(sorted(report['missing_keys']))}", do="fetch or save the model again",
        )  # fmt: skip
    parameters = sum(weight.numel() for weight in model.parameters())
    model.requires_grad_(False).eval()
    if four_bits or (adapter is not None and stands_on_four_bits(adapter)):
        hold_in_four_bits(model, device)
    model.to(device)
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


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No progress bars or warnings of transformers within this block; its settings are put back after."""
    verbosity, had_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if had_bars:
            logging.enable_progress_bar()


def accelerator_name(device: torch.device) -> str | None:
    """What the device calls itself; None for a CPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else None
