"""Keys of a model's config.json that are refused, at any depth.

transformers sets every key of the file as an attribute of its configuration, and reads from some of
them which code to run, which weights to open, and how. A model defines its shapes and numbers; how
it is loaded is up to us. Keys that only name one of the usual attention implementations are
ignored, because we choose our own; every other key of that kind is refused.
`engine/sanitized_folder.py` then passes on only the keys that the architecture declares.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tunesmith.errors import ModelError

CUSTOM_CODE_KEYS = {"auto_map", "custom_pipelines", "trust_remote_code", "custom_generate"}
QUANTIZATION_KEYS = {"quantization_config", "quantization", "compression_config", "quant_config"}
# Attributes from which transformers takes files, kernels, devices or renamed keys while loading.
LOADING_KEYS = {
    "transformers_weights",
    "extra_files",
    "extra_config_files",
    "gguf_file",
    "weights_name",
    "use_kernels",
    "kernel_config",
    "kernel_mapping",
    "device_map",
    "max_memory",
    "offload_folder",
    "distributed_config",
    "tp_plan",
    "base_model_tp_plan",
    "base_model_ep_plan",
    "base_model_pp_plan",
    "base_model_fsdp_plan",
    "attribute_map",
    "sub_configs",
    "sub_configs_defaults",
    "per_layer_config",
    "adapter_kwargs",
    "key_mapping",
    "weight_mapping",
}
IMPLEMENTATION_KEY = re.compile(r"_*(attn|attention|experts|moe|cache)_implementation(_\w+)?")
KNOWN_IMPLEMENTATIONS = {
    None,
    True,
    False,
    "eager",
    "sdpa",
    "flash_attention_2",
    "flash_attention_3",
    "flex_attention",
    "flash_attn",
}
KNOWN_EXPERT_IMPLEMENTATIONS = {"grouped_mm", "batched_mm", "static", "dynamic"}
MAX_DEPTH = 16


def check_config_keys(config: Mapping[str, Any], path: Path) -> None:
    """Errors: `ModelError` for a key that selects code, weights or an unknown implementation."""
    for key, value in _walk_keys(config, path):
        _reject_custom_code(key, value, path)
        if key in QUANTIZATION_KEYS and value:
            raise build_quantized_error(path, f"{key}: {_describe_quantization(value)}")
        # Refused by value and not by key alone: configs carry unset keys of newer versions as null.
        is_unusual = IMPLEMENTATION_KEY.fullmatch(key) and not _is_known_implementation(value)
        if is_unusual or (key in LOADING_KEYS and value):
            raise ModelError(
                "steers-loading",
                "config.json selects how the model is loaded, which is not allowed",
                at=str(path),
                got=f"{key}: {str(value)[:80]}",
                hint=(
                    "remove this key from config.json if the model works without it; or "
                    "choose another model"
                ),
            )


def check_custom_code(settings: Mapping[str, Any], path: Path) -> None:
    """Errors: `ModelError` for a key that selects Python code from the folder."""
    for key, value in _walk_keys(settings, path):
        _reject_custom_code(key, value, path)


def _reject_custom_code(key: str, value: Any, path: Path) -> None:
    if key in CUSTOM_CODE_KEYS and value:
        raise ModelError(
            "needs-own-code",
            "model requires Python code from its folder (trust_remote_code), which is never run",
            at=str(path),
            got=key,
            hint="choose a model whose architecture is built into transformers",
        )


def build_quantized_error(path: Path, got: str) -> ModelError:
    """The error for weights stored in a quantized form, which nothing here computes with."""
    return ModelError(
        "quantized",
        "quantized weights are not supported",
        at=str(path),
        got=got,
        hint=(
            "take the model's original weights (bfloat16 or float32); adapter.load_in_4bit=true"
            " holds those in 4 bits"
        ),
    )


def _walk_keys(value: Any, path: Path, depth: int = 0) -> Iterator[tuple[str, Any]]:
    # Checked here because this generator recurses: deep nesting would exhaust the stack.
    if depth > MAX_DEPTH:
        raise ModelError(
            "broken-settings",
            "model settings are nested too deeply",
            at=str(path),
            got=f"more than {MAX_DEPTH} levels",
            hint="download the file again",
        )
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield key, inner
            yield from _walk_keys(inner, path, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            if isinstance(inner, Mapping | list):
                yield from _walk_keys(inner, path, depth + 1)


def _is_known_implementation(value: Any) -> bool:
    # One implementation for each sub-model, as {"": "sdpa", "vision_config": "eager"}.
    if isinstance(value, Mapping):
        return all(_is_known_implementation(inner) for inner in value.values())
    return (
        isinstance(value, str | bool | None)
        and value in KNOWN_IMPLEMENTATIONS | KNOWN_EXPERT_IMPLEMENTATIONS
    )


def _describe_quantization(value: Any) -> str:
    """Method and bits, as `awq, 4 bits`, `bitsandbytes, 8 bits`, `torchao`."""
    if not isinstance(value, Mapping):
        return str(value)[:80]
    bits = value.get("bits") or (
        8 if value.get("load_in_8bit") else 4 if value.get("load_in_4bit") else None
    )
    method = str(value.get("quant_method") or value.get("quant_type") or "of an unknown type")[:40]
    return f"{method}, {bits} bits" if bits else method
